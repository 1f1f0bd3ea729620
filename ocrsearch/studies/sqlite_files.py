"""Untrusted and read-only SQLite files.

Triggers and views are code that a database runs by itself, possibly forever. Optuna creates
neither, so a file with them is refused, and queries have limits.

A search leaves its file in WAL mode, in which even readers create files next to it. If that is not
allowed, the file is opened as immutable. If a killed search left changes in the ``-wal`` file, a
temporary copy is read.
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
"""Maximum time to wait for another process that is writing, in seconds."""

TIME_LIMIT_S = 10.0
"""Maximum CPU time of a query, in seconds; waiting for the disk does not count."""

GENERATED = (
    "SELECT 'generated column', m.name || '.' || x.name FROM sqlite_master m, "
    "pragma_table_xinfo(m.name) x WHERE m.type = 'table' AND x.hidden IN (2, 3) LIMIT 1"
)
"""Query for a generated column, which could expand a file of kilobytes to gigabytes."""

OVER_TIME = "interrupted"
"""Text of SQLite's error for an interrupted query."""

MAX_VALUE_BYTES = 64_000_000
"""Maximum size of a value to read or write."""

MAX_FILE_BYTES = 1_000_000_000_000
STEPS = 100_000
"""Number of SQLite virtual machine steps between checks of the clock."""

Connector = Callable[[], sqlite3.Connection]
"""Function that opens a file; the caller closes the connection."""


class GuardedConnection(sqlite3.Connection):
    """A connection whose queries have limits on time and size.

    SQLite syncs to disk only when it checkpoints its log, which halves the time of a transaction.
    A crash of the process loses nothing. A power failure may lose the last transactions, but the
    database stays consistent, and trials are resumed from their checkpoints.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.clock = [time.process_time()]
        clock = self.clock  # not the connection itself, which would never be freed
        self.execute("PRAGMA trusted_schema=OFF")
        self.execute("PRAGMA synchronous=NORMAL")
        self.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        self.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
        self.set_progress_handler(lambda: time.process_time() - clock[0] > TIME_LIMIT_S, STEPS)

    def cursor(self, factory: Any = None) -> Any:
        """Return a cursor that restarts the clock for each statement."""
        return super().cursor(factory or _Cursor)


class _Cursor(sqlite3.Cursor):
    def execute(self, *arguments: Any) -> Any:
        connection: Any = self.connection
        connection.clock[0] = time.process_time()
        return super().execute(*arguments)


def connect(file: Path) -> sqlite3.Connection:
    """Open a file with limits; the caller closes the connection."""
    return sqlite3.connect(file, timeout=TIMEOUT_S, factory=GuardedConnection)


def refuse_unusual(file: Path, opened: Connector | None = None) -> None:
    """Check that a path is a regular file, and a database with only tables and indexes.

    Args:
        file: database file.
        opened: function that opens the file; None for ``connect``.

    Raises:
        StudyError: the path is not a regular file, or the database has triggers, views or virtual
            tables.
        sqlite3.Error: the file is not a database.
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
            f"{file}: refused: it has a {kind} ({name}), which a study database never has; "
            "restore it from a backup, or use another database"
        )


def may_write(file: Path) -> bool:
    """Return whether this process may change a SQLite file and create files next to it."""
    return os.access(file, os.W_OK) and os.access(file.parent, os.W_OK)


def refuse_unwritable(file: Path) -> None:
    """Check that a file can be changed or created.

    Raises:
        StudyError: the file, its folder, or the nearest existing parent folder is not writable.
    """
    place = next(path for path in (file, *file.absolute().parents) if path.exists())
    places = [file, file.parent] if place == file else [place]
    for path in places:
        if not os.access(path, os.W_OK):
            copy = "copy the study and its folder to a writable place, or use another database"
            raise StudyError(f"{path}: may only be read, not written; {copy}")


def read_only_connector(file: Path) -> Connector:
    """Return a function that opens a SQLite file without creating files next to it.

    Raises:
        StudyError: the file, or its log with the latest changes, cannot be read.
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
    """Return whether a file with a log can be read in place."""
    connection = _connect(file, "?mode=ro")
    try:
        connection.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def _copied(file: Path, log: Path) -> Connector:
    """Copy a file with its log; the copy is deleted with the returned function."""
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
            f"{log}: has changes that can only be read from a copy, and copying failed: {reason}"
        ) from None
    return connect


def _connect(file: Path, query: str) -> sqlite3.Connection:
    uri = f"file:{quote(str(file.absolute()))}{query}"
    return sqlite3.connect(
        uri, uri=True, timeout=TIMEOUT_S, factory=GuardedConnection, check_same_thread=False
    )
