"""Ownership of folders: each study has a random id that is stored in every file in its folder.

A path is not an identity. A database may be restored from a backup next to newer weights, a study
may be deleted and created again under the same name, a folder may be copied, and two databases may
share a folder. So every reader compares the ids, and files of other studies are never overwritten
or deleted.

A lock in the folder marks a SQLite study that is being searched. A running search also checks once
a second that its database, lock and folder still exist, because writing to a deleted file raises no
error.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocrsearch.core import StudyError, read_text_file, write_text_file
from ocrsearch.studies.sqlite_files import refuse_unwritable
from ocrsearch.training import trial_folder

IDENTITY = "study.json"
"""File in the folder of a study, and in the folder of its prepared data."""

MAX_BYTES = 100_000
TRIAL_FOLDER = re.compile(r"trial-(\d{5,})")


class Identity(BaseModel):
    """Content of the identity file.

    Attributes:
        id: id of the study.
        study: name of the study.
        database: name of the database file, or of the database on its server.
    """

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    id: str = Field(max_length=64)
    study: str
    database: str


def read_identity(folder: Path) -> Identity | None:
    """Return the identity of the study that owns a folder; None if the folder has none.

    Raises:
        StudyError: the file cannot be read.
    """
    file = folder / IDENTITY
    if not file.exists():
        return None
    text = read_text_file(file, str(file), StudyError, max_bytes=MAX_BYTES)
    try:
        return Identity.model_validate_json(text)
    except ValidationError:
        raise StudyError(
            f"{file}: damaged; delete it if {folder} belongs to the study of the same name"
        ) from None


def write_identity(folder: Path, identity: Identity) -> None:
    """Write the identity of a study to its folder."""
    write_text_file(folder / IDENTITY, json.dumps(identity.model_dump(), ensure_ascii=False) + "\n")


def check_folder(folder: Path, name: str, study_id: str | None) -> None:
    """Check that a folder does not belong to another study.

    Args:
        folder: folder of the study.
        name: name of the study.
        study_id: id of the study; None for an older study without an id.

    Raises:
        StudyError: the folder belongs to another study.
    """
    found = read_identity(folder)
    if found is not None and found.id != study_id:
        raise StudyError(
            f"{folder}: belongs to another study ({found.study!r} of {found.database}, id "
            f"{found.id[:8]}), not to this study {name!r}; move the folder away, restore the "
            "database that belongs to it, or give `study` another name"
        )


def claim_folder(folder: Path, identity: Identity, n_known: int) -> None:
    """Claim a folder for a study. Existing files are not changed.

    Args:
        folder: folder of the study.
        identity: identity to write if the folder has none.
        n_known: number of trials in the database.

    Raises:
        StudyError: the folder belongs to another study, or has weights of trials that are not in
            the database.
    """
    check_folder(folder, identity.study, identity.id)
    refuse_unknown_trials(folder, identity.study, n_known)
    if read_identity(folder) is None:
        write_identity(folder, identity)


def refuse_unknown_trials(folder: Path, name: str, n_known: int) -> None:
    """Check that a folder has no weights of trials that are missing in the database.

    Raises:
        StudyError: the database is older than the folder, or new.
    """
    unknown = [n for n in trial_numbers(folder) if n >= n_known]
    if not unknown:
        return
    first = trial_folder(folder, min(unknown)).name
    if n_known == 0:
        raise StudyError(
            f"{folder}: holds weights of another study with this name ({first}) that is not in the "
            "database; move the folder away, or give `study` another name"
        )
    n_trials = "1 trial" if n_known == 1 else f"{n_known} trials"
    raise StudyError(
        f"{folder}: newer than the database, which has {n_trials} of study {name!r} but not "
        f"{first}; restore the newer database, or move {first} and later trials away"
    )


def trial_numbers(folder: Path) -> list[int]:
    """Return the numbers of trials with files in the folder of a study."""
    if not folder.is_dir():
        return []
    found = [(TRIAL_FOLDER.fullmatch(path.name), path) for path in folder.iterdir()]
    return [int(m[1]) for m, path in found if m and path.is_dir() and any(path.iterdir())]


LOCK = "lock"
"""Lock file in the folder of a study; the coordinator of a SQLite study holds it."""

LOCK_SECONDS = 1.0
"""Seconds to wait for the lock, because listing studies holds it briefly."""


@contextmanager
def study_lock(folder: Path, name: str) -> Iterator[None]:
    """Lock a study for one coordinator; the system releases the lock when the process ends.

    Raises:
        StudyError: another process holds the lock.
    """
    refuse_unwritable(folder / LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise StudyError(
            f"{folder}: cannot be created, because a file has the same name as a folder; "
            "rename the file or the study database"
        ) from None
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise StudyError(
            f"study {name!r}: another 'ocrsearch run' is searching it; "
            "wait for it to end, or give `study` another name"
        ) from None
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Return whether a coordinator is searching the study now."""
    file = folder / LOCK
    if not os.access(file, os.R_OK):
        return False
    if not os.access(file, os.W_OK):  # the file of another user
        import fcntl  # exists on all systems with such permissions

        with file.open("rb") as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)  # needs no write permission
            except OSError as error:
                return isinstance(error, BlockingIOError)
        return False
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


LOOK_SECONDS = 1.0
"""Minimum seconds between two checks of the files of a running search."""

Mark = tuple[int, int] | None
"""Device and inode of a file; None if it does not exist."""


class LostError(StudyError):
    """Raised if a file of a running search was deleted or replaced."""


@dataclass
class HeldFiles:
    """Files that a running search depends on.

    Attributes:
        name: name of the study.
        folder: folder of the study.
        database: database file; None on a server.
        is_there: function that returns whether the database still has the study.
    """

    name: str
    folder: Path
    database: Path | None
    is_there: Callable[[], bool]

    def __post_init__(self) -> None:
        paths = [self.folder]
        if self.database is not None:
            logs = [self.database.with_name(self.database.name + end) for end in ("-wal", "-shm")]
            paths = [self.database, *logs, self.folder, self.folder / LOCK]
        self._marks: dict[Path, Mark] = {}
        for path in paths:
            with suppress(OSError):  # a file that cannot be marked now is not checked later
                self._marks[path] = mark(path)
        self._looked = time.monotonic()

    def look(self, *, now: bool = False) -> None:
        """Check that the files still exist, at most once a second.

        Args:
            now: whether to check even if the last check was less than a second ago.

        Raises:
            LostError: a file was deleted or replaced.
        """
        if not now and time.monotonic() - self._looked < LOOK_SECONDS:
            return
        self._looked = time.monotonic()
        for path, before in self._marks.items():
            try:
                is_lost = before is not None and mark(path) != before
            except OSError:  # a network folder that does not answer for a moment
                continue
            if is_lost:
                raise LostError(self._loss(path))
        if not self.is_there():
            raise LostError(
                f"study {self.name!r} was deleted from the database during the search; its "
                f"weights are still in {self.folder}; give `study` a new name to start again"
            )

    def _loss(self, path: Path) -> str:
        """Return the message about a lost file: what is lost with it, and what to do."""
        was = f"{path} was deleted or replaced during the search"
        if path == self.folder:
            return (
                f"{was}; its weights and checkpoints are lost; rerun the same command to train "
                "the remaining trials"
            )
        if path == self.folder / LOCK:
            return (
                f"{was}; stopped, because another search of the study may have started; nothing is "
                "lost; rerun the same command to resume"
            )
        return (
            f"{was}; later results are not in it; checkpoints are kept in {self.folder}; "
            "restore the database, or give `study` a new name to start again"
        )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Replace an error by ``LostError`` if a lost file is the cause.

        Raises:
            LostError: a file was deleted or replaced.
        """
        try:
            yield
        except LostError:
            raise
        except Exception:  # a deleted file can cause many errors
            self.look(now=True)
            raise


def mark(path: Path) -> Mark:
    """Return the device and inode of a path.

    Raises:
        OSError: a disk or a server does not respond; the file may still exist.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
