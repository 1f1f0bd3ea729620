"""Preparation of a search: trials per GPU, pretrained weights, earlier studies.

How many trials one GPU trains side by side, by its free memory.

Small networks leave most of a GPU idle: several at a time share it better than one after the
other. What a configuration takes is an estimate; one that finds too little memory after all is
tried once more with half the batch, as on any machine.

Weights that all trials of a search start from: what its networks will keep of them.

Warm start: a study begins with the best configurations of an earlier one.

Which folder belongs to a study: the database and the folder must agree before a search.
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
    FACTS,
    ConfigurationStudy,
    EarlierTrial,
    Identity,
    Origin,
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
"""Configurations that are drawn to see what a large one takes."""

CONTEXT_MB = 700.0
"""What each process takes of a GPU before it trains: CUDA itself and its libraries."""

MEMORY_FACTOR = 2.0
"""Room beside the estimate: workspace of the libraries, and what the allocator holds back."""

USABLE_SHARE = 0.9


def trials_at_once(space: Space, train: LabelledImages, free_mb: float, n_cores: int) -> int:
    """Return how many workers a GPU has room for: at least 1, and no more than cores.

    Args:
        space: whose configurations they train; the largest of some drawn ones counts.
        train: what they train on.
        free_mb: memory of the GPU that nobody uses, in megabytes.
        n_cores: each worker keeps about one of them busy.
    """
    configs = [random_config(space, seed) for seed in range(N_MEASURED)]
    largest = max(network_figures(config, train)["memory_mb"] for config in configs)
    room = int(USABLE_SHARE * free_mb / (CONTEXT_MB + MEMORY_FACTOR * largest))
    return max(1, min(room, n_cores))


N_DRAWN = 16
"""Configurations that are drawn to see what they keep."""


def prepare_start(space: Space, start: StartWeights, charset: Charset) -> tuple[Space, str]:
    """Let a space begin with the network of a model, as far as it has that.

    Weights that fit none of the space's networks are refused, as far as a random draw tells.

    Args:
        space: what will be searched.
        start: the model to start from.
        charset: of the data.

    Returns:
        The space, and a line on what will be kept. Where the space has a network that keeps all
        weights, it is the first, trained as the model was, as far as the space allows; then come
        the space's own first configurations, with that network. If all its networks keep all
        weights, a space with first configurations of its own is left as it is.

    Raises:
        BundleError: nothing fits.
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
    """Return the values with which a network of the space keeps all weights, None if none does."""
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
    """Refuse weights that fit none of some random networks of a space.

    Returns:
        A line for people about the weights that they keep, and whether all keep all.
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
"""So many configurations are taken over."""


def earlier_trials(
    storage: optuna.storages.BaseStorage, name: str, space: Space
) -> list[EarlierTrial]:
    """Return the best configurations of a study, as far as they are in a space.

    Args:
        storage: the database of both studies.
        name: of the earlier study; its space and its data may be others.
        space: what is searched now. A parameter that it does not know, or a value that it does
            not allow, is left to the sampler.

    Raises:
        StudyError: no such study, or nothing of it is in the space.
    """
    names = optuna.get_all_study_names(storage)
    if name not in names:
        there = ", ".join(names) or "none"
        problem = f"no study {name!r} in this database; there are {there}"
        raise StudyError(problem, "warm_start")
    trials = ConfigurationStudy(name, storage).get_trials(deepcopy=False)
    found: list[EarlierTrial] = []
    for trial in sorted((t for t in trials if t.user_attrs.get("epochs")), key=rank):
        values = space.values_within(trial.params)
        if values and values not in [other.values for other in found]:
            origin: Origin = {"study": name, "trial": trial.number, "cer": rank(trial).cer}
            found.append(EarlierTrial(values, origin))
    if not found:
        raise StudyError(
            f"study {name!r} has no trained configuration with a value that this space searches; "
            "begin without it",
            "warm_start",
        )
    return found[:N_EARLIER]


def how_they_did(study: optuna.Study) -> list[str]:
    """Return a line for each configuration that an earlier study was the pattern of."""
    trained = [t for t in study.get_trials(deepcopy=False) if t.user_attrs.get("epochs")]
    ranked = sorted(trained, key=rank)
    return [
        f"trial {trial.number}, from {_place(trial.user_attrs[EARLIER])}: CER "
        f"{rank(trial).cer:.4f} here, place {place} of {len(ranked)}"
        for place, trial in enumerate(ranked, start=1)
        if EARLIER in trial.user_attrs
    ]


def _place(origin: Origin) -> str:
    return f"trial {origin['trial']} of {origin['study']} (CER {origin['cer']:.4f} there)"


def refuse_foreign_folder(storage: optuna.storages.RDBStorage, name: str, folder: Path) -> None:
    """Refuse another program's study, and a folder that belongs to another study than its name's.

    Raises:
        StudyError: it is such a study or folder; or the study cannot be read.
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
    """Make a folder the study's; see ``claim_folder``.

    Args:
        study: opened, with facts.
        folder: folder of the study.
        database: name of the database.
    """
    identity = Identity(id=study_facts(study).id, study=study.study_name, database=database)
    stored = stored_trials(study)
    numbers = [t.number for t in stored] + [d.number for d in damaged_trials(study).values()]
    claim_folder(folder, identity, 1 + max(numbers, default=-1))
    return identity
