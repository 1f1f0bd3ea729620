"""SQLite files that this process may read and not write: somebody else's, or on a read-only disk.

A search leaves its file in the mode in which even a reader makes files beside it (``-wal`` and
``-shm``). Where that is not allowed, SQLite is told that nobody writes the file; and if a killed
search left changes in the ``-wal``, a temporary copy is read.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import weakref
from pathlib import Path
from urllib.parse import quote

from ocrsearch.errors import StudyError
from ocrsearch.search.guarded_sqlite import TIMEOUT_S, Connector, GuardedConnection


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
