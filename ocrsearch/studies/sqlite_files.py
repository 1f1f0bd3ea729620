"""SQLite files that are not trusted, or that this process may not write.

Triggers and views are code that a database runs by itself, possibly without end. Optuna makes
neither, so a file with them is refused, and queries have limits.

A search leaves its file in WAL mode, in which even a reader makes files beside it. Where that is
not allowed, the file is opened as immutable; if a killed search left changes in the ``-wal`` file,
a temporary copy is read.
"""

from __future__ import annotations

import functools
import os
import shutil
import sqlite3
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ocrsearch.core import StudyError, file_problem

TIMEOUT_S = 60
"""Longest wait for another process that writes, in seconds."""

TIME_LIMIT_S = 10.0
"""Longest processor time of one query, in seconds: waiting for a disk does not count."""

GENERATED = (
    "SELECT 'generated column', m.name || '.' || x.name FROM sqlite_master m, "
    "pragma_table_xinfo(m.name) x WHERE m.type = 'table' AND x.hidden IN (2, 3) LIMIT 1"
)
"""Finds a column that computes its values: gigabytes of a file of kilobytes."""

OVER_TIME = "interrupted"
"""SQLite's word for a query that was ended."""

MAX_VALUE_BYTES = 64_000_000
"""Longest value that is read or written."""

MAX_FILE_BYTES = 1_000_000_000_000
STEPS = 100_000
"""Steps of SQLite's machine between two looks at the clock."""

Connector = Callable[[], sqlite3.Connection]
"""Opens a file; closing it is the caller's."""


class GuardedConnection(sqlite3.Connection):
    """A connection whose queries have limits of time and size.

    SQLite waits for the disk only when it tidies its log: half the time of a transaction. A
    process that dies loses nothing by it. A power cut may lose the last moments of the database,
    never more: it stays sound, and a trial is resumed from its checkpoint.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.clock = [time.process_time()]
        clock = self.clock  # not the connection itself: it would never be freed
        self.execute("PRAGMA trusted_schema=OFF")
        self.execute("PRAGMA synchronous=NORMAL")
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        self.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
        self.set_progress_handler(lambda: time.process_time() - clock[0] > TIME_LIMIT_S, STEPS)

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor that starts the clock with each statement."""
        return super().cursor(factory or _Cursor)


class _Cursor(sqlite3.Cursor):
    def execute(self, *arguments: Any) -> Any:
        connection: Any = self.connection
        connection.clock[0] = time.process_time()
        return super().execute(*arguments)


def connect(file: Path) -> sqlite3.Connection:
    """Open a file with limits; closing it is the caller's."""
    return sqlite3.connect(file, timeout=TIMEOUT_S, factory=GuardedConnection)


def refuse_unusual(file: Path, opened: Connector | None = None) -> None:
    """Refuse a file that is none, or a database with more than tables and indexes.

    Args:
        file: database file.
        opened: opens it; None for ``connect``.

    Raises:
        StudyError: a folder, a pipe, or a database with triggers, views or virtual tables.
        sqlite3.Error: not a database.
    """
    if problem := file_problem(file, MAX_FILE_BYTES):
        raise StudyError(f"{file}: {problem}")
    connection = connect(file) if opened is None else opened()
    try:
        query = (
            "SELECT type, name FROM sqlite_master WHERE type NOT IN ('table', 'index') "
            "OR sql LIKE 'CREATE VIRTUAL%' LIMIT 1"
        )
        found = connection.execute(query).fetchone() or connection.execute(GENERATED).fetchone()
    finally:
        connection.close()
    if found is not None:
        kind, name = found
        kind = "virtual table" if kind == "table" else kind
        raise StudyError(
            f"{file}: refused: it holds a {kind} ({name}), and a study database holds none; "
            "restore it from a backup, or name another database"
        )


def may_write(file: Path) -> bool:
    """Whether this process may change a SQLite file, and make files beside it."""
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


def refuse_unwritable(file: Path) -> None:
    """Refuse a file that cannot be changed, or made.

    Raises:
        StudyError: the file, its folder, or the first folder above that exists is not writable.
    """
    place = next(path for path in (file, *file.absolute().parents) if path.exists())
    places = [file, file.parent] if place == file else [place]
    for path in places:
        if not os.access(path, os.W_OK):
            copy = "copy the study and its folder to a place of your own, or name another database"
            raise StudyError(f"{path}: may only be read, not written; {copy}")


def read_only_connector(file: Path) -> Connector:
    """Return a function that opens a SQLite file without writing anything beside it.

    Raises:
        StudyError: the file, or the file with its latest changes, may not be read.
    """
    log, shared = (file.with_name(file.name + ending) for ending in ("-wal", "-shm"))
    has_log = log.exists() and log.stat().st_size > 0
    for path in (file, log) if has_log else (file,):
        if not os.access(path, os.R_OK):
            raise StudyError(f"{path}: may not be read by this user")
    if not has_log:
        return lambda: _connect(file, "?immutable=1")
    if shared.exists() and _is_readable(file):
        return lambda: _connect(file, "?mode=ro")
    return _copied(file, log)


def _is_readable(file: Path) -> bool:
    """Whether a file with its log can be read as it is."""
    connection = _connect(file, "?mode=ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def _copied(file: Path, log: Path) -> Connector:
    """Copy a file with its log; the copy is removed with the function that is returned."""
    copy = Path(tempfile.mkdtemp(prefix="ocrsearch-")) / "copy.db"

    def connect() -> sqlite3.Connection:
        return _connect(copy, "")

    weakref.finalize(connect, shutil.rmtree, copy.parent, ignore_errors=True)
    try:
        shutil.copyfile(file, copy)
        shutil.copyfile(log, copy.with_name("copy.db-wal"))
    except OSError as error:
        reason = error.strerror or error
        raise StudyError(
            f"{log}: holds changes that cannot be read here without a copy, which fails: {reason}"
        ) from None
    return connect


def _connect(file: Path, query: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(file.absolute()))}{query}"
    return sqlite3.connect(
        uri, uri=True, timeout=TIMEOUT_S, factory=GuardedConnection, check_same_thread=False
    )
