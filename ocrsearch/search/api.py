"""The search from Python: one call from a space and data to a study's result."""

from __future__ import annotations

import re
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Literal

import optuna
from sqlalchemy.exc import SQLAlchemyError

from ocrsearch.data.dataset import (
    Dataset,
    left_out_line,
    load_dataset,
    save_dataset,
    write_left_out,
)
from ocrsearch.data.options import DataOptions
from ocrsearch.data.specs import data_name
from ocrsearch.data.usable import Progress
from ocrsearch.errors import OptionError, StudyError
from ocrsearch.files import remove_leftovers
from ocrsearch.machine import n_cores
from ocrsearch.search.artifacts import open_artifacts
from ocrsearch.search.coordinator import Coordinator
from ocrsearch.search.engines.events import WorkerRefused
from ocrsearch.search.engines.local import LocalEngine
from ocrsearch.search.engines.ray import RayEngine
from ocrsearch.search.engines.worker import WorkerSetup
from ocrsearch.search.gpu_room import trials_at_once
from ocrsearch.search.labels_fit import unfit_in_space
from ocrsearch.search.outcome import why_nothing_trained
from ocrsearch.search.postgresql import database_reason
from ocrsearch.search.sharing import Sharing, hold_study
from ocrsearch.search.space import Space, load_space
from ocrsearch.search.status import Ending, Limits, Observer, Status
from ocrsearch.search.study import (
    DEFAULT_STORAGE,
    StudyFacts,
    check_study_name,
    open_storage,
    open_study,
    shown_storage,
    study_folder,
)
from ocrsearch.search.warm_start import earlier_trials, how_they_did
from ocrsearch.training.trial_files import LEFT_OUT, START, remove_folder

LONG_AGO_S = 3600.0
"""Age of a temporary file that no other machine writes any more."""


@dataclass(frozen=True)
class SearchOptions:
    """How a search is run; what is searched is in the space.

    Attributes:
        trials: total of finished configurations in the study.
        study: its name; None for one made of the names of space and data.
        storage: URL of the study database.
        workers: processes; None for one a core, on a GPU for as many as its memory has room for.
        timeout_s: seconds after which the search ends.
        target: validation CER at which it ends.
        epochs: total of epochs at which it ends.
        patience: it ends when so many configurations in a row bring no lower validation CER.
        disk_mb: what weights and checkpoints may take.
        warm_start: an earlier study, whose best configurations a new one begins with.
        init: model whose weights all configurations start from, in place of the space's.
        seed: of sampler, weights and data order.
        device: "auto", "cpu" or "cuda".
        engine: "local" for processes, "ray" for actors of Ray.
        address: of a Ray cluster; None for one on this machine alone.
        gpus_per_worker: share of a GPU that an actor has; with 0 it computes on its CPU.
        data: how the data is read and split.
    """

    trials: int = 100
    study: str | None = None
    storage: str = DEFAULT_STORAGE
    workers: int | None = None
    timeout_s: float | None = None
    target: float | None = None
    epochs: int | None = None
    patience: int | None = None
    disk_mb: float | None = None
    warm_start: str | None = None
    init: Path | None = None
    seed: int = 0
    device: str = "auto"
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    gpus_per_worker: float = 0.0
    data: DataOptions = field(default_factory=DataOptions)


@dataclass(frozen=True)
class SearchResult:
    """How a search ended; ``best`` and figures are read from the study.

    Attributes:
        study: its name.
        storage: URL of the study database.
        ending: why it ended.
        status: the last one.
        n_bad: samples that could not be used and were left out.
        left_out: where these are listed with their reasons, if there are any.
        earlier: how the configurations of an earlier study did, a line each.
        problem: why no configuration has weights; None if there is a best one.
    """

    study: str
    storage: str
    ending: Ending
    status: Status
    n_bad: int
    left_out: Path | None
    earlier: list[str] = field(default_factory=list)
    problem: str | None = None


def search(
    space: Space | str | Path,
    data: str = "digits",
    options: SearchOptions | None = None,
    *,
    observer: Observer | None = None,
    progress: Progress | None = None,
) -> SearchResult:
    """Search a space on labelled pictures; the same call again continues the study.

    Args:
        space: a checked space, or the path of its file.
        data: see ``read_samples``.
        options: how to run it.
        observer: told of every change.
        progress: told how many pictures are read.

    Raises:
        OcrSearchError: the space, the data, the study or an option is wrong.
    """
    options = options or SearchOptions()
    space = _space(space, options.init)
    _check(options)
    name = check_study_name(options.study) if options.study else default_name(space, data)
    folder = study_folder(options.storage, name)
    with _storage_errors(options.storage):
        storage = open_storage(options.storage, create=True)
        with hold_study(storage, folder, name) as sharing, ExitStack() as stack:
            remove_leftovers(folder, LONG_AGO_S if sharing.several else 0.0)
            own = sharing.folder(folder)
            engine = stack.enter_context(_engine(options, own, space.init))
            dataset = load_dataset(data, options.data, progress)
            space, init, start_line = _start_from(space, dataset)
            unfit = unfit_in_space(space, dataset.splits["train"], options.data.max_bad)
            dataset = replace(dataset, bad=[*dataset.bad, *unfit])
            facts = _facts(space, dataset, options, init)
            study = _study(storage, name, space, facts, options.warm_start, sharing)
            left_out = _prepare_folder(dataset, folder, own, space.init)
            coordinator = Coordinator(
                study,
                space,
                dataset.splits["train"],
                engine,
                _limits(options),
                folder,
                observer or _silent,
                sharing,
                open_artifacts(folder.parent),
            )
            if left_out and observer:
                observer(coordinator.status, left_out_line(dataset, left_out))
            if coordinator.status.n_finished < options.trials:
                coordinator.observer(coordinator.status, start_line)
                _await_workers(engine, options, space, dataset)
            with _stop_on_signals(coordinator):
                ending = coordinator.run()
            status, did = coordinator.status, how_they_did(study)
            trained = status.best_value is not None
            problem = None if trained else why_nothing_trained(study.get_trials(deepcopy=False))
    n_bad = len(dataset.bad)
    return SearchResult(name, options.storage, ending, status, n_bad, left_out, did, problem)


def _space(space: Space | str | Path, init: Path | None) -> Space:
    """Return a checked space, which starts from a model of its own or from the one given."""
    space = space if isinstance(space, Space) else load_space(Path(space))
    return space if init is None else replace(space, init=init)


def _study(
    storage: optuna.storages.RDBStorage,
    name: str,
    space: Space,
    facts: StudyFacts,
    warm_start: str | None,
    sharing: Sharing,
) -> optuna.Study:
    """Open the study; a new one begins with the best of an earlier one, if that is wanted."""
    earlier = earlier_trials(storage, warm_start, space) if warm_start else []
    with sharing.turn():
        return open_study(storage, name, space, facts, earlier, sharing.slot)


def default_name(space: Space, data: str) -> str:
    """Return the name of a study for which none is given: of the space and the data."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", f"{space.name}-{data_name(data)}").strip("-._")


@contextmanager
def _storage_errors(url: str) -> Iterator[None]:
    """Say in one line that the study cannot be written, as on a full disk."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        reason = database_reason(error.__cause__ or error)
        raise StudyError(f"{shown_storage(url)}: cannot write the study: {reason}") from None


def _silent(status: Status, line: str | None) -> None:
    """Show nothing."""


def _limits(options: SearchOptions) -> Limits:
    return Limits(
        trials=options.trials,
        timeout_s=options.timeout_s,
        target=options.target,
        epochs=options.epochs,
        patience=options.patience,
        disk_bytes=int(options.disk_mb * 1e6) if options.disk_mb is not None else None,
    )


def _check(options: SearchOptions) -> None:
    if options.trials < 1:
        raise OptionError(f"--trials {options.trials}: must be at least 1")
    if options.workers is not None and options.workers < 1:
        raise OptionError(f"--workers {options.workers}: must be at least 1")
    for name, value in {"max-epochs": options.epochs, "patience": options.patience}.items():
        if value is not None and value < 1:
            raise OptionError(f"--{name} {value}: must be at least 1")
    if options.disk_mb is not None and not options.disk_mb > 0:
        raise OptionError(f"--max-disk {options.disk_mb:g}: must be megabytes, more than 0")
    _check_engine(options)
    check_seed(options.seed)
    if options.init is not None and not options.init.is_file():
        raise OptionError(f"--init {options.init}: no such model file")
    if options.target is not None and not options.target >= 0:
        raise OptionError(f"--target {options.target}: must be an error rate, 0 or more")


def _check_engine(options: SearchOptions) -> None:
    gpus = options.gpus_per_worker
    if not 0 <= gpus <= 1:
        raise OptionError(f"--gpus-per-worker {gpus:g}: must be from 0 to 1")
    if options.engine == "ray":
        if options.device == "cuda" and gpus == 0:
            raise OptionError("--device cuda: with --engine ray give --gpus-per-worker as well")
        return
    if options.address is not None or gpus:
        option = "--address" if options.address is not None else "--gpus-per-worker"
        raise OptionError(f"{option}: works with --engine ray only")


def check_seed(seed: int) -> None:
    """Refuse a seed that some generator would.

    Raises:
        OptionError: it is negative or too large.
    """
    if not 0 <= seed < 2**31:
        raise OptionError(f"--seed {seed}: must be from 0 to {2**31 - 1}")


def _start_from(space: Space, dataset: Dataset) -> tuple[Space, str | None, str | None]:
    """Read the model that the space starts from, if there is one.

    Returns:
        The space, the hash of the weights and a line on what will be kept; see ``prepare_start``.
    """
    if space.init is None:
        return space, None, None
    from ocrsearch.search.initial import prepare_start
    from ocrsearch.training.weights import read_start_weights

    start = read_start_weights(space.init)
    prepared, line = prepare_start(space, start, dataset.charset)
    return prepared, start.digest, line


def _facts(space: Space, dataset: Dataset, options: SearchOptions, init: str | None) -> StudyFacts:
    return StudyFacts(
        space_name=space.name,
        space=space.content,
        data_spec=dataset.spec,
        data_fingerprint=dataset.fingerprint,
        n_samples={split: len(part) for split, part in dataset.splits.items()},
        data_options=options.data.to_dict(),
        seed=options.seed,
        init=init,
        objective=space.settings.objective,
    )


def _prepare_folder(dataset: Dataset, folder: Path, own: Path, init: Path | None) -> Path | None:
    """Write what the workers read; return the list of the samples left out, if any was."""
    save_dataset(dataset, own / "data")
    if init and init.resolve() != (own / START).resolve():
        temporary = own / f"{START}.part"
        shutil.copyfile(init, temporary)
        temporary.replace(own / START)
    return write_left_out(dataset, folder / LEFT_OUT)


@contextmanager
def _engine(
    options: SearchOptions, folder: Path, init: Path | None
) -> Iterator[LocalEngine | RayEngine]:
    """Start the workers first: they load PyTorch while the data is read."""
    folder = folder.resolve()
    start = folder / START if init else None
    setup = WorkerSetup(folder / "data", options.device, start)
    engine: LocalEngine | RayEngine
    if options.engine == "ray":
        engine = RayEngine(options.workers, setup, options.address, options.gpus_per_worker)
    else:
        engine = LocalEngine(options.workers or n_cores(), setup)
    try:
        yield engine
    finally:
        engine.close()
        remove_folder(folder / "data")


def _await_workers(
    engine: LocalEngine | RayEngine, options: SearchOptions, space: Space, dataset: Dataset
) -> None:
    """Wait for the first worker; on a GPU stop those for which there is no room."""
    while engine.machine is None:
        for event in engine.poll(1.0):
            if isinstance(event, WorkerRefused):
                raise StudyError(event.reason)
    free_mb = engine.machine.free_mb
    if free_mb is not None and options.workers is None and isinstance(engine, LocalEngine):
        engine.keep(trials_at_once(space, dataset.splits["train"], free_mb, n_cores()))


@contextmanager
def _stop_on_signals(coordinator: Coordinator) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the search between two events; a second one ends it hard."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if coordinator.stop_requested:
            raise KeyboardInterrupt
        coordinator.stop_requested = True

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
