"""Warm start: a study begins with the best configurations of an earlier one."""

from __future__ import annotations

from typing import Any

import optuna

from ocrsearch.errors import StudyError
from ocrsearch.search.space import Space
from ocrsearch.search.study import EARLIER, ConfigurationStudy, EarlierTrial, rank

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
            origin = {"study": name, "trial": trial.number, "cer": rank(trial).cer}
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


def _place(origin: dict[str, Any]) -> str:
    return f"trial {origin['trial']} of {origin['study']} (CER {origin['cer']:.4f} there)"
