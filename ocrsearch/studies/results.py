"""Results of studies, read-only: summaries, best trials, learning curves, the table of trials.

``trials_frame`` is the table of ``ocrsearch studies export``; reports have figures only. If a
study has no trained trial, ``why_nothing_trained`` returns the reason and advice.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from ocrsearch.core import OcrSearchError, StudyError
from ocrsearch.spaces import FRAMES, Values
from ocrsearch.studies.database import open_storage, shown_storage, study_folder
from ocrsearch.studies.facts import checked_facts, study_facts
from ocrsearch.studies.ownership import check_folder
from ocrsearch.studies.records import (
    EPOCHS,
    EXCESS,
    FAILURE,
    INFEASIBLE,
    ORIGIN,
    REPEATED,
    trial_epochs,
)
from ocrsearch.studies.sharing import is_searched
from ocrsearch.studies.study import ConfigurationStudy, is_paused, rank
from ocrsearch.training import (
    BEST,
    Epochs,
    epochs_result,
    fold_folder,
    lacks_folds,
    n_finished_folds,
    trial_folder,
)

if TYPE_CHECKING:
    from ocrsearch.training import Precision


class TrialMetrics(TypedDict, total=False):
    """Known metrics of a trial; times in seconds or milliseconds, sizes in MB."""

    cer: float
    architecture: str
    exact: float
    wer: float
    val_loss: float
    n_parameters: int
    size_mb: float
    multiply_adds: float
    latency_ms: float
    seconds: float
    n_epochs: int
    best_epoch: int
    seed: int
    device: str
    precision: Precision
    data_fingerprint: str
    versions: dict[str, str]
    transfer: dict[str, object] | None


METRICS = tuple(name for name in TrialMetrics.__annotations__ if name != "cer")
"""Metrics in the order of their columns in ``trials_frame``, where the CER comes first."""

STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "pruned",
    TrialState.RUNNING: "unfinished",
}
"""Display names of the states in which a trial can have weights; see also ``is_paused``."""

MAX_NAMED = 10
"""Maximum number of trials listed in a message."""

WITHOUT_COLUMN = ("versions", "transfer")
"""Metrics without a column in ``trials_frame``, because they are dicts."""

COLUMNS = (
    *("trial", "state", "cer"),
    *(name for name in METRICS if name not in WITHOUT_COLUMN),
    *("failure", "started", "ended"),
)
"""Columns of ``trials_frame``; the searched parameters follow."""


@dataclass(frozen=True)
class StudySummary:
    """Summary of a study for a list.

    Attributes:
        name: name of the study.
        space: name of its space.
        data: specification of its data.
        n_complete: number of finished trials.
        n_paused: number of paused trials, which may be resumed.
        n_pruned: number of pruned trials, which will not be resumed.
        n_failed: number of failed trials.
        n_unfinished: number of trials in training.
        best: lowest validation CER of the finished trials.
        is_running: whether a search is running now.
        last_change: local time of the last change.
        problem: reason why ocrsearch cannot use the study; None if it can. With a problem, the
            other fields are empty.
    """

    name: str
    space: str = "?"
    data: str = "?"
    n_complete: int = 0
    n_paused: int = 0
    n_pruned: int = 0
    n_failed: int = 0
    n_unfinished: int = 0
    best: float | None = None
    is_running: bool = False
    last_change: str = ""
    problem: str | None = None


@dataclass(frozen=True)
class BestTrial:
    """A trial with weights, usually the best of a study.

    Attributes:
        study: name of the study.
        trial: number of the trial.
        state: "finished", "paused", "pruned" or "unfinished" (in training).
        value: lowest validation CER of all epochs.
        params: paths and values of the searched parameters.
        metrics: metrics, and the machine and versions used for the training.
        epochs: epoch records, for learning curves.
        weights: file with the weights of the best epoch; with folds, of the first fold.
    """

    study: str
    trial: int
    state: str
    value: float
    params: Values
    metrics: TrialMetrics
    epochs: Epochs
    weights: Path

    @property
    def numbers(self) -> dict[str, float]:
        """The numeric metrics."""
        return {k: v for k, v in self.metrics.items() if isinstance(v, int | float)}

    @property
    def n_folds(self) -> int:
        """Number of finished folds; 1 without folds."""
        return max(1, n_finished_folds(self.epochs))

    @property
    def lacks_folds(self) -> bool:
        """Whether the trial has not finished all folds of its study."""
        return lacks_folds(self.epochs)

    @property
    def all_weights(self) -> list[Path]:
        """Files with the weights of all finished folds."""
        place = self.weights.parent
        return [fold_folder(place, fold) / BEST for fold in range(1, self.n_folds + 1)]


def load_study(storage_url: str, name: str | None) -> optuna.Study:
    """Open a study for reading.

    Args:
        storage_url: URL of the study database.
        name: name of the study; None for the study of ocrsearch that changed last.

    Raises:
        StudyError: the database or study does not exist, or ocrsearch cannot read the study.
    """
    storage = open_storage(storage_url)
    shown = shown_storage(storage_url)
    names = optuna.get_all_study_names(storage)
    if not names:
        raise StudyError(f"{shown}: has no study yet; create one with 'ocrsearch run'")
    if name is None:
        ours = [s for s in _summaries(storage, storage_url) if s.problem is None]
        if not ours:
            raise StudyError(f"{shown}: has no study of ocrsearch; found {', '.join(names)}")
        name = max(ours, key=lambda s: s.last_change).name
    if name not in names:
        raise StudyError(f"study {name!r}: not in {shown}; found {', '.join(names)}")
    study = ConfigurationStudy(name, storage)
    study_facts(study)
    return study


def list_studies(storage_url: str) -> list[StudySummary]:
    """Return all studies of a database, sorted by the time of the last change."""
    return sorted(
        _summaries(open_storage(storage_url), storage_url), key=lambda s: (s.last_change, s.name)
    )


def _summaries(storage: optuna.storages.RDBStorage, storage_url: str) -> list[StudySummary]:
    """Return a summary of each study; for a study of another program only the problem."""
    summaries = []
    for found in storage.get_all_studies():
        name = found.study_name
        try:
            facts = checked_facts(name, found.directions, found.user_attrs)
            folder = study_folder(storage_url, name)
        except OcrSearchError as error:
            summaries.append(StudySummary(name, problem=str(error)))
            continue
        trials = ConfigurationStudy(name, storage).get_trials(deepcopy=False)
        trials = [t for t in trials if REPEATED not in t.user_attrs]
        states = [
            "failed" if FAILURE in t.user_attrs else "paused" if is_paused(t) else t.state
            for t in trials
        ]
        times = [t.datetime_complete or t.datetime_start for t in trials]
        values = [t.values[0] for t in trials if t.state == TrialState.COMPLETE]
        summary = StudySummary(
            name=name,
            space=facts.space_name,
            data=facts.data_spec,
            n_complete=states.count(TrialState.COMPLETE),
            n_paused=states.count("paused"),
            n_pruned=states.count(TrialState.PRUNED),
            n_failed=states.count(TrialState.FAIL) + states.count("failed"),
            n_unfinished=states.count(TrialState.RUNNING),
            best=min(values, default=None),
            is_running=is_searched(storage, folder, name),
            last_change=max((t.isoformat(" ", "milliseconds") for t in times if t), default=""),
        )
        summaries.append(summary)
    return summaries


def best_trial(
    storage_url: str,
    name: str | None = None,
    limits: Mapping[str, float] | None = None,
    trial: int | None = None,
) -> BestTrial:
    """Return the trial with the lowest validation CER among those with weights.

    Args:
        storage_url: URL of the study database.
        name: name of the study; None for the latest study.
        limits: upper limits for metrics, such as ``{"latency_ms": 5.0}``.
        trial: number of the trial to return instead of the best.

    Raises:
        StudyError: the study or trial does not exist, no trial has finished an epoch, or no trial
            meets the limits.
    """
    study = load_study(storage_url, name)
    found = best_trials(study, study_folder(storage_url, study.study_name), limits or {}, None)
    if trial is None:
        return found[0]
    for candidate in found:
        if candidate.trial == trial:
            return candidate
    there = ", ".join(str(candidate.trial) for candidate in found[:MAX_NAMED])
    raise StudyError(
        f"study {study.study_name!r}: trial {trial} has no weights or exceeds the limits; choose "
        f"from {there}"
    )


def next_with_weights(
    storage_url: str, missing: BestTrial, limits: Mapping[str, float]
) -> BestTrial | None:
    """Return the best trial of a study whose weights exist, as a replacement for another trial."""
    study = load_study(storage_url, missing.study)
    found = best_trials(study, study_folder(storage_url, missing.study), limits, None)
    return next((trial for trial in found if trial.weights.is_file()), None)


def best_trials(
    study: optuna.Study, folder: Path, limits: Mapping[str, float], n: int | None
) -> list[BestTrial]:
    """Return up to n trials with weights, the best first; all of them if n is None.

    Finished trials, the best paused trials and trials in training have weights.

    Raises:
        StudyError: no trial has weights and meets the limits.
    """
    check_folder(folder, study.study_name, study_facts(study).id or None)
    trained = [t for t in study.get_trials(deepcopy=False) if _is_trained(t, folder)]
    if not trained:
        why = why_nothing_trained(study.get_trials(deepcopy=False))
        raise StudyError(f"study {study.study_name!r}: {why}")
    for metric, limit in limits.items():
        least = min((t.user_attrs[metric] for t in trained if metric in t.user_attrs), default=None)
        trained = [t for t in trained if t.user_attrs.get(metric, math.inf) <= limit]
        if not trained:
            found = "no value is known" if least is None else f"the lowest is {least:.3g}"
            raise StudyError(
                f"study {study.study_name!r}: no configuration with weights has {metric} of at "
                f"most {limit:g} ({found}); raise the limit, or search with constraints in the "
                "space"
            )
    return [
        BestTrial(
            study.study_name,
            trial.number,
            "paused" if is_paused(trial) else STATES[trial.state],
            rank(trial).cer,
            trial.params,
            trial_metrics(trial),
            trial_epochs(trial),
            trial_folder(folder, trial.number) / BEST,
        )
        for trial in sorted(trained, key=rank)[:n]
    ]


def _is_trained(trial: FrozenTrial, folder: Path) -> bool:
    """Return whether a trial has weights to export."""
    if trial.state not in STATES or not trial.user_attrs.get(EPOCHS):
        return False
    finished = trial.state == TrialState.COMPLETE  # missing weights are reported on export
    return finished or (trial_folder(folder, trial.number) / BEST).exists()


class ParetoTrial(TypedDict):
    """A finished trial that no other beats in all objectives."""

    trial: int
    values: list[float]
    params: Values


def pareto_set(study: optuna.Study) -> list[ParetoTrial]:
    """Return the Pareto front of a study, sorted by the first objective."""
    if len(study.directions) == 1:
        return []
    trials = sorted(study.best_trials, key=lambda t: t.values)
    return [{"trial": t.number, "values": t.values, "params": t.params} for t in trials]


def trial_metrics(trial: FrozenTrial) -> TrialMetrics:
    """Return the known metrics of a trial."""
    attrs = trial.user_attrs
    epochs = trial_epochs(trial)
    metrics = asdict(epochs_result(epochs)) if epochs else {}
    # after a trial is resumed at a rung, its stored metrics are older than its epochs
    known = {**attrs, **attrs.get(ORIGIN, {}), **metrics}
    found = metrics | {key: known[key] for key in METRICS if key in known}
    return cast("TrialMetrics", found)  # the types are checked when the row is read


def trials_frame(study: optuna.Study) -> pd.DataFrame:
    """Return a table with the state, value, metrics and parameters of each trial."""
    trials = [t for t in study.get_trials(deepcopy=False) if REPEATED not in t.user_attrs]
    rows = []
    for trial in trials:
        attrs, metrics = trial.user_attrs, trial_metrics(trial)
        if trial.state == TrialState.COMPLETE:
            cer = trial.values[0]
        elif attrs.get(EPOCHS):
            cer = rank(trial).cer
        else:
            cer = min(trial.intermediate_values.values(), default=None)
        state = "paused" if is_paused(trial) else trial.state.name.lower()
        row = {
            "trial": trial.number,
            "state": "infeasible" if INFEASIBLE in attrs else state,
            "cer": cer,
            **{key: metrics.get(key) for key in METRICS if key not in WITHOUT_COLUMN},
            "failure": attrs.get(FAILURE) or attrs.get(INFEASIBLE),
            "started": trial.datetime_start,
            "ended": trial.datetime_complete,
        }
        rows.append(row | trial.params)
    searched = sorted(set().union(*(trial.params for trial in trials)))
    return pd.DataFrame(rows, columns=[*COLUMNS, *searched])


def learning_curves(study: optuna.Study) -> dict[int, Epochs]:
    """Return the epoch records of each trial, by trial number."""
    trials = study.get_trials(deepcopy=False)
    return {t.number: trial_epochs(t) for t in trials if EPOCHS in t.user_attrs}


def why_nothing_trained(trials: Sequence[FrozenTrial]) -> str:
    """Return the reason why no trial of a study has weights, and what to do.

    Args:
        trials: all trials of the study.
    """
    known = [t for t in trials if REPEATED not in t.user_attrs]
    infeasible = [t for t in known if INFEASIBLE in t.user_attrs]
    failed = [t for t in known if FAILURE in t.user_attrs]
    if not known:
        return "no trial has started; raise `timeout` and search again"
    if any(t.user_attrs.get(EPOCHS) for t in known if t not in failed):
        return "the weights of all trained configurations are missing; search again"
    if not (infeasible or failed):
        return "no trial finished an epoch before the search ended; raise `timeout`"
    n = len(known)
    subject = "the only configuration" if n == 1 else f"all {n} configurations"
    if len(infeasible) == n:
        over_limit = [t for t in infeasible if not _is_of_data(t)]
        if not over_limit:
            reason = _most_common(infeasible, INFEASIBLE)
            return f"no configuration of this space can read these labels: {reason}"
        return (
            f"{subject} {'exceeds' if n == 1 else 'exceed'} a limit of the space "
            f"(nearest: {_nearest(over_limit)}); raise the limit and give the study a new name"
        )
    if len(failed) == n:
        return f"{subject} failed, most often: {_most_common(failed, FAILURE)}"
    parts = []
    if infeasible:
        parts.append(f"{len(infeasible)} cannot be trained (nearest: {_nearest(infeasible)})")
    if failed:
        parts.append(f"{len(failed)} failed, most often: {_most_common(failed, FAILURE)}")
    return f"of {n} configurations {'; '.join(parts)}"


def _is_of_data(trial: FrozenTrial) -> bool:
    """Return whether a trial is infeasible only because it cannot output the labels."""
    excess = trial.user_attrs.get(EXCESS)
    if excess is None:  # trial of an older version
        reasons = trial.user_attrs[INFEASIBLE]
        return "need more frames" in reasons or "more than one symbol" in reasons
    return list(excess) == [FRAMES]


def _nearest(infeasible: Sequence[FrozenTrial]) -> str:
    """Return the reasons of the trial with the smallest excess over a limit."""
    nearest = min(infeasible, key=lambda t: max(t.user_attrs.get(EXCESS, {"": 0.0}).values()))
    return str(nearest.user_attrs[INFEASIBLE])


def _most_common(trials: Sequence[FrozenTrial], attribute: str) -> str:
    """Return the most frequent value of a user attribute that all these trials have."""
    return str(Counter(t.user_attrs[attribute] for t in trials).most_common(1)[0][0])
