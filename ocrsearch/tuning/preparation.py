"""Preparation of a search: its study is held and begun, with the files that the workers read.

A study and its folder must belong together before a search writes to them. Pretrained weights are
checked against some random configurations. A warm start queues the best configurations of an
earlier study.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import optuna

from ocrsearch.core import StudyError, current_content, flatten, remove_leftovers, replacing
from ocrsearch.data import (
    Charset,
    DataOptions,
    Dataset,
    absolute_spec,
    count_folds,
    left_out_line,
    save_dataset,
    write_left_out,
)
from ocrsearch.spaces import Space, random_config, unfit_in_space
from ocrsearch.studies import (
    EPOCHS,
    FACTS,
    ConfigurationStudy,
    EarlierTrial,
    HeldFiles,
    Identity,
    Sharing,
    StudyFacts,
    WarmStartOrigin,
    attributes_of,
    check_folder,
    check_ours,
    claim_folder,
    damaged_trials,
    database_name,
    exists,
    hold_study,
    id_of_study,
    is_postgresql,
    open_storage,
    open_study,
    rank,
    refuse_unknown_trials,
    stored_space,
    stored_trials,
    study_facts,
    study_folder,
    write_identity,
    write_log_back,
)
from ocrsearch.training import LEFT_OUT, START, name_of_start, start_model

if TYPE_CHECKING:
    from ocrsearch.training import StartWeights
    from ocrsearch.tuning.options import SearchOptions

LONG_AGO_S = 3600.0
"""Age in seconds from which a temporary file counts as abandoned by all machines."""


@dataclass(frozen=True)
class StudyPlace:
    """Place of a study: its database, name and folder, shared with other coordinators."""

    storage: optuna.storages.RDBStorage
    name: str
    folder: Path
    sharing: Sharing

    @property
    def own_folder(self) -> Path:
        """Folder of the files that only the workers of this coordinator read."""
        return self.sharing.folder(self.folder)

    def stored_space(self) -> Space | None:
        """Return the space of an existing study, with its pretrained weights; None if it is new."""
        if not exists(self.storage, self.name):
            return None
        study = ConfigurationStudy(self.name, self.storage)
        space = stored_space(study)
        start = self.own_folder / START
        if space is None or space.init or study_facts(study).init is None:
            return space
        return replace(space, init=start) if start.is_file() else space

    @contextmanager
    def watched(self, study: optuna.Study) -> Iterator[None]:
        """Let the search end with a clear error if its database or folder is moved or removed."""
        path = str(self.storage.engine.url.database)
        file = None if is_postgresql(self.storage) else Path(path)

        def is_there() -> bool:
            try:
                return self.storage.get_study_id_from_name(self.name) == id_of_study(study)
            except KeyError:
                return False

        self.sharing.held = HeldFiles(self.name, self.folder, file, is_there)
        with self.sharing.held.explained():
            yield


@contextmanager
def hold_place(url: str, name: str) -> Iterator[StudyPlace]:
    """Open a database and hold a study in it, which may be new.

    Args:
        url: URL of the database.
        name: name of the study.

    Raises:
        StudyError: the study or its folder is foreign, or another process holds it.
    """
    storage = open_storage(url, create=True)
    folder = study_folder(url, name, is_new=not exists(storage, name))
    _refuse_foreign_folder(storage, name, folder)  # before the lock is written to the folder
    with hold_study(storage, folder, name) as sharing:
        try:
            _refuse_foreign_folder(storage, name, folder)  # nobody else can change it now
            remove_leftovers(folder, LONG_AGO_S if sharing.several else 0.0)
            yield StudyPlace(storage, name, folder, sharing)
        finally:
            write_log_back(storage)


def _refuse_foreign_folder(storage: optuna.storages.RDBStorage, name: str, folder: Path) -> None:
    """Refuse a study of another program, and a folder of another study."""
    study = ConfigurationStudy(name, storage) if exists(storage, name) else None
    if study is not None:
        check_ours(study)
    if study is None or FACTS not in study.user_attrs:
        check_folder(folder, name, None)
        refuse_unknown_trials(folder, name, 0)
    else:
        check_folder(folder, name, study_facts(study).id or None)


@dataclass(frozen=True)
class BegunStudy:
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


def begin_study(
    space: Space,
    dataset: Dataset,
    options: SearchOptions,
    data_options: DataOptions,
    place: StudyPlace,
) -> BegunStudy:
    """Open a study, claim its folder and write the files that the workers read.

    Args:
        space: search space.
        dataset: all samples.
        options: options of the search.
        data_options: options by which the data was read and split.
        place: place of the study, which may be new.

    Raises:
        OcrSearchError: the study began with other data or another space, the pretrained weights
            fit no network, or no configuration can read the labels.
    """
    init, digest, start_line = space.init, None, None
    if init is not None:
        from ocrsearch.training import read_start_weights

        start = read_start_weights(init)
        space, start_line = prepare_start(space, start, dataset.charset)
        digest = start.digest
    unfit = unfit_in_space(space, dataset.splits["train"], data_options.max_invalid)
    dataset = replace(dataset, bad=[*dataset.bad, *unfit])
    facts = _facts(space, dataset, data_options, options.seed or 0, digest)

    is_new = not exists(place.storage, place.name)
    warm_start = options.warm_start
    # a new study gets the best trials of the warm-start study
    earlier = earlier_trials(place.storage, warm_start, space) if warm_start else []
    with place.sharing.turn():
        study = open_study(place.storage, place.name, space, facts, earlier, place.sharing.slot)
    with place.sharing.turn():
        database = database_name(options.storage)
        identity = Identity(id=study_facts(study).id, study=place.name, database=database)
        numbers = [t.number for t in stored_trials(study)]
        numbers += [damaged.number for damaged in damaged_trials(study).values()]
        claim_folder(place.folder, identity, 1 + max(numbers, default=-1))

    own = place.own_folder
    save_dataset(dataset, own / "data")
    write_identity(own / "data", identity)
    if init and init.resolve() != (own / START).resolve():
        with replacing(own / START) as temporary:
            shutil.copyfile(init, temporary)
    left_out = write_left_out(dataset, place.folder / LEFT_OUT)

    notes = _alike(place, facts) if is_new and options.study is None else []
    notes += _kept_settings(study, options.seed, dataset, space)
    notes += [left_out_line(dataset, left_out)] if left_out else []
    notes += [start_line] if start_line else []
    return BegunStudy(study, space, dataset, left_out, notes)


def _facts(
    space: Space, dataset: Dataset, data_options: DataOptions, seed: int, init: str | None
) -> StudyFacts:
    content = space.content
    name = name_of_start(space.init) if space.init else ""
    if start_model(name):  # a model that comes with the program has a name on every machine
        content = {**content, "init": name}
    return StudyFacts(
        space_name=space.name,
        space=content,
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


def _alike(place: StudyPlace, facts: StudyFacts) -> list[str]:
    """Return a line if another study has the same images and the same space.

    The default name changes when the folder of the data is renamed. The search would then start
    over.
    """
    wanted = facts.to_dict()
    for other in place.storage.get_all_studies():
        known, name = other.user_attrs.get(FACTS), other.study_name
        if name == place.name or not isinstance(known, dict):
            continue
        if known.get("data_fingerprint") != wanted["data_fingerprint"]:
            continue
        space = known.get("space")
        with suppress(ValueError):  # a damaged space has no current names
            space = current_content(space) if isinstance(space, dict) else None
        if space == wanted["space"]:
            return [
                f"study {name!r} has the same images and the same space; resume it with "
                f"`study={name!r}`"
            ]
    return []


def _kept_settings(
    study: optuna.Study, seed: int | None, dataset: Dataset, space: Space
) -> list[str]:
    """Return lines about the folds, and about settings without effect on an existing study."""
    facts, notes = study_facts(study), []
    if seed not in (None, facts.seed):
        notes.append(
            f"`seed` {seed} has no effect: the study began with seed {facts.seed} and keeps it"
        )
    if facts.folds > 1:
        train, val = dataset.splits["train"], dataset.splits["val"]
        n = len(train) - train.n_added + len(val)
        notes.append(
            f"{facts.folds} folds of {n} training and validation images: configurations that are "
            "among the best on the first fold are trained on the others too"
        )
    if space.settings.n_folds not in (None, facts.folds):
        notes.append(f"search.folds has no effect: the study began with {facts.folds} and keeps it")
    return notes


N_DRAWN = 16
"""Number of random configurations that are compared with pretrained weights."""


def prepare_start(space: Space, start: StartWeights, charset: Charset) -> tuple[Space, str]:
    """Prepare a space for pretrained weights: the first trials use the network of the model.

    If the space contains a network that keeps all weights, the first trial has this network and,
    as far as the space allows, the training settings of the model. The space's own first
    configurations follow with the same network. A space that has first configurations and only
    networks that keep all weights is not changed.

    Args:
        space: search space.
        start: model to initialise from.
        charset: charset of the data.

    Returns:
        Prepared space, and a line about the kept weights.

    Raises:
        BundleError: no weight fits any of some random configurations.
    """
    # torch takes seconds to import, and only a search with pretrained weights needs it here
    from ocrsearch.models import build_network
    from ocrsearch.training import transfer_weights

    line, all_fit = _check_start(space, start, charset)
    if all_fit and space.settings.try_first:
        return space, line
    own = space.values_within(flatten(start.config.model_dump()))
    config = space.resolve(space.complete(own))
    built = build_network(config, len(charset), seed=0)
    if transfer_weights(start, built, config, charset).fresh_layers:
        return space, line
    network = {path: v for path, v in own.items() if path.startswith(("images.", "model."))}
    others = [{**flatten(first), **network} for first in space.settings.try_first]
    first = [own, *others] if own else others
    settings = space.settings.model_copy(update={"try_first": tuple(first)})
    return replace(space, settings=settings), f"{line}; the first have its network"


def _check_start(space: Space, start: StartWeights, charset: Charset) -> tuple[str, bool]:
    """Refuse weights that fit no network among some random configurations of a space.

    Returns:
        Line about the kept weights, and whether every network keeps all of them.
    """
    from ocrsearch.models import build_network
    from ocrsearch.training import check_something_kept, transfer_weights

    configs = [random_config(space, seed) for seed in range(N_DRAWN)]
    networks = [build_network(config, len(charset), seed=0) for config in configs]
    transfers = [
        transfer_weights(start, network, config, charset)
        for network, config in zip(networks, configs, strict=True)
    ]
    best = max(transfers, key=lambda transfer: transfer.share)
    check_something_kept(best, start, configs[transfers.index(best)])
    low = min(transfer.share for transfer in transfers)
    shares = f"{low:.0%}" if low == best.share else f"{low:.0%} to {best.share:.0%}"
    line = (
        f"starts from {start.name}: {shares} of the weights kept, {best.describe_symbols()} "
        f"({N_DRAWN} configurations drawn)"
    )
    return line, not any(transfer.fresh_layers for transfer in transfers)


N_EARLIER = 5
"""Number of configurations that a warm start queues."""


def earlier_trials(
    storage: optuna.storages.BaseStorage, name: str, space: Space
) -> list[EarlierTrial]:
    """Return the best configurations of a study, reduced to the values that a space allows.

    Args:
        storage: database of both studies.
        name: name of the earlier study; it may have another space and other data.
        space: search space. The sampler suggests the values that are missing or not allowed.

    Raises:
        StudyError: there is no such study, or the space allows none of its values.
    """
    names = optuna.get_all_study_names(storage)
    if name not in names:
        there = ", ".join(names) or "none"
        problem = f"no study {name!r} in this database; there are {there}"
        raise StudyError(problem, "warm_start")
    trials = ConfigurationStudy(name, storage).get_trials(deepcopy=False)
    found: list[EarlierTrial] = []
    for trial in sorted((t for t in trials if t.user_attrs.get(EPOCHS)), key=rank):
        values = space.values_within(trial.params)
        if values and values not in [other.values for other in found]:
            origin: WarmStartOrigin = {"study": name, "trial": trial.number, "cer": rank(trial).cer}
            found.append(EarlierTrial(values, origin))
    if not found:
        raise StudyError(
            f"study {name!r} has no trained configuration with a value that this space searches; "
            "begin without it",
            "warm_start",
        )
    return found[:N_EARLIER]


def how_they_did(study: optuna.Study) -> list[str]:
    """Return the results of the warm-start trials, one line each."""
    trained = [t for t in study.get_trials(deepcopy=False) if t.user_attrs.get(EPOCHS)]
    ranked = sorted(trained, key=rank)
    return [
        f"trial {trial.number}, from trial {origin['trial']} of {origin['study']} (CER "
        f"{origin['cer']:.4f} there): CER {rank(trial).cer:.4f} here, place {place} of "
        f"{len(ranked)}"
        for place, trial in enumerate(ranked, start=1)
        if (origin := attributes_of(trial).get("warm_start")) is not None
    ]
