"""Study databases: a SQLite file or a PostgreSQL server, and the folder that belongs to it.

A search opens a file for writing; every other command opens it read-only. The file is not trusted,
see ``sqlite_files``. ``sharing`` coordinates several searches on the same server.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import shlex
from contextlib import closing, nullcontext, suppress
from functools import partial
from pathlib import Path

import optuna
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from sqlalchemy import create_engine, func, inspect, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from ocrsearch.core import DEFAULT_STORAGE, OptionError, StudyError, output_problem
from ocrsearch.studies.facts import check_stored_name
from ocrsearch.studies.ownership import read_identity
from ocrsearch.studies.sqlite_files import (
    TIMEOUT_S,
    GuardedConnection,
    connect,
    may_write,
    read_only_connector,
    refuse_unusual,
    refuse_unwritable,
)
from ocrsearch.studies.storage import DATABASE_ERRORS, StudyStorage, database_reason

EXAMPLE = "postgresql://user:password@host/database"
DRIVER = "pg8000"
TABLES_LOCK = (0x0C55, 0)
"""Advisory lock for creating Optuna's tables, which two processes must not do at the same time."""

DATABASE_NAME = re.compile(r"\w[\w. -]*")


def is_postgresql(storage: optuna.storages.RDBStorage) -> bool:
    """Return whether a study database is on a PostgreSQL server."""
    return bool(storage.engine.dialect.name == "postgresql")


def open_storage(url: str, *, create: bool = False) -> optuna.storages.RDBStorage:
    """Open a study database.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.
        create: whether to create a missing file with its folder, or missing tables on a server.

    Raises:
        StudyError: the database does not exist or cannot be opened.
        OptionError: the URL is invalid.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parsed = parse_storage(url)
    if parsed.get_backend_name() == "postgresql":
        return open_postgresql(parsed, create=create)
    file = Path(str(parsed.database))
    if not create and not file.exists():
        raise StudyError(f"{file}: no such study database; create one with 'ocrsearch run'")
    try:
        if create:
            return _open_to_write(file, url)
        return _open_to_read(file, url)
    except (*DATABASE_ERRORS, RuntimeError, StorageInternalError) as error:
        reason = schema_problem(error, url) or database_reason(error.__cause__ or error)
        raise StudyError(f"{file}: cannot open the study database: {reason}") from None


def open_postgresql(url: URL, *, create: bool) -> optuna.storages.RDBStorage:
    """Open a study database on a server. The database must exist.

    Args:
        url: ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.
        create: whether to create missing tables.

    Raises:
        OptionError: the URL is invalid, or the driver is not installed.
        StudyError: the server, user or database does not exist, or it is not a study database.
    """
    database_folder(url)
    if importlib.util.find_spec(DRIVER) is None:
        raise OptionError(
            "the driver for PostgreSQL is not installed; pip install 'ocrsearch[postgresql]'",
            "storage",
        )
    logging.getLogger("sqlalchemy.pool").addHandler(logging.NullHandler())  # we report errors
    shown = url.render_as_string(hide_password=True)
    ours = url.set(drivername=f"postgresql+{DRIVER}")
    try:
        engine = create_engine(ours, poolclass=NullPool)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(select(func.pg_advisory_lock(*TABLES_LOCK)))
            if not create and not inspect(connection).has_table("version_info"):
                raise StudyError(f"{shown}: not a study database; create one with 'ocrsearch run'")
            text = ours.render_as_string(hide_password=False)
            return StudyStorage(text, engine_kwargs={"pool_pre_ping": True})
    except (SQLAlchemyError, RuntimeError) as error:
        reason = schema_problem(error, shown) or database_reason(error)
        raise StudyError(f"{shown}: cannot open the study database: {reason}") from None


def _open_to_write(file: Path, url: str) -> StudyStorage:
    """Open a SQLite file for a search; create the file and its folder if they are missing."""
    refuse_unwritable(file)
    if problem := output_problem(file):
        raise StudyError(f"{file}: {problem}")
    if file.exists():
        refuse_unusual(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    # with a write-ahead log, readers and writers do not block each other
    with connect(file) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
    files_folder(file).mkdir(parents=True, exist_ok=True)
    return _open_in_turn(file, url)


def _open_to_read(file: Path, url: str) -> StudyStorage:
    """Open an existing SQLite file, which may be read-only for this process."""
    reads_only = not may_write(file)
    opened = read_only_connector(file) if reads_only else partial(connect, file)
    refuse_unusual(file, opened)
    # StudyStorage would create Optuna's tables in the file of another program
    with closing(opened()) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE name = 'version_info'")
        has_studies = found.fetchone() is not None
    if not has_studies:
        raise StudyError(f"{file}: not a study database; create one with 'ocrsearch run'")
    if not reads_only:
        return _open_in_turn(file, url)
    return StudyStorage(url, engine_kwargs={"creator": opened}, skip_table_creation=True)


def _open_in_turn(file: Path, url: str) -> StudyStorage:
    """Open a file under a lock, because Optuna's creation of tables is not safe in parallel."""
    folder = files_folder(file)
    options = {"connect_args": {"timeout": TIMEOUT_S, "factory": GuardedConnection}}
    with FileLock(folder / ".lock") if os.access(folder, os.W_OK) else nullcontext():
        return StudyStorage(url, engine_kwargs=options)


def schema_problem(error: BaseException, url: str) -> str | None:
    """Return advice for tables of another version of Optuna; None for any other error.

    Args:
        error: exception raised by Optuna.
        url: URL of the database, without its password.
    """
    said = str(error)
    if not isinstance(error, RuntimeError) or "table schema" not in said:
        return None
    if "storage upgrade" in said:
        command = shlex.join(["optuna", "storage", "upgrade", "--storage", url])
        return (
            "the tables were created by an older version of Optuna; make a copy of the database, "
            f"then convert it with {command}"
        )
    return (
        "the tables were created by a newer version of Optuna; install it with "
        "pip install -U optuna"
    )


def write_log_back(storage: optuna.storages.RDBStorage) -> None:
    """Checkpoint the log of a SQLite file, so that a copy of the file alone is complete."""
    if storage.engine.dialect.name == "sqlite":
        with suppress(SQLAlchemyError), storage.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def make_durable(storage: optuna.storages.BaseStorage) -> None:
    """Checkpoint the log of a SQLite file, so that all changes survive a power failure.

    Transactions are not synced to disk, but weights are. Without this call the database could lack
    a trial whose weights exist.
    """
    if isinstance(storage, StudyStorage) and storage.engine.dialect.name == "sqlite":
        with suppress(SQLAlchemyError), storage.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(PASSIVE)")


def refuse_read_only(url: str) -> None:
    """Check that this process may change a study database.

    Raises:
        StudyError: the file is read-only for this process.
    """
    parsed = parse_storage(url)
    if parsed.get_backend_name() == "sqlite":
        refuse_unwritable(Path(str(parsed.database)))


def is_read_only(url: str) -> bool:
    """Return whether a study database is a file that is read-only for this process."""
    parsed = parse_storage(url)
    return parsed.get_backend_name() == "sqlite" and not may_write(Path(str(parsed.database)))


def parse_storage(url: str) -> URL:
    """Parse the URL of a study database.

    Raises:
        OptionError: the URL is invalid, or this kind of database is not supported.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        without_password = re.sub(r":[^:/@]+@", ":***@", url)
        raise OptionError(
            f"not a database URL: {without_password}; write it as {DEFAULT_STORAGE} or {EXAMPLE}",
            "storage",
        ) from None
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise OptionError(
            f"{backend} is not supported; write it as {DEFAULT_STORAGE} or {EXAMPLE}", "storage"
        )
    file = parsed.database or ""
    if backend == "sqlite" and (not Path(file).name or file == ":memory:"):
        raise OptionError(f"{url} names no file; write it as {DEFAULT_STORAGE}", "storage")
    if backend == "sqlite" and Path(str(parsed.database)).is_dir():
        raise OptionError(f"{url} is a folder; write it as {DEFAULT_STORAGE}", "storage")
    return parsed


def shown_storage(url: str) -> str:
    """Return the name of a study database for messages: its file, or its URL without password."""
    parsed = parse_storage(url)
    if parsed.get_backend_name() == "sqlite":
        return str(parsed.database)
    return parsed.render_as_string(hide_password=True)


def study_folder(storage_url: str, study_name: str, *, is_new: bool = False) -> Path:
    """Return the folder with the weights of a study.

    For a SQLite file ``studies/ocrsearch.db`` it is ``studies/ocrsearch/NAME``. For a database on a
    server it is ``studies/DATABASE/NAME`` in the working directory, which all machines must share.

    Args:
        storage_url: URL of the study database.
        study_name: name of the study.
        is_new: whether the study is about to be created. An existing study may still use the
            folder of earlier versions, which ignored the extension of the database file.

    Raises:
        StudyError: the name is a path.
    """
    check_stored_name(study_name)
    parsed = parse_storage(storage_url)
    if parsed.get_backend_name() == "postgresql":
        return database_folder(parsed) / study_name
    file = Path(str(parsed.database))
    folder, earlier = files_folder(file) / study_name, file.with_suffix("") / study_name
    if is_new or folder.is_dir() or not earlier.is_dir():
        return folder
    owner = read_identity(earlier)
    return earlier if owner is None or owner.database == file.name else folder


def database_folder(url: URL) -> Path:
    """Return the folder for the studies of a database on a server.

    Raises:
        OptionError: the URL has no database name, or the name is not valid for a folder.
    """
    shown = url.render_as_string(hide_password=True)
    if not url.database or not DATABASE_NAME.fullmatch(url.database):
        raise OptionError(f"{shown} names no database; write it as {EXAMPLE}", "storage")
    if url.query:
        problem = f"{shown} takes no options after '?'; write it as {EXAMPLE}"
        raise OptionError(problem, "storage")
    return Path("studies") / url.database


def files_folder(file: Path) -> Path:
    """Return the parent folder of the study folders of a SQLite file; it is unique to the file."""
    return file.with_suffix("") if file.suffix == ".db" else file.with_name(f"{file.name}.d")


def database_name(url: str) -> str:
    """Return the name of a database: its file name, or its name on the server."""
    return Path(str(parse_storage(url).database)).name
