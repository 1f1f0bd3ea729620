"""Ownership of folders: each study has a random id, and every file in its folder carries it.

A path is no identity. A database may be restored from a backup beside newer weights, a study may
be deleted and begun again under its name, a folder may be copied, and two databases may share a
folder. Every reader compares the ids, and no file of another study is overwritten or deleted.

A running search also checks once a second that its database, lock and folder are still at their
paths: writing to a deleted file raises no error.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocrsearch.core import StudyError, read_text_file, write_text_file
from ocrsearch.training import trial_folder

IDENTITY = "study.json"
"""File in the folder of a study, and in the folder of its prepared data."""

MAX_BYTES = 100_000
TRIAL_FOLDER = re.compile(r"trial-(\d{5,})")


class Identity(BaseModel):
    """Content of the file.

    Attributes:
        id: id of the study.
        study: name of the study.
        database: name of its database file, or of its database on a server.
    """

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    id: str = Field(max_length=64)
    study: str
    database: str


def read_identity(folder: Path) -> Identity | None:
    """Return whose folder it is, None if it does not say.

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
            f"{file}: damaged; delete it if {folder} belongs to the study of its name"
        ) from None


def write_identity(folder: Path, identity: Identity) -> None:
    """Say in a folder whose it is."""
    write_text_file(folder / IDENTITY, json.dumps(identity.model_dump(), ensure_ascii=False) + "\n")


def check_folder(folder: Path, name: str, study_id: str | None) -> None:
    """Refuse the folder of another study.

    Args:
        folder: folder of the study, by its name.
        name: name of the study.
        study_id: id of the study, None for an older study without an id.

    Raises:
        StudyError: the folder says that it belongs to another study.
    """
    found = read_identity(folder)
    if found is not None and found.id != study_id:
        raise StudyError(
            f"{folder}: belongs to another study ({found.study!r} of {found.database}, id "
            f"{found.id[:8]}), not to this study {name!r}; move the folder away, restore the "
            "database that belongs to it, or give `study` another name"
        )


def claim_folder(folder: Path, identity: Identity, n_known: int) -> None:
    """Make a folder the study's, or refuse it; nothing in it is changed.

    Args:
        folder: folder of the study, by its name.
        identity: identity to write into a folder that has none.
        n_known: trials with lower numbers are in the database.

    Raises:
        StudyError: it belongs to another study, or has weights that the database does not know.
    """
    check_folder(folder, identity.study, identity.id)
    refuse_unknown_trials(folder, identity.study, n_known)
    if read_identity(folder) is None:
        write_identity(folder, identity)


def refuse_unknown_trials(folder: Path, name: str, n_known: int) -> None:
    """Refuse a folder with weights of trials that the database of the study does not know.

    Raises:
        StudyError: the database is older than the folder, or new.
    """
    unknown = [n for n in trial_numbers(folder) if n >= n_known]
    if not unknown:
        return
    first = trial_folder(folder, min(unknown)).name
    if n_known == 0:
        raise StudyError(
            f"{folder}: holds the weights of another study of this name ({first}), which the "
            "database does not know; move the folder away, or give `study` another name"
        )
    raise StudyError(
        f"{folder}: newer than the database, which knows {n_known} trials of study {name!r} but "
        f"not {first}; restore the newer database, or move {first} and later ones away"
    )


def trial_numbers(folder: Path) -> list[int]:
    """Return the numbers of the trials that have files in the folder of a study."""
    if not folder.is_dir():
        return []
    found = [(TRIAL_FOLDER.fullmatch(path.name), path) for path in folder.iterdir()]
    return [int(m[1]) for m, path in found if m and path.is_dir() and any(path.iterdir())]


LOOK_SECONDS = 1.0
LOCK = "lock"

Mark = tuple[int, int] | None
"""Device and inode of a file, None where there is none."""


class LostError(StudyError):
    """Something that a search holds open is gone."""


@dataclass
class HeldFiles:
    """What a search holds.

    Attributes:
        name: name of the study.
        folder: folder of the study.
        database: its database file, None on a server.
        is_there: whether the database still has the study.
    """

    name: str
    folder: Path
    database: Path | None
    is_there: Callable[[], bool]

    def __post_init__(self) -> None:
        self._marks = {path: _mark_if_known(path) for path in self._paths()}
        self._looked = time.monotonic()

    def _paths(self) -> list[Path]:
        if self.database is None:
            return [self.folder]
        logs = [self.database.with_name(self.database.name + end) for end in ("-wal", "-shm")]
        return [self.database, *logs, self.folder, self.folder / LOCK]

    def look(self, *, now: bool = False) -> None:
        """Compare, if that was not done within the last second.

        Args:
            now: whether to compare in any case.

        Raises:
            LostError: something was deleted or replaced.
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
                f"study {self.name!r} was deleted from the database while the search ran; its "
                f"weights are still in {self.folder}; give `study` a new name to begin again"
            )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say of an error that it comes from a loss, if that is so.

        Raises:
            LostError: something was deleted or replaced.
        """
        try:
            yield
        except LostError:
            raise
        except Exception:  # a deleted file shows in many ways
            self.look(now=True)
            raise

    def _loss(self, path: Path) -> str:
        was = f"{path} was deleted or replaced while the search ran"
        if path == self.folder:
            return (
                f"{was}; the weights and checkpoints in it are gone; the same command again goes "
                "on with the trials that are not trained yet"
            )
        if path == self.folder / LOCK:
            return (
                f"{was}; ended, as another search of the study may have begun; nothing is lost, "
                "and the same command again continues it"
            )
        return (
            f"{was}; what came since then is not in it; checkpoints are kept in {self.folder}; "
            "restore the database, or give `study` a new name to begin again"
        )


def mark(path: Path) -> Mark:
    """Return the device and inode of a path.

    Raises:
        OSError: a disk or a server does not answer, which does not mean that the file is gone.
    """
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


def _mark_if_known(path: Path) -> Mark:
    try:
        return mark(path)
    except OSError:
        return None
