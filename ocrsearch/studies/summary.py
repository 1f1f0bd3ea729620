"""Summary of a search: its space, its trials by state, and the epochs and time spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from ocrsearch.core import SpaceError
from ocrsearch.spaces import Space, rebuild_space
from ocrsearch.studies.facts import StudyFacts
from ocrsearch.studies.records import FAILURE, INFEASIBLE, REPEATED, trial_epochs
from ocrsearch.studies.study import is_paused

STATES = ("finished", "paused", "pruned", "infeasible", "failed", "unfinished")
"""States of a trial, in the order of tables."""

ENDED = ("finished", "paused", "pruned")
"""States of the trials that trained and have ended or are paused."""


@dataclass(frozen=True)
class SearchSummary:
    """Summary of a search.

    Attributes:
        space: name of the space.
        parameters: searched values of each parameter, as text by path; empty if the stored space
            is of an older version.
        states: number of trials by state, see STATES.
        n_epochs: number of epochs of all trials.
        seconds: training time summed over all trials.
        max_epochs: largest number of epochs of a trial; None if the space cannot be read.
        sampler: name of the sampler; None in older studies.
        pruner: name of the pruner; None in older studies.
        objective: names of the objectives.
        folds: number of folds, 1 without folds.
        constraints: limits for networks.
        began: local time of the first trial, empty without trials.
        ended: local time of the last change.
    """

    space: str
    parameters: dict[str, str]
    states: dict[str, int]
    n_epochs: int
    seconds: float
    max_epochs: int | None
    sampler: str | None
    pruner: str | None
    objective: tuple[str, ...]
    folds: int
    constraints: dict[str, float]
    began: str
    ended: str


def trial_state(trial: FrozenTrial) -> str:
    """Return the state of a trial, one of STATES."""
    if INFEASIBLE in trial.user_attrs:
        return "infeasible"
    if FAILURE in trial.user_attrs or trial.state == TrialState.FAIL:
        return "failed"
    if is_paused(trial):
        return "paused"
    ended = {TrialState.COMPLETE: "finished", TrialState.PRUNED: "pruned"}
    return ended.get(trial.state, "unfinished")


def n_ended(states: Mapping[str, int]) -> int:
    """Return the number of trials that trained and have ended or are paused."""
    return sum(states[state] for state in ENDED)


def readable_space(facts: StudyFacts) -> Space | None:
    """Return the space of a study; None if this version cannot read it."""
    try:
        return rebuild_space(facts.space, facts.space_name)
    except (SpaceError, ValueError):
        return None


def summarize_search(study: optuna.Study, facts: StudyFacts) -> SearchSummary:
    """Summarise a search; trials that repeat another one are not counted."""
    shown = study.get_trials(deepcopy=False)
    trials = [t for t in shown if REPEATED not in t.user_attrs and t.state != TrialState.WAITING]
    counts = Counter(map(trial_state, trials))
    epochs = [record for trial in trials for record in trial_epochs(trial)]
    times = [t for trial in trials for t in (trial.datetime_start, trial.datetime_complete) if t]
    space = readable_space(facts)
    search = facts.search or {}
    return SearchSummary(
        space=facts.space_name,
        parameters={p.path: p.distribution.describe() for p in space.parameters} if space else {},
        states={state: counts[state] for state in STATES},
        n_epochs=len(epochs),
        seconds=sum(record.seconds for record in epochs),
        max_epochs=space.max_epochs if space else None,
        sampler=_name(search, "sampler"),
        pruner=_name(search, "pruner"),
        objective=facts.objective,
        folds=facts.folds,
        constraints=facts.constraints,
        began=min(times).isoformat(" ", "minutes") if times else "",
        ended=max(times).isoformat(" ", "minutes") if times else "",
    )


def _name(search: Mapping[str, object], key: str) -> str | None:
    """Return the name of the sampler or pruner in stored settings."""
    settings = search.get(key)
    name = settings.get("name") if isinstance(settings, dict) else None
    return name if isinstance(name, str) else None
