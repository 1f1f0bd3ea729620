"""Entry point of the search: one call from a space and a dataset to the result of a study.

``search`` checks the options, holds the study, starts the workers and reads the data. Then it
begins or resumes the study and runs it until a limit is reached.
"""

from __future__ import annotations

import shutil
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

from ocrsearch.core import (
    OptionError,
    StudyError,
    current_content,
    n_cores,
    remove_leftovers,
    replacing,
    shown,
)
from ocrsearch.data import (
    DataOptions,
    Dataset,
    Progress,
    absolute_spec,
    count_folds,
    data_name,
    data_spec,
    left_out_line,
    load_dataset,
    save_dataset,
    write_left_out,
)
from ocrsearch.spaces import Space, SuggestedSpace, derive_space, open_space, unfit_in_space
from ocrsearch.studies import (
    FACTS,
    ConfigurationStudy,
    HeldFiles,
    LostError,
    Sharing,
    StudyFacts,
    check_study_name,
    database_name,
    database_reason,
    default_study_name,
    exists,
    hold_study,
    id_of_study,
    is_postgresql,
    open_artifacts,
    open_storage,
    open_study,
    shown_storage,
    stored_space,
    study_facts,
    study_folder,
    why_nothing_trained,
    write_identity,
    write_log_back,
)
from ocrsearch.training import (
    LEFT_OUT,
    START,
    inherited_options,
    name_of_start,
    remove_folder,
    start_model,
)
from ocrsearch.tuning.engines import LocalEngine, RayEngine, WorkerRefused, WorkerSetup
from ocrsearch.tuning.options import SearchArguments, SearchOptions, search_options
from ocrsearch.tuning.preparation import (
    claim_study_folder,
    earlier_trials,
    how_they_did,
    refuse_foreign_folder,
    trials_at_once,
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

LONG_AGO_S = 3600.0
"""Age in seconds from which a temporary file counts as abandoned by all machines."""


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
            max_disk_mb, warm_start, init, seed, device, engine, address, gpus_per_worker; and how
            to read and split the data: group, splits, split_seed, train_fraction, keep_flagged,
            max_invalid, bidi, columns, extra_train_data. See ``SearchOptions`` and ``DataOptions``.

    Raises:
        OcrSearchError: the space, the data, the study or an option is invalid.
    """
    options = search_options(options, arguments)
    _check_functions(observer=observer, progress=progress)
    given = None if space is None else open_space(space)
    init = options.init or (given.init if given else None)
    data = data_spec(data)
    data_options = inherited_options(data, options.data, init)
    name = default_name(given, data) if options.study is None else check_study_name(options.study)
    with ExitStack() as stack:
        stack.enter_context(_storage_errors(options.storage))
        place = stack.enter_context(_held_study(options.storage, name))
        engine = stack.enter_context(_engine(options, place.own_folder))
        dataset = load_dataset(data, data_options, progress)
        suggested = None
        chosen = given or _stored(place)
        if chosen is None:
            suggested = derive_space(dataset, data_options.max_invalid, starts=init is None)
            chosen = suggested.space
        chosen = replace(chosen, init=init or chosen.init)
        begun = _begin(chosen, dataset, options, data_options, place)
        stack.enter_context(_watched_files(place, begun.study))
        runner = _runner(begun, options, place, engine, observer or _silent)
        for line in _space_lines(given, suggested) + begun.notes:
            runner.observer(runner.status, line)
        if runner.status.n_finished < options.trials:
            _await_workers(engine, options, begun)
        with _stop_on_signals(runner):
            ending = runner.run()
        return replace(_result(options, begun, runner.status, ending), suggested=suggested)


@dataclass(frozen=True)
class _Place:
    """Place of a study: its database, name and folder, shared with other coordinators."""

    storage: optuna.storages.RDBStorage
    name: str
    folder: Path
    sharing: Sharing

    @property
    def own_folder(self) -> Path:
        """Folder of the files that only the workers of this coordinator read."""
        return self.sharing.folder(self.folder)


@contextmanager
def _held_study(url: str, name: str) -> Iterator[_Place]:
    """Open a database and hold a study in it, which may be new."""
    storage = open_storage(url, create=True)
    folder = study_folder(url, name, is_new=not exists(storage, name))
    refuse_foreign_folder(storage, name, folder)  # before the lock is written to the folder
    with hold_study(storage, folder, name) as sharing:
        try:
            refuse_foreign_folder(storage, name, folder)  # nobody else can change it now
            remove_leftovers(folder, LONG_AGO_S if sharing.several else 0.0)
            yield _Place(storage, name, folder, sharing)
        finally:
            write_log_back(storage)


@dataclass(frozen=True)
class _Begun:
    """A study that is ready to be searched.

    Attributes:
        study: opened study.
        space: space, with the architecture of the model to initialise from, if there is one.
        dataset: dataset, without the samples that no configuration can read.
        left_out: list of the skipped samples; None if there are none.
        notes: lines to report.
    """

    study: optuna.Study
    space: Space
    dataset: Dataset
    left_out: Path | None
    notes: list[str]


def _begin(
    space: Space,
    dataset: Dataset,
    options: SearchOptions,
    data_options: DataOptions,
    place: _Place,
) -> _Begun:
    """Open the study, claim its folder and write the files that the workers read."""
    init = space.init
    space, digest, start_line = _start_from(space, dataset)
    unfit = unfit_in_space(space, dataset.splits["train"], data_options.max_invalid)
    dataset = replace(dataset, bad=[*dataset.bad, *unfit])
    facts = _facts(space, dataset, data_options, options.seed or 0, digest)
    is_new = not exists(place.storage, place.name)
    notes = _notes(place.storage, facts, options) if is_new else []
    study = _study(place, space, facts, options.warm_start)
    with place.sharing.turn():
        identity = claim_study_folder(study, place.folder, database_name(options.storage))
    own = place.own_folder
    left_out = _prepare_folder(dataset, place.folder, own, init)
    write_identity(own / "data", identity)
    notes += _seed_note(study, options.seed)
    notes += _folds_note(study, dataset, space)
    notes += [left_out_line(dataset, left_out)] if left_out else []
    notes += [start_line] if start_line else []
    return _Begun(study, space, dataset, left_out, notes)


def _stored(place: _Place) -> Space | None:
    """Return the space of an existing study, with its pretrained weights; None for a new study."""
    if not exists(place.storage, place.name):
        return None
    study = ConfigurationStudy(place.name, place.storage)
    space = stored_space(study)
    start = place.own_folder / START
    if space is None or space.init or study_facts(study).init is None:
        return space
    return replace(space, init=start) if start.is_file() else space


def _space_lines(given: Space | None, suggested: SuggestedSpace | None) -> list[str]:
    """Return lines to report about a space that was not given."""
    if suggested is not None:
        return suggested.describe()
    return [] if given else ["the study is resumed in the space that it began with"]


def _result(options: SearchOptions, begun: _Begun, status: Status, ending: Ending) -> SearchResult:
    study, n_bad = begun.study, len(begun.dataset.bad)
    is_trained = status.best_value is not None
    problem = None if is_trained else why_nothing_trained(study.get_trials(deepcopy=False))
    did = how_they_did(study)
    return SearchResult(
        *(study.study_name, options.storage, ending, status, n_bad, begun.left_out, did, problem),
        n_folds=study_facts(study).folds,
    )


def _check_functions(**functions: object) -> None:
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise OptionError(f"must be a function, got {shown(function)}", name)


def _study(place: _Place, space: Space, facts: StudyFacts, warm_start: str | None) -> optuna.Study:
    """Open the study. A new one gets the best trials of the warm-start study, if there is one."""
    earlier = earlier_trials(place.storage, warm_start, space) if warm_start else []
    with place.sharing.turn():
        return open_study(place.storage, place.name, space, facts, earlier, place.sharing.slot)


def default_name(space: Space | None, data: str) -> str:
    """Return the default name of a study, from the names of the space, if given, and the data."""
    return default_study_name(*([space.name] if space else []), data_name(data))


@contextmanager
def _watched_files(place: _Place, study: optuna.Study) -> Iterator[None]:
    """Let the search end with a clear error if its database or folder is moved or removed."""
    storage, name = place.storage, study.study_name
    file = None if is_postgresql(storage) else Path(str(storage.engine.url.database))

    def is_there() -> bool:
        try:
            return storage.get_study_id_from_name(name) == id_of_study(study)
        except KeyError:
            return False

    place.sharing.held = HeldFiles(name, place.folder, file, is_there)
    with place.sharing.held.explained():
        yield


def _runner(
    begun: _Begun,
    options: SearchOptions,
    place: _Place,
    engine: LocalEngine | RayEngine,
    observer: Observer,
) -> Runner:
    limits = Limits(
        trials=options.trials,
        timeout_s=options.timeout_s,
        target_cer=options.target_cer,
        epoch_budget=options.epoch_budget,
        stall_trials=options.stall_trials,
        disk_bytes=int(options.max_disk_mb * 1e6) if options.max_disk_mb is not None else None,
    )
    artifacts = open_artifacts(place.folder.parent)
    opened = OpenedStudy(begun.study, place.folder, place.sharing, artifacts)
    store = TrialStore(opened, begun.space, begun.dataset.splits["train"], limits)
    return Runner(store, build_scheduler(begun.space, store.n_folds), engine, observer)


def _notes(
    storage: optuna.storages.RDBStorage, facts: StudyFacts, options: SearchOptions
) -> list[str]:
    """Return a line if another study has the same images and space and no name was given.

    The default name changes when the folder of the data is renamed. The search would then start
    over.
    """
    if options.study is not None:
        return []
    known = [(s.study_name, s.user_attrs.get(FACTS)) for s in storage.get_all_studies()]
    wanted = facts.to_dict()
    alike = [
        name
        for name, other in known
        if isinstance(other, dict)
        and other.get("data_fingerprint") == wanted["data_fingerprint"]
        and _current_space(other) == wanted["space"]
    ]
    return [
        f"study {name!r} has the same images and the same space; resume it with `study={name!r}`"
        for name in alike[:1]
    ]


def _current_space(facts: dict[str, Any]) -> object:
    """Return the space of stored facts by its current names; None if it is damaged."""
    space = facts.get("space")
    try:
        return current_content(space) if isinstance(space, dict) else None
    except ValueError:
        return None


def _seed_note(study: optuna.Study, seed: int | None) -> list[str]:
    began = study_facts(study).seed
    if seed is None or seed == began:
        return []
    return [f"`seed` {seed} has no effect: the study began with seed {began} and keeps it"]


def _folds_note(study: optuna.Study, dataset: Dataset, space: Space) -> list[str]:
    n_folds, wanted = study_facts(study).folds, space.settings.n_folds
    notes = []
    if n_folds > 1:
        train, val = dataset.splits["train"], dataset.splits["val"]
        n = len(train) - train.n_added + len(val)
        notes.append(
            f"{n_folds} folds of {n} training and validation images: configurations that are among "
            "the best on the first fold are trained on the others too"
        )
    if wanted not in (None, n_folds):
        notes.append(f"search.folds has no effect: the study began with {n_folds} and keeps it")
    return notes


@contextmanager
def _storage_errors(url: str) -> Iterator[None]:
    """Convert errors of the database, such as a full disk, to a one-line error."""
    try:
        yield
    except (optuna.exceptions.StorageInternalError, SQLAlchemyError) as error:
        reason = database_reason(error.__cause__ or error)
        raise StudyError(f"{shown_storage(url)}: cannot write the study: {reason}") from None


def _silent(status: Status, line: str | None) -> None:
    """Ignore the status."""


def _start_from(space: Space, dataset: Dataset) -> tuple[Space, str | None, str | None]:
    """Read the model to initialise from, if the space has one.

    Returns:
        Space, hash of the weights and a line about the kept weights; see ``prepare_start``.
    """
    if space.init is None:
        return space, None, None
    from ocrsearch.training import read_start_weights
    from ocrsearch.tuning.preparation import prepare_start

    start = read_start_weights(space.init)
    prepared, line = prepare_start(space, start, dataset.charset)
    return prepared, start.digest, line


def _facts(
    space: Space, dataset: Dataset, data_options: DataOptions, seed: int, init: str | None
) -> StudyFacts:
    return StudyFacts(
        space_name=space.name,
        space=_portable(space),
        search=space.settings.model_dump(mode="json"),
        data_spec=dataset.spec,
        data_place=absolute_spec(dataset.spec),
        data_fingerprint=dataset.fingerprint,
        n_samples={split: len(part) for split, part in dataset.splits.items()},
        data_options=data_options.to_dict(),
        seed=seed,
        init=init,
        objective=space.settings.objective,
        folds=count_folds(dataset, space.settings.n_folds),
        constraints=space.settings.constraints.model_dump(exclude_none=True),
    )


def _portable(space: Space) -> dict[str, object]:
    """Return the content of a space for the study, with the name instead of the path of ``init``.

    Only the models that come with the program have such a name.
    """
    name = name_of_start(space.init) if space.init else ""
    return {**space.content, "init": name} if start_model(name) else space.content


def _prepare_folder(dataset: Dataset, folder: Path, own: Path, init: Path | None) -> Path | None:
    """Write the files for the workers; return the list of skipped samples, None if none."""
    save_dataset(dataset, own / "data")
    if init and init.resolve() != (own / START).resolve():
        with replacing(own / START) as temporary:
            shutil.copyfile(init, temporary)
    return write_left_out(dataset, folder / LEFT_OUT)


@contextmanager
def _engine(options: SearchOptions, folder: Path) -> Iterator[LocalEngine | RayEngine]:
    """Start the workers early: they import PyTorch while the data is read."""
    folder = folder.resolve()
    setup = WorkerSetup(folder / "data", options.device)
    engine: LocalEngine | RayEngine
    data: Path | None = folder / "data"
    if options.engine == "ray":
        engine = RayEngine(options.workers, setup, options.address, options.gpus_per_worker)
    else:
        engine = LocalEngine(options.workers or n_cores(), setup)
    try:
        yield engine
    except LostError:
        data = None  # the folder may belong to another search by now
        raise
    finally:
        engine.close()
        if data is not None:
            remove_folder(data)


def _await_workers(engine: LocalEngine | RayEngine, options: SearchOptions, begun: _Begun) -> None:
    """Wait for the first worker; on a GPU stop the workers that do not fit in its memory."""
    while engine.machine is None:
        for event in engine.poll(1.0):
            if isinstance(event, WorkerRefused):
                raise StudyError(event.reason)
    free_mb = engine.machine.free_mb
    if free_mb is not None and options.workers is None and isinstance(engine, LocalEngine):
        train = begun.dataset.splits["train"]
        engine.keep(trials_at_once(begun.space, train, free_mb, n_cores()))


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
