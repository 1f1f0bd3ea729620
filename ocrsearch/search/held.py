"""Files that a search holds open, compared again and again with their paths.

A program goes on writing into a file that was deleted, and no error ever comes. So a search looks
once a second whether its database, its lock and its folder are still where they were.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ocrsearch.errors import StudyError

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
                f"weights are still in {self.folder}; give --study a new name to begin again"
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
            "restore the database, or give --study a new name to begin again"
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
