"""Study databases on a PostgreSQL server: the URL, and opening one.

What several coordinators of one study have to agree on is in ``sharing``.
"""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
from sqlalchemy import Connection, create_engine, func, inspect, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from ocrsearch.errors import OptionError, StudyError
from ocrsearch.search.storage import StudyStorage, database_reason, schema_problem

EXAMPLE = "postgresql://user:password@host/database"
DRIVER = "pg8000"
TABLES_LOCK = (0x0C55, 0)
"""Advisory lock of whoever makes Optuna's tables: that bears no other at the same time."""

DATABASE_NAME = re.compile(r"\w[\w. -]*")


def is_postgresql(storage: optuna.storages.RDBStorage) -> bool:
    """Whether a study database is on a PostgreSQL server."""
    return bool(storage.engine.dialect.name == "postgresql")


def database_folder(url: URL) -> Path:
    """Return where the studies of a database have their weights, as the URL names no folder.

    Raises:
        OptionError: the URL names no database, or one that cannot be a folder.
    """
    shown = url.render_as_string(hide_password=True)
    if not url.database or not DATABASE_NAME.fullmatch(url.database):
        raise OptionError(f"{shown} names no database; write it as {EXAMPLE}", "storage")
    if url.query:
        problem = f"{shown} takes no options after '?'; write it as {EXAMPLE}"
        raise OptionError(problem, "storage")
    return Path("studies") / url.database


def open_postgresql(url: URL, *, create: bool) -> optuna.storages.RDBStorage:
    """Open a study database on a server; the database itself must be there.

    Args:
        url: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.
        create: whether tables that are missing are made.

    Raises:
        OptionError: not such a URL, or the driver is not installed.
        StudyError: there is no such server, user, database or study database.
    """
    database_folder(url)
    if importlib.util.find_spec(DRIVER) is None:
        raise OptionError(
            "the driver for PostgreSQL is not installed; pip install 'ocrsearch[postgresql]'",
            "storage",
        )
    logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())  # told by us
    shown = url.render_as_string(hide_password=True)
    ours = url.set(drivername=f"postgresql+{DRIVER}")
    try:
        with _tables_locked(ours) as connection:
            if not create and not inspect(connection).has_table("version_info"):
                raise StudyError(f"{shown}: not a study database; 'ocrsearch run' makes one")
            text = ours.render_as_string(hide_password=False)
            return StudyStorage(text, engine_kwargs={"pool_pre_ping": True})
    except (SQLAlchemyError, RuntimeError) as error:
        reason = schema_problem(error, shown) or database_reason(error)
        raise StudyError(f"{shown}: cannot open the study database: {reason}") from None


@contextmanager
def _tables_locked(url: URL) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(select(func.pg_advisory_lock(*TABLES_LOCK)))
        yield connection
