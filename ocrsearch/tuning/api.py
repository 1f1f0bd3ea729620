"""The search from Python: one call from a space and data to a study's result."""

from __future__ import annotations

import shlex
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

from ocrsearch.core import OptionError, StudyError, n_cores, remove_leftovers, replacing, shown
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
from ocrsearch.tuning.runner import Coordinator
from ocrsearch.tuning.status import (
    Ending,
    Limits,
    Observer,
    Status,
)

LONG_AGO_S = 3600.0
"""Age of a temporary file that no other machine writes any more."""


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
        suggested: space that was derived from the data, if no other was given and the study is new.
        n_folds: number of folds by which configurations are judged, 1 for the validation split.
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
    """Search a space on labelled images. The same call again resumes the study.

    Args:
        space: name of a ready space ("captcha", "lines", ...), path of a YAML file, dict in the
            shape of such a file, or a checked space. None for the space of the study or, if it is
            new, for a space derived from the data.
        data: path of a dataset, text such as "captcha:FOLDER", or "digits".
        options: how to run the search.
        observer: called with the status after every change.
        progress: called with the number of images read, and of all.
        **arguments: options by name, in place of those in ``options``: trials, study, storage,
            workers, timeout ("30m" or seconds), target, max_epochs, patience, max_disk,
            warm_start, init, seed, device, engine, address, gpus_per_worker; and how to read and
            split the data: group, splits, split_seed, train_share, keep_err, max_bad, bidi,
            columns, add. See ``SearchOptions`` and ``DataOptions``.

    Raises:
        OcrSearchError: the space, the data, the study or an option is wrong.
    """
    options = search_options(options, arguments)
    _check_functions(observer=observer, progress=progress)
    given = None if space is None else open_space(space)
    init = options.init or (given.init if given else None)
    data = data_spec(data)
    data_options = inherited_options(data, options.data, init)
    name = default_name(given, data) if options.study is None else check_study_name(options.study)
    with _storage_errors(options.storage):
        storage = open_storage(options.storage, create=True)
        folder = study_folder(options.storage, name, is_new=not exists(storage, name))
        refuse_foreign_folder(storage, name, folder)  # before anything in it is tidied up
        with hold_study(storage, folder, name) as sharing, ExitStack() as stack:
            stack.callback(write_log_back, storage)
            refuse_foreign_folder(storage, name, folder)  # nobody else can change it now
            remove_leftovers(folder, LONG_AGO_S if sharing.several else 0.0)
            engine = stack.enter_context(_engine(options, sharing.folder(folder)))
            dataset = load_dataset(data, data_options, progress)
            place = _Place(storage, name, folder, sharing)
            suggested = None
            space = given or _stored(place)
            if space is None:
                suggested = derive_space(dataset, data_options.max_bad, starts=init is None)
                space = suggested.space
            space = replace(space, init=init or space.init)
            begun = _begin(space, dataset, options, data_options, place)
            sharing.held = _held(storage, begun.study, folder)
            stack.enter_context(sharing.held.explained())
            coordinator = Coordinator(
                begun.study,
                begun.space,
                begun.dataset.splits["train"],
                engine,
                _limits(options),
                folder,
                observer or _silent,
                sharing,
                open_artifacts(folder.parent),
            )
            _announce(_space_lines(given, suggested) + begun.notes, coordinator)
            if coordinator.status.n_finished < options.trials:
                _await_workers(engine, options, begun.space, begun.dataset)
            with _stop_on_signals(coordinator):
                ending = coordinator.run()
            return replace(_result(options, begun, coordinator.status, ending), suggested=suggested)


@dataclass(frozen=True)
class _Place:
    """Where a study is: its database, name and folder, shared with other coordinators."""

    storage: optuna.storages.RDBStorage
    name: str
    folder: Path
    sharing: Sharing


@dataclass(frozen=True)
class _Begun:
    """A study that is ready to be searched.

    Attributes:
        study: opened study.
        space: space, with the architecture of the model to initialise from, if there is one.
        dataset: dataset, without the samples that no configuration can read.
        left_out: list of the samples that are left out, if there are any.
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
    unfit = unfit_in_space(space, dataset.splits["train"], data_options.max_bad)
    dataset = replace(dataset, bad=[*dataset.bad, *unfit])
    facts = _facts(space, dataset, data_options, options.seed or 0, digest)
    is_new = not exists(place.storage, place.name)
    notes = _notes(place.storage, facts, options) if is_new else []
    study = _study(place, space, facts, options.warm_start)
    with place.sharing.turn():
        identity = claim_study_folder(study, place.folder, database_name(options.storage))
    own = place.sharing.folder(place.folder)
    left_out = _prepare_folder(dataset, place.folder, own, init)
    write_identity(own / "data", identity)
    notes += _seed_note(study, options.seed)
    notes += _folds_note(study, dataset, space)
    notes += [left_out_line(dataset, left_out)] if left_out else []
    notes += [start_line] if start_line else []
    return _Begun(study, space, dataset, left_out, notes)


def _stored(place: _Place) -> Space | None:
    """Return the space that the study began with, and its weights; None for a new study."""
    if not exists(place.storage, place.name):
        return None
    study = ConfigurationStudy(place.name, place.storage)
    space = stored_space(study)
    start = place.sharing.folder(place.folder) / START
    if space is None or space.init or study_facts(study).get("init") is None:
        return space
    return replace(space, init=start) if start.is_file() else space


def _space_lines(given: Space | None, suggested: SuggestedSpace | None) -> list[str]:
    """Return lines on a space that was not given."""
    if suggested is not None:
        return suggested.describe()
    return [] if given else ["the study is resumed in the space that it began with"]


def _announce(lines: list[str], coordinator: Coordinator) -> None:
    for line in lines:
        coordinator.observer(coordinator.status, line)


def _result(options: SearchOptions, begun: _Begun, status: Status, ending: Ending) -> SearchResult:
    study, n_bad = begun.study, len(begun.dataset.bad)
    is_trained = status.best_value is not None
    problem = None if is_trained else why_nothing_trained(study.get_trials(deepcopy=False))
    did = how_they_did(study)
    return SearchResult(
        *(study.study_name, options.storage, ending, status, n_bad, begun.left_out, did, problem),
        n_folds=study_facts(study).get("folds", 1),
    )


def _check_functions(**functions: object) -> None:
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise OptionError(f"must be a function, got {shown(function)}", name)


def _study(place: _Place, space: Space, facts: StudyFacts, warm_start: str | None) -> optuna.Study:
    """Open the study; a new one begins with the best of an earlier one, if that is wanted."""
    earlier = earlier_trials(place.storage, warm_start, space) if warm_start else []
    with place.sharing.turn():
        return open_study(place.storage, place.name, space, facts, earlier, place.sharing.slot)


def default_name(space: Space | None, data: str) -> str:
    """Return the name of a study for which none is given: of the space, if any, and the data."""
    return default_study_name(*([space.name] if space else []), data_name(data))


def _held(storage: optuna.storages.RDBStorage, study: optuna.Study, folder: Path) -> HeldFiles:
    file = None if is_postgresql(storage) else Path(str(storage.engine.url.database))

    def is_there() -> bool:
        try:
            return storage.get_study_id_from_name(study.study_name) == study._study_id
        except KeyError:
            return False

    return HeldFiles(study.study_name, folder, file, is_there)


def _notes(
    storage: optuna.storages.RDBStorage, facts: StudyFacts, options: SearchOptions
) -> list[str]:
    """Return a line if another study of the same images and space exists; its name was not given.

    A renamed folder gives another name, and the search would start over.
    """
    if options.study is not None:
        return []
    known = [(s.study_name, s.user_attrs.get(FACTS)) for s in storage.get_all_studies()]
    wanted = facts.to_dict()
    alike = [
        name
        for name, other in known
        if isinstance(other, dict)
        and all(other.get(key) == wanted[key] for key in ("data_fingerprint", "space"))
    ]
    return [
        f"study {name!r} has the same images and the same space; to continue it, give --study "
        f"{shlex.quote(name)}"
        for name in alike[:1]
    ]


def _seed_note(study: optuna.Study, seed: int | None) -> list[str]:
    began = study_facts(study)["seed"]
    if seed is None or seed == began:
        return []
    return [f"--seed {seed} has no effect: the study began with seed {began} and keeps it"]


def _folds_note(study: optuna.Study, dataset: Dataset, space: Space) -> list[str]:
    n_folds, wanted = study_facts(study).get("folds", 1), space.settings.n_folds
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


def _start_from(space: Space, dataset: Dataset) -> tuple[Space, str | None, str | None]:
    """Read the model that the space starts from, if there is one.

    Returns:
        The space, the hash of the weights and a line on what will be kept; see ``prepare_start``.
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


def _portable(space: Space) -> dict[str, Any]:
    """Return the content of a space to be stored, with the name of a model that is built in."""
    name = name_of_start(space.init) if space.init else ""
    return {**space.content, "init": name} if start_model(name) else space.content


def _prepare_folder(dataset: Dataset, folder: Path, own: Path, init: Path | None) -> Path | None:
    """Write what the workers read; return the list of the samples left out, if any was."""
    save_dataset(dataset, own / "data")
    if init and init.resolve() != (own / START).resolve():
        with replacing(own / START) as temporary:
            shutil.copyfile(init, temporary)
    return write_left_out(dataset, folder / LEFT_OUT)


@contextmanager
def _engine(options: SearchOptions, folder: Path) -> Iterator[LocalEngine | RayEngine]:
    """Start the workers first: they load PyTorch while the data is read."""
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
        data = None  # it may be another search's by now
        raise
    finally:
        engine.close()
        if data is not None:
            remove_folder(data)


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
