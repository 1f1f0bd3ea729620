"""Entry point of the search: one call from a space and a dataset to the result of a study.

``search`` checks the options, holds the study, starts the workers and reads the data. Then
``preparation`` begins or resumes the study, and the ``Runner`` runs it until a limit is reached.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Unpack

import optuna
from sqlalchemy.exc import SQLAlchemyError

from ocrsearch.core import OptionError, StudyError, n_cores, shown
from ocrsearch.data import Progress, data_name, data_spec, load_dataset
from ocrsearch.spaces import Space, SuggestedSpace, derive_space, open_space
from ocrsearch.studies import (
    LostError,
    check_study_name,
    database_reason,
    default_study_name,
    open_artifacts,
    shown_storage,
    study_facts,
    why_nothing_trained,
)
from ocrsearch.training import inherited_options, remove_folder
from ocrsearch.tuning.engines import (
    LocalEngine,
    RayEngine,
    SharedGpu,
    WorkerRefused,
    WorkerSetup,
    shared_gpu,
)
from ocrsearch.tuning.options import SearchArguments, SearchOptions, search_options
from ocrsearch.tuning.preparation import (
    BegunStudy,
    StudyPlace,
    begin_study,
    hold_place,
    how_they_did,
)
from ocrsearch.tuning.runner import Runner
from ocrsearch.tuning.scheduler import build_scheduler
from ocrsearch.tuning.status import (
    Ending,
    Limits,
    Observer,
    Status,
)
from ocrsearch.tuning.store import OpenedStudy, TrialStore
from ocrsearch.tuning.workers import WorkerCount, trials_at_once


@dataclass(frozen=True)
class SearchResult:
    """Result of a search. The study itself holds the trials; see ``best``.

    Attributes:
        study: name of the study.
        storage: URL of the study database.
        ending: reason for the end of the search.
        status: last status.
        n_bad: number of invalid samples that were skipped.
        left_out: file with the skipped samples and the reasons; None if there are none.
        earlier: results of the warm-start trials, one line each.
        problem: reason why no trial has weights; None if there is a best trial.
        suggested: space derived from the data; None if a space was given or the study has one.
        n_folds: number of folds on which trials are compared, 1 for the validation split.
    """

    study: str
    storage: str
    ending: Ending
    status: Status
    n_bad: int
    left_out: Path | None
    earlier: list[str] = field(default_factory=list)
    problem: str | None = None
    suggested: SuggestedSpace | None = None
    n_folds: int = 1


def search(
    space: Space | str | Path | Mapping[str, Any] | None = None,
    data: str | Path = "digits",
    options: SearchOptions | None = None,
    *,
    observer: Observer | None = None,
    progress: Progress | None = None,
    **arguments: Unpack[SearchArguments],
) -> SearchResult:
    """Search a space on labelled images. Repeat the call to resume the study.

    Args:
        space: name of a ready space ("captcha", "lines", ...), path of a YAML file, dict in the
            shape of such a file, or a checked space. None for the space of the study or, if it is
            new, for a space derived from the data.
        data: path of a dataset, text such as "captcha:FOLDER", or "digits".
        options: options of the search.
        observer: function called with the status after every change.
        progress: function called with the number of images read and the total number.
        **arguments: options by name, which replace those in ``options``: trials, study, storage,
            workers, timeout ("30m" or seconds), target_cer, epoch_budget, stall_trials,
            min_gain, max_disk_mb, warm_start, init, seed, device, no_mps, engine, address,
            gpus_per_worker; and how to read and split the data: group, splits, split_seed,
            train_fraction, keep_flagged, max_invalid, bidi, columns, extra_train_data. See
            ``SearchOptions`` and ``DataOptions``.

    Raises:
        OcrSearchError: the space, the data, the study or an option is invalid.
    """
    options = search_options(options, arguments)
    for argument, function in (("observer", observer), ("progress", progress)):
        if function is not None and not callable(function):
            raise OptionError(f"must be a function, got {shown(function)}", argument)
    given = None if space is None else open_space(space)
    init = options.init or (given.init if given else None)
    data = data_spec(data)
    data_options = inherited_options(data, options.data, init)
    name = default_name(given, data) if options.study is None else check_study_name(options.study)
    with ExitStack() as stack:
        stack.enter_context(_storage_errors(options.storage))
        place = stack.enter_context(hold_place(options.storage, name))
        engine, note = stack.enter_context(_engine(options, place.own_folder))
        dataset = load_dataset(data, data_options, progress)
        chosen, suggested, lines = given or place.stored_space(), None, []
        if chosen is None:
            suggested = derive_space(dataset, data_options.max_invalid, starts=init is None)
            chosen, lines = suggested.space, suggested.describe()
        elif given is None:
            lines = ["the study is resumed in the space that it began with"]
        chosen = replace(chosen, init=init or chosen.init)
        begun = begin_study(chosen, dataset, options, data_options, place)
        stack.enter_context(place.watched(begun.study))
        runner = _runner(begun, options, place, engine, observer or (lambda *_: None))
        for line in [*lines, *begun.notes, *([note] if note else [])]:
            runner.observer(runner.status, line)
        if runner.status.n_finished < options.trials:
            _await_workers(engine, options, begun, runner)
        with _stop_on_signals(runner):
            ending = runner.run()
        return replace(_result(options, begun, runner.status, ending), suggested=suggested)


def _result(
    options: SearchOptions, begun: BegunStudy, status: Status, ending: Ending
) -> SearchResult:
    study, n_bad = begun.study, len(begun.dataset.bad)
    is_trained = status.best_value is not None
    problem = None if is_trained else why_nothing_trained(study.get_trials(deepcopy=False))
    did = how_they_did(study)
    return SearchResult(
        *(study.study_name, options.storage, ending, status, n_bad, begun.left_out, did, problem),
        n_folds=study_facts(study).folds,
    )


def default_name(space: Space | None, data: str) -> str:
    """Return the default name of a study, from the names of the space, if given, and the data."""
    return default_study_name(*([space.name] if space else []), data_name(data))


def _runner(
    begun: BegunStudy,
    options: SearchOptions,
    place: StudyPlace,
    engine: LocalEngine | RayEngine,
    observer: Observer,
) -> Runner:
    limits = Limits(
        trials=options.trials,
        timeout_s=options.timeout_s,
        target_cer=options.target_cer,
        epoch_budget=options.epoch_budget,
        stall_trials=options.stall_trials,
        min_gain=options.min_gain,
        disk_bytes=int(options.max_disk_mb * 1e6) if options.max_disk_mb is not None else None,
    )
    artifacts = open_artifacts(place.folder.parent)
    opened = OpenedStudy(begun.study, place.folder, place.sharing, artifacts)
    splits = begun.dataset.splits
    store = TrialStore(opened, begun.space, splits["train"], limits)
    if begun.space.settings.objective == ("cer",):
        compared = splits["val" if store.n_folds == 1 else "train"]
        store.status.n_symbols = sum(map(len, compared.texts))
    return Runner(store, build_scheduler(begun.space, store.n_folds), engine, observer)


@contextmanager
def _storage_errors(url: str) -> Iterator[None]:
    """Convert errors of the database, such as a full disk, to a one-line error."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        reason = database_reason(error.__cause__ or error)
        raise StudyError(f"{shown_storage(url)}: cannot write the study: {reason}") from None


@contextmanager
def _engine(
    options: SearchOptions, folder: Path
) -> Iterator[tuple[LocalEngine | RayEngine, str | None]]:
    """Start the workers early: they import PyTorch while the data is read.

    Yields the engine, and a line about the GPU to report.
    """
    folder = folder.resolve()
    data: Path | None = folder / "data"
    setup, shared = WorkerSetup(folder / "data", options.device), SharedGpu()
    engine: LocalEngine | RayEngine
    with ExitStack() as stack:
        if options.engine == "ray":
            engine = RayEngine(options.workers, setup, options.address, options.gpus_per_worker)
        else:
            if not options.no_mps and options.device != "cpu" and options.workers != 1:
                shared = stack.enter_context(shared_gpu())
            setup = replace(setup, environment=shared.environment)
            engine = LocalEngine(options.workers or n_cores(), setup)
        try:
            yield engine, shared.note
        except LostError:
            data = None  # the folder may belong to another search by now
            raise
        finally:
            engine.close()
            if data is not None:
                remove_folder(data)


def _await_workers(
    engine: LocalEngine | RayEngine, options: SearchOptions, begun: BegunStudy, runner: Runner
) -> None:
    """Wait for the first worker. On a GPU choose the number of workers, unless it is given."""
    problem = _first_answer(engine)
    if problem and isinstance(engine, LocalEngine) and engine.setup.environment:
        engine.restart(replace(engine.setup, environment={}))
        line = f"MPS does not work here ({problem}), so the workers take turns on the GPU"
        runner.observer(runner.status, line)
        problem = _first_answer(engine)
    if engine.machine is None:
        raise StudyError(str(problem))
    free_mb = engine.machine.free_mb
    if free_mb is not None and options.workers is None and isinstance(engine, LocalEngine):
        train = begun.dataset.splits["train"]
        most = trials_at_once(begun.space, train, free_mb, n_cores())
        runner.workers = WorkerCount(most, engine.resize)


def _first_answer(engine: LocalEngine | RayEngine) -> str | None:
    """Wait until a worker is ready, and return why it cannot compute on the GPU, if it cannot."""
    while engine.machine is None:
        for event in engine.poll(1.0):
            if isinstance(event, WorkerRefused):
                return event.reason
    return "the workers found no GPU" if engine.machine.device == "cpu" else None


@contextmanager
def _stop_on_signals(runner: Runner) -> Iterator[None]:
    """End the search after the current events on Ctrl-C or SIGTERM, at once on the second."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if runner.stop_requested:
            raise KeyboardInterrupt
        runner.stop_requested = True

    before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
