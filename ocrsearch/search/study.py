"""A study: Optuna's database entry and the folder beside it with weights and checkpoints.

A trial that was running when its coordinator ended stays RUNNING in the database; the next
coordinator takes it up again under the same number. The lock says whether there is one; on
PostgreSQL there may be several, see ``sharing``.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from ocrsearch.config import flatten
from ocrsearch.errors import OptionError, StudyError
from ocrsearch.search.options import DEFAULT_STORAGE as DEFAULT_STORAGE
from ocrsearch.search.optuna_settings import build_pruner, build_sampler
from ocrsearch.search.postgresql import EXAMPLE, database_folder, open_postgresql
from ocrsearch.search.space import Space, Values
from ocrsearch.search.storage import StudyStorage
from ocrsearch.training.epochs import best_epoch

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
SQLITE_TIMEOUT_S = 60
SEEDS_APART = 100_003
LOCK_SECONDS = 1.0
"""A list of studies holds a lock for a moment, to see whether it is free."""

NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*")


ORIGIN = "origin"
"""User attribute: seed, device, versions and what else a trial's result came from."""

PAUSED = "paused"
"""User attribute: the epochs of a trial that waits at a rung, None when it goes on."""


REPEATED = "repeated"
"""User attribute of a trial that was never begun: its configuration had been tried."""


EARLIER = "warm_start"
"""User attribute of a trial that another study's was the pattern of: where it comes from."""


@dataclass(frozen=True)
class EarlierTrial:
    """A configuration of another study, as far as it is one of this space.

    Attributes:
        values: of the searched parameters that both know; the others are suggested.
        origin: ``study``, ``trial`` and ``cer`` there.
    """

    values: Values
    origin: dict[str, Any]


class ConfigurationStudy(optuna.Study):
    """A study whose paused trials look as if they were told PRUNED.

    To the storage they are RUNNING: Optuna cannot reopen a trial, and one that is promoted must
    stay one row, with its whole curve. To samplers and to us what is RUNNING is in training.
    """

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy, None, use_cache)
        seen = [as_configuration(trial) for trial in trials]
        return [t for t in seen if states is None or t.state in states]


def as_configuration(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial; of a paused one a copy that is PRUNED."""
    if trial.state != TrialState.RUNNING or trial.user_attrs.get(PAUSED) is None:
        return trial
    stopped = copy(trial)
    stopped.state = TrialState.PRUNED
    return stopped


@dataclass(frozen=True)
class StudyFacts:
    """What a study is about; stored with it, and compared when it is continued.

    ``init`` is the hash of the weights that its trials start from, None without any.
    """

    space_name: str
    space: dict[str, Any]
    data_spec: str
    data_fingerprint: str
    n_samples: dict[str, int]
    data_options: dict[str, Any]
    seed: int
    init: str | None = None
    objective: tuple[str, ...] = ("cer",)


def open_storage(url: str, *, create: bool = False) -> optuna.storages.RDBStorage:
    """Open a study database.

    Args:
        url: ``sqlite:///FILE`` or ``postgresql://USER:PASSWORD@HOST:PORT/DATABASE``.
        create: whether a missing file and its folder are made, or tables missing on a server.

    Raises:
        StudyError: no such database, or it cannot be opened.
        OptionError: not such a URL.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    parsed = parse_storage(url)
    if parsed.get_backend_name() == "postgresql":
        return open_postgresql(parsed, create=create)
    file = Path(str(parsed.database))
    if not create and not file.exists():
        raise StudyError(f"{file}: no such study database; 'ocrsearch run' makes one")
    try:
        if create:
            file.parent.mkdir(parents=True, exist_ok=True)
            _let_readers_in(file)
        elif not _holds_studies(file):
            raise StudyError(f"{file}: not a study database; 'ocrsearch run' makes one")
        options = {"connect_args": {"timeout": SQLITE_TIMEOUT_S}}
        with _one_at_a_time(file, create=create):
            storage = StudyStorage(url, engine_kwargs=options)
            storage.engine.dispose()  # its connections are opened anew, as is said now
            event.listen(storage.engine, "connect", _do_not_wait_for_the_disk)
            return storage
    except (SQLAlchemyError, sqlite3.Error, RuntimeError) as error:
        raise StudyError(f"{file}: cannot open the study database: {_first_line(error)}") from None


def parse_storage(url: str) -> URL:
    """Return the parts of a study database's URL.

    Raises:
        OptionError: not a database URL, or one of another kind of database.
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
    if backend == "sqlite" and (not parsed.database or parsed.database == ":memory:"):
        raise OptionError(f"{url} names no file; write it as {DEFAULT_STORAGE}", "storage")
    return parsed


def shown_storage(url: str) -> str:
    """Return a study database as a message may show it: its file, or its URL less the password."""
    parsed = parse_storage(url)
    if parsed.get_backend_name() == "sqlite":
        return str(parsed.database)
    return parsed.render_as_string(hide_password=True)


def study_folder(storage_url: str, study_name: str) -> Path:
    """Return where the weights of a study are.

    Beside a SQLite file, ``studies/ocrsearch/NAME`` for ``ocrsearch.db``; of a database on a
    server ``studies/DATABASE/NAME`` in the folder that one works in, which all machines share.
    """
    parsed = parse_storage(storage_url)
    if parsed.get_backend_name() == "postgresql":
        return database_folder(parsed) / study_name
    return Path(str(parsed.database)).with_suffix("") / study_name


def check_study_name(name: str) -> str:
    """Return a name that can also be a folder's.

    Raises:
        OptionError: it cannot.
    """
    if not NAME_PATTERN.fullmatch(name):
        problem = f"use letters, digits, '.', '_' and '-' only, got {name!r}"
        raise OptionError(problem, "study")
    return name


@contextmanager
def study_lock(folder: Path, name: str) -> Iterator[None]:
    """Hold a study for one coordinator; the system gives it free when the process ends.

    Raises:
        StudyError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        raise StudyError(
            f"study {name!r}: another 'ocrsearch run' is searching it; "
            "wait for it, or give --study another name"
        ) from None
    try:
        yield
    finally:
        lock.release()


def is_locked(folder: Path) -> bool:
    """Whether a coordinator is searching the study now."""
    if not (folder / "lock").exists():
        return False
    lock = FileLock(folder / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False


def open_study(
    storage: optuna.storages.RDBStorage,
    name: str,
    space: Space,
    facts: StudyFacts,
    earlier: Sequence[EarlierTrial] = (),
    slot: int = 1,
) -> optuna.Study:
    """Create a study, or continue one that is about the same space and data.

    Args:
        storage: where it is or will be.
        name: of the study.
        space: what is searched.
        facts: what it is about.
        earlier: configurations of another study to begin with, if this one is new.
        slot: of the coordinator, from 1; several of one study have samplers of different seeds.

    Raises:
        StudyError: a study of that name has another space or other data.
    """
    directions = [StudyDirection.MINIMIZE] * len(space.settings.objective)
    _check_objectives(storage, name, len(directions))
    optuna.create_study(
        storage=storage, study_name=name, directions=directions, load_if_exists=True
    )
    study = ConfigurationStudy(name, storage, pruner=build_pruner(space))
    stored = study.user_attrs.get("facts")
    seed = stored["seed"] if stored else facts.seed
    # a seed used again would suggest again what was suggested before
    n_trials = len(study.get_trials(deepcopy=False))
    study.sampler = build_sampler(space, seed + n_trials + SEEDS_APART * (slot - 1))
    if stored is None:
        for trial in earlier:
            study.enqueue_trial(trial.values, {EARLIER: trial.origin}, skip_if_exists=True)
        for first in space.settings.try_first:
            study.enqueue_trial(flatten(first), skip_if_exists=True)
        study.set_user_attr("facts", json.loads(json.dumps(facts.__dict__)))
    else:
        _check_same(name, stored, facts)
    return study


def _check_objectives(storage: optuna.storages.RDBStorage, name: str, n_objectives: int) -> None:
    if name not in optuna.get_all_study_names(storage):
        return
    n_before = len(optuna.load_study(study_name=name, storage=storage).directions)
    if n_before != n_objectives:
        raise StudyError(
            f"study {name!r}: began with {n_before} objectives, the space has {n_objectives} now; "
            "give --study a new name"
        )


def finished_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count towards the total, in their order."""
    return [t for t in trials if t.state in FINISHED and REPEATED not in t.user_attrs]


def unfinished_trials(
    study: optuna.Study, wanted: Callable[[FrozenTrial], bool] | None = None
) -> list[tuple[optuna.Trial, int]]:
    """Return the trials that a coordinator left in training, and their epochs reported."""
    frozen = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    several = len(study.directions) > 1  # then Optuna takes no values in between
    return [
        (
            optuna.Trial(study, t._trial_id),
            len(t.user_attrs.get("epochs", ())) if several else len(t.intermediate_values),
        )
        for t in frozen
        if wanted is None or wanted(t)
    ]


def rank(trial: FrozenTrial) -> tuple[float, float, int]:
    """Return what trained trials are ordered by: CER, then validation loss, then age."""
    epochs = trial.user_attrs.get("epochs")
    best = best_epoch(epochs) if epochs else {}
    return best.get("cer", math.inf), best.get("val_loss", math.inf), trial.number


def _check_same(name: str, stored: dict[str, Any], facts: StudyFacts) -> None:
    now = json.loads(json.dumps(facts.__dict__))
    advice = "continue it with what it began with, or give --study a new name"
    if stored["data_fingerprint"] != now["data_fingerprint"]:
        before = {"add": "", **stored.get("data_options", {})}  # which older studies lack
        after = {"add": "", **now["data_options"]}
        differ = [f"{k} {v!r}" for k, v in before.items() if v != after.get(k)]
        options = f" and {', '.join(differ)}" if differ else ""
        raise StudyError(
            f"study {name!r}: began with other data ({stored['data_spec']}{options}, fingerprint "
            f"{stored['data_fingerprint']}; now {now['data_spec']}, "
            f"{now['data_fingerprint']}); {advice}"
        )
    if stored.get("init") != now["init"]:
        raise StudyError(
            f"study {name!r}: began with other weights (init, hash {stored.get('init')}; now "
            f"{now['init']}); {advice}"
        )
    if stored["space"] != now["space"]:
        before, after = flatten(stored["space"]), flatten(now["space"])
        differ = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
        raise StudyError(
            f"study {name!r}: began with another space, it differs at {', '.join(differ[:3])}; "
            f"{advice}"
        )


def _do_not_wait_for_the_disk(connection: sqlite3.Connection, record: object) -> None:  # noqa: ARG001
    """Let SQLite wait for the disk only when it tidies its log: half the time of a transaction.

    A process that dies loses nothing by it. A power cut may lose the last moments of the
    database, never more: it stays sound, and a trial goes on from its checkpoint.
    """
    connection.execute("PRAGMA synchronous=NORMAL")


def _let_readers_in(file: Path) -> None:
    """Switch a SQLite file to write-ahead logging: reading and writing do not wait."""
    with sqlite3.connect(file, timeout=SQLITE_TIMEOUT_S) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()


@contextmanager
def _one_at_a_time(file: Path, *, create: bool) -> Iterator[None]:
    """Let one process at a time open a file: Optuna's way to make its tables bears no other."""
    folder = file.with_suffix("")
    if create:
        folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock") if folder.is_dir() else nullcontext():
        yield


def _holds_studies(file: Path) -> bool:
    """Whether Optuna has made its tables there; opening it as a storage would make them."""
    connection = sqlite3.connect(file, timeout=SQLITE_TIMEOUT_S)
    try:
        found = connection.execute("SELECT name FROM sqlite_master WHERE name = 'version_info'")
        return found.fetchone() is not None
    finally:
        connection.close()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
