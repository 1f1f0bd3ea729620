"""Coordination of several searches of a study: ownership of trials, and mutual exclusion.

A SQLite study has a single coordinator at a time. On PostgreSQL there may be several, on several
machines. Each coordinator holds an advisory lock, its slot. The server releases the lock when the
connection ends, even after a crash. If a trial is in training and its slot is free, the next
coordinator that notices resumes it. Decisions to start, resume or abandon a trial are made only
while holding the lock of the study, called a turn.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from ocrsearch.core import StudyError
from ocrsearch.studies.database import is_postgresql
from ocrsearch.studies.ownership import HeldFiles, is_locked, study_lock
from ocrsearch.studies.records import EPOCHS, OWNER, REPEATED, write_attributes
from ocrsearch.studies.storage import database_reason
from ocrsearch.studies.study import unfinished_trials
from ocrsearch.training import remove_folder

FOLDER = "coordinator-"
"""Prefix of the name of a coordinator's folder, before its slot."""

LOOK_SECONDS = 1.0
"""Interval in seconds at which a coordinator reads the changes of the others."""

TAKE_OVER_SECONDS = 5.0
"""Interval in seconds at which an idle coordinator looks for abandoned trials."""

MAX_COORDINATORS = 1000
TURN = 0
"""Number of the lock for turns; slots are numbered from 1."""

ENDED = 1_000_000
"""Offset of a second lock per slot; its holder starts no more trials."""

GONE_AFTER = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
"""Keepalive settings after which the server closes the connection of a dead machine."""


class Sharing:
    """The only coordinator of a study; it owns all trials."""

    slot = 1
    several = False
    held: HeldFiles | None = None

    def look_at_files(self, *, now: bool = False) -> None:
        """Check that the files of the search still exist.

        Args:
            now: whether to check even if the last check was less than a second ago.

        Raises:
            LostError: a file was deleted or replaced.
        """
        if self.held is not None:
            self.held.look(now=now)

    def folder(self, study_folder: Path) -> Path:
        """Return the folder for data that only the coordinator's own workers read."""
        return study_folder

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the lock of the study, so that no other coordinator makes decisions."""
        yield

    def claim(self, trial: optuna.Trial) -> None:
        """Take ownership of a trial; call it within a turn."""

    def is_mine(self, trial: FrozenTrial) -> bool:  # noqa: ARG002
        """Return whether this coordinator owns a trial."""
        return True

    def is_news(self, trial: FrozenTrial) -> bool:  # noqa: ARG002
        """Return whether another coordinator has trained a trial further since the last call."""
        return True

    def is_time_to_look(self) -> bool:
        """Return whether it is time to read the changes of the other coordinators.

        Raises:
            StudyError: this coordinator has lost its connection, and so its slot.
        """
        return False

    def is_time_to_take_over(self) -> bool:
        """Return whether an idle coordinator should now look for abandoned trials."""
        return False

    def left_behind(self, study: optuna.Study) -> list[tuple[optuna.Trial, int]]:  # noqa: ARG002
        """Return abandoned trials with their numbers of epochs; call it within a turn."""
        return []

    def leave(self) -> bool:
        """Announce that this coordinator starts no more trials; call it within a turn.

        Returns:
            Whether no other coordinator is still starting trials.
        """
        return True


class SharedStudy(Sharing):
    """A coordinator of a study on PostgreSQL; there may be others."""

    several = True

    def __init__(self, connection: Connection, name: str) -> None:
        """Take the lowest free slot, so that the slots of dead coordinators are reused.

        Args:
            connection: connection in autocommit mode; it holds the locks until it is closed.
            name: name of the study.

        Raises:
            StudyError: all slots are taken, or the connection is lost.
        """
        self._connection, self._name, self._key = connection, name, lock_key(name)
        self._claimed: set[int] = set()
        self._n_seen: dict[int, int] = {}
        self._looked = self._asked = time.monotonic()
        for setting, value in GONE_AFTER.items():
            self._call("set_config", setting, str(value), False)
        slots = range(1, MAX_COORDINATORS)
        taken = (s for s in slots if self._call("pg_try_advisory_lock", self._key, s))
        self.slot = next(taken, 0)
        if not self.slot:
            raise StudyError(f"study {name!r}: {MAX_COORDINATORS} coordinators are searching it")

    def folder(self, study_folder: Path) -> Path:
        return study_folder / f"{FOLDER}{self.slot}"

    def remove_folders_of_dead(self, study_folder: Path) -> None:
        """Remove the folders of dead coordinators; call it within a turn."""
        paths = list(study_folder.glob(f"{FOLDER}*"))
        alive = {f"{FOLDER}{slot}" for slot in self._slots()}
        for path in paths:
            if path.name not in alive:
                remove_folder(path)

    @contextmanager
    def turn(self) -> Iterator[None]:
        self._call("pg_advisory_lock", self._key, TURN)
        try:
            yield
        finally:
            self._call("pg_advisory_unlock", self._key, TURN)

    def claim(self, trial: optuna.Trial) -> None:
        write_attributes(trial, coordinator=self.slot)
        self._claimed.add(trial.number)

    def is_mine(self, trial: FrozenTrial) -> bool:
        # the slot alone is not enough: a dead coordinator may have had the same slot
        return trial.number in self._claimed and trial.user_attrs.get(OWNER) == self.slot

    def is_news(self, trial: FrozenTrial) -> bool:
        if self.is_mine(trial):
            return False
        n_epochs = len(trial.user_attrs.get(EPOCHS, ()))
        before, self._n_seen[trial.number] = self._n_seen.get(trial.number), n_epochs
        return n_epochs != before

    def is_time_to_look(self) -> bool:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        self._call("pg_backend_pid")  # fails if the connection, and with it our slot, is lost
        return True

    def is_time_to_take_over(self) -> bool:
        return time.monotonic() - self._asked >= TAKE_OVER_SECONDS

    def left_behind(self, study: optuna.Study) -> list[tuple[optuna.Trial, int]]:
        self._asked = time.monotonic()
        others = self._slots() - {self.slot}
        return unfinished_trials(
            study,
            lambda trial: (
                not self.is_mine(trial)
                and trial.user_attrs.get(OWNER) not in others
                and REPEATED not in trial.user_attrs
            ),
        )

    def leave(self) -> bool:
        self._call("pg_advisory_lock", self._key, ENDED + self.slot)
        held = self._slots()
        return not any(s < ENDED and s != self.slot and s + ENDED not in held for s in held)

    def _slots(self) -> set[int]:
        with _one_line(self._name):
            return held_locks(self._connection, self._key) - {TURN}

    def _call(self, function: str, *arguments: int | str) -> object:
        with _one_line(self._name):
            return self._connection.scalar(select(getattr(func, function)(*arguments)))


@contextmanager
def hold_study(storage: optuna.storages.RDBStorage, folder: Path, name: str) -> Iterator[Sharing]:
    """Become a coordinator of a study: exclusively on SQLite, possibly with others on PostgreSQL.

    Args:
        storage: storage of the study.
        folder: folder of the study.
        name: name of the study.

    Raises:
        StudyError: another process is searching a SQLite study, or the server does not respond.
    """
    if not is_postgresql(storage):
        with study_lock(folder, name):
            yield Sharing()
        return
    connection = storage.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.detach()  # not from the pool, so closing it releases the locks
    try:
        sharing = SharedStudy(connection, name)
        own = sharing.folder(folder)
        with sharing.turn():
            sharing.remove_folders_of_dead(folder)
            own.mkdir(parents=True, exist_ok=True)
        try:
            yield sharing
        finally:
            remove_folder(own)
    finally:
        with suppress(SQLAlchemyError):  # the server is gone, and the locks with it
            connection.close()


def is_searched(storage: optuna.storages.RDBStorage, folder: Path, name: str) -> bool:
    """Return whether a coordinator is searching a study now."""
    if not is_postgresql(storage):
        return is_locked(folder)
    with storage.engine.connect() as connection:
        return bool(held_locks(connection, lock_key(name)))


def held_locks(connection: Connection, key: int) -> set[int]:
    """Return the numbers of the advisory locks held under the key of a study."""
    query = text(
        "SELECT CAST(objid AS bigint) FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND classid = CAST(:key AS bigint) AND objsubid = 2 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return set(connection.scalars(query, {"key": key}))


def lock_key(name: str) -> int:
    """Return the lock key of a study, 31 bits, because PostgreSQL's keys are signed."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Report a lost connection in one line. Other coordinators then resume the trials."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StudyError(
            f"study {name!r}: the study database does not respond ({database_reason(error)}); "
            "rerun the same command to resume the search"
        ) from None
