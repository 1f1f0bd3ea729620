"""Preparation of a search: workers per GPU, pretrained weights, warm start and the study folder.

Small networks leave most of a GPU idle, so several trials share it; their number follows from an
estimate of the memory. Pretrained weights are checked against some random configurations. A warm
start queues the best configurations of an earlier study. A study and its folder must belong
together before a search writes to them.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import optuna

from ocrsearch.core import StudyError, flatten
from ocrsearch.data import Charset, LabelledImages
from ocrsearch.spaces import Space, Values, network_figures, random_config
from ocrsearch.studies import (
    EARLIER,
    EPOCHS,
    FACTS,
    ConfigurationStudy,
    EarlierTrial,
    Identity,
    WarmStartOrigin,
    check_folder,
    check_ours,
    claim_folder,
    damaged_trials,
    exists,
    rank,
    refuse_unknown_trials,
    stored_trials,
    study_facts,
)

if TYPE_CHECKING:
    from ocrsearch.training import StartWeights

N_MEASURED = 16
"""Number of random configurations whose memory is estimated."""

CONTEXT_MB = 700.0
"""GPU memory of a process before it trains: CUDA and its libraries, in megabytes."""

MEMORY_FACTOR = 2.0
"""Factor on the estimate for the workspace of libraries and the cache of the allocator."""

USABLE_SHARE = 0.9


def trials_at_once(space: Space, train: LabelledImages, free_mb: float, n_cores: int) -> int:
    """Return the number of workers that fit on a GPU: at least 1, at most the number of cores.

    Args:
        space: search space; the largest of some random configurations counts.
        train: training split.
        free_mb: free memory of the GPU in megabytes.
        n_cores: number of processor cores; each worker uses about one.
    """
    configs = [random_config(space, seed) for seed in range(N_MEASURED)]
    largest = max(network_figures(config, train)["memory_mb"] for config in configs)
    room = int(USABLE_SHARE * free_mb / (CONTEXT_MB + MEMORY_FACTOR * largest))
    return max(1, min(room, n_cores))


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
    line, all_fit = _check_start(space, start, charset)
    if all_fit and space.settings.try_first:
        return space, line
    network = _own_network(space, start, charset)
    if network is None:
        return space, line
    own = space.values_within(flatten(start.config.model_dump()))
    others = [{**flatten(first), **network} for first in space.settings.try_first]
    first = [own, *others] if own else others
    settings = space.settings.model_copy(update={"try_first": tuple(first)})
    return replace(space, settings=settings), f"{line}; the first have its network"


def _own_network(space: Space, start: StartWeights, charset: Charset) -> Values | None:
    """Return the values of a network that keeps all weights, None if the space has none."""
    # torch takes seconds to import, and only a search with pretrained weights needs it here
    from ocrsearch.models import build_network
    from ocrsearch.training import transfer_weights

    own = space.values_within(flatten(start.config.model_dump()))
    config = space.resolve(space.complete(own))
    network = build_network(config, len(charset), seed=0)
    if transfer_weights(start, network, config, charset).fresh_layers:
        return None
    return {path: v for path, v in own.items() if path.startswith(("images.", "model."))}


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
        f"trial {trial.number}, from {_place(trial.user_attrs[EARLIER])}: CER "
        f"{rank(trial).cer:.4f} here, place {place} of {len(ranked)}"
        for place, trial in enumerate(ranked, start=1)
        if EARLIER in trial.user_attrs
    ]


def _place(origin: WarmStartOrigin) -> str:
    return f"trial {origin['trial']} of {origin['study']} (CER {origin['cer']:.4f} there)"


def refuse_foreign_folder(storage: optuna.storages.RDBStorage, name: str, folder: Path) -> None:
    """Refuse a study of another program, and a folder of another study.

    Raises:
        StudyError: the study or the folder is foreign, or the study cannot be read.
    """
    study = ConfigurationStudy(name, storage) if exists(storage, name) else None
    if study is not None:
        check_ours(study)
    if study is None or FACTS not in study.user_attrs:
        check_folder(folder, name, None)
        refuse_unknown_trials(folder, name, 0)
    else:
        check_folder(folder, name, study_facts(study).id or None)


def claim_study_folder(study: optuna.Study, folder: Path, database: str) -> Identity:
    """Mark a folder as that of a study; see ``claim_folder``.

    Args:
        study: opened study, with facts.
        folder: folder of the study.
        database: name of the database.
    """
    identity = Identity(id=study_facts(study).id, study=study.study_name, database=database)
    stored = stored_trials(study)
    numbers = [t.number for t in stored] + [d.number for d in damaged_trials(study).values()]
    claim_folder(folder, identity, 1 + max(numbers, default=-1))
    return identity
