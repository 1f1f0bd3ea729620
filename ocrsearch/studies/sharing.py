"""What coordinators of one study have to agree on: who has which trial, and who decides now.

A SQLite study has one coordinator at a time, and nothing to agree on. On PostgreSQL there may be
several, on several machines. Each holds an advisory lock of its own, its slot, which the server
gives free when the connection ends, however the coordinator ended; trials in training whose slot
is free are taken up by whoever notices. What two must not decide at the same time, which trial to
begin, to continue or to give up, is decided in turns: whoever holds the lock of the study.
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
from ocrsearch.studies.ownership import HeldFiles
from ocrsearch.studies.storage import database_reason
from ocrsearch.studies.study import (
    REPEATED,
    is_locked,
    study_lock,
    unfinished_trials,
)
from ocrsearch.training import remove_folder

FOLDER = "coordinator-"
"""Beginning of the name of a coordinator's folder; its slot follows."""

OWNER = "coordinator"
"""User attribute of a trial: the slot of the coordinator that trains it, or did."""

LOOK_SECONDS = 1.0
"""Interval at which a coordinator reads the changes of the others."""

TAKE_OVER_SECONDS = 5.0
"""So often one with nothing to do sees whether the others are still there."""

MAX_COORDINATORS = 1000
TURN = 0
"""Number of the lock of whoever decides; slots are numbered from 1."""

ENDED = 1_000_000
"""Added to a slot, the number of a lock that says: it begins nothing any more."""

GONE_AFTER = {"tcp_keepalives_idle": 10, "tcp_keepalives_interval": 5, "tcp_keepalives_count": 3}
"""Seconds and attempts, after which a server takes a machine that lost its power for gone."""


class Sharing:
    """The only coordinator of a study: everything is its own."""

    slot = 1
    several = False
    held: HeldFiles | None = None

    def look_at_files(self, *, now: bool = False) -> None:
        """See whether what the search holds open is still where it was.

        Args:
            now: whether to look even if that was done a moment ago.

        Raises:
            LostError: it was deleted or replaced.
        """
        if self.held is not None:
            self.held.look(now=now)

    def folder(self, study_folder: Path) -> Path:
        """Return where a coordinator of the study keeps what only its own workers read."""
        return study_folder

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Keep the others from deciding anything."""
        yield

    def claim(self, trial: optuna.Trial) -> None:
        """Make a trial one's own; within a turn."""

    def is_mine(self, trial: FrozenTrial) -> bool:  # noqa: ARG002
        """Whether a trial was taken up last by this coordinator."""
        return True

    def is_news(self, trial: FrozenTrial) -> bool:  # noqa: ARG002
        """Whether others got on with a trial that ended since this was last asked of it."""
        return True

    def is_time_to_look(self) -> bool:
        """Whether to read now what the others did.

        Raises:
            StudyError: one is no longer known to the others as searching.
        """
        return False

    def is_time_to_take_over(self) -> bool:
        """Whether one that has nothing to do should ask now for what was left."""
        return False

    def left_behind(self, study: optuna.Study) -> list[tuple[optuna.Trial, int]]:  # noqa: ARG002
        """Return trials whose coordinator is gone, and their epochs reported; within a turn."""
        return []

    def leave(self) -> bool:
        """Say that this one begins nothing more; within a turn.

        Returns:
            Whether no other goes on.
        """
        return True


class SharedStudy(Sharing):
    """One of perhaps several coordinators of a study on PostgreSQL."""

    several = True

    def __init__(self, connection: Connection, name: str) -> None:
        """Take the lowest slot that is free, so that a name of a dead one is used again.

        Args:
            connection: connection in autocommit, which holds the locks until it is closed.
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
        """Remove what killed coordinators left; within a turn, in which no folder is made."""
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
        trial.set_user_attr(OWNER, self.slot)
        self._claimed.add(trial.number)

    def is_mine(self, trial: FrozenTrial) -> bool:
        # the slot alone may be that of a dead one who had it before
        return trial.number in self._claimed and trial.user_attrs.get(OWNER) == self.slot

    def is_news(self, trial: FrozenTrial) -> bool:
        if self.is_mine(trial):
            return False
        n_epochs = len(trial.user_attrs.get("epochs", ()))
        before, self._n_seen[trial.number] = self._n_seen.get(trial.number), n_epochs
        return n_epochs != before

    def is_time_to_look(self) -> bool:
        now = time.monotonic()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        self._call("pg_backend_pid")  # fails if our slot is lost, and our trials are another's
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
    """Be a coordinator of a study: the only one on SQLite, one of several on PostgreSQL.

    Args:
        storage: storage of the study.
        folder: folder of the study.
        name: name of the study.

    Raises:
        StudyError: another process holds a SQLite study; the server is gone.
    """
    if not is_postgresql(storage):
        with study_lock(folder, name):
            yield Sharing()
        return
    connection = storage.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    connection.detach()  # not one of the pool's: closing it releases the locks
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
    """Whether a coordinator is searching a study now."""
    if not is_postgresql(storage):
        return is_locked(folder)
    with storage.engine.connect() as connection:
        return bool(held_locks(connection, lock_key(name)))


def held_locks(connection: Connection, key: int) -> set[int]:
    """Return the numbers of the advisory locks that are held under a study's key."""
    query = text(
        "SELECT CAST(objid AS bigint) FROM pg_locks WHERE locktype = 'advisory' AND granted "
        "AND classid = CAST(:key AS bigint) AND objsubid = 2 "
        "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    return set(connection.scalars(query, {"key": key}))


def lock_key(name: str) -> int:
    """Return a study's part of the numbers of its locks: 31 bits, as PostgreSQL's are signed."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) >> 1


@contextmanager
def _one_line(name: str) -> Iterator[None]:
    """Say in one line that the connection is lost; the trials are another's from now on."""
    try:
        yield
    except SQLAlchemyError as error:
        raise StudyError(
            f"study {name!r}: the study database does not answer ({database_reason(error)}); "
            "the same command again continues the search"
        ) from None
