"""Results of studies, read only: summaries, best trials, tables and learning curves.

If a study has no trained trial, ``why_nothing_trained`` explains the reason and what to do.
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
from ocrsearch.studies.optuna_internals import FrozenStudy
from ocrsearch.studies.ownership import check_folder
from ocrsearch.studies.records import trial_epochs
from ocrsearch.studies.sharing import is_searched
from ocrsearch.studies.study import ORIGIN, REPEATED, ConfigurationStudy, rank
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
    """Metrics of a trial, as far as they are known; times in seconds or ms, sizes in MB."""

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


METRICS = (
    "architecture",
    "exact",
    "wer",
    "val_loss",
    "n_parameters",
    "size_mb",
    "multiply_adds",
    "latency_ms",
    "seconds",
    "n_epochs",
    "best_epoch",
    "seed",
    "device",
    "precision",
    "data_fingerprint",
    "versions",
    "transfer",
)
STATES = {
    TrialState.COMPLETE: "finished",
    TrialState.PRUNED: "stopped",
    TrialState.RUNNING: "unfinished",
}
"""States of trials that can have weights, in our words."""

MAX_NAMED = 10
"""Most trials that a message names."""

NOT_IN_TABLES = ("versions", "transfer")
COLUMNS = (
    *("trial", "state", "cer"),
    *(name for name in METRICS if name not in NOT_IN_TABLES),
    *("failure", "started", "ended"),
)


@dataclass(frozen=True)
class StudySummary:
    """A study in a line of a list.

    Attributes:
        name: name of the study.
        space: name of its space.
        data: specification of its data.
        n_complete: number of finished trials.
        n_pruned: number of pruned and paused trials.
        n_failed: number of failed trials.
        n_unfinished: number of trials in training.
        best: lowest validation CER of the finished trials.
        is_running: whether a search is running now.
        last_change: local time of the last change.
        problem: reason why ocrsearch cannot use the study, None if it can; the rest is empty then.
    """

    name: str
    space: str = "?"
    data: str = "?"
    n_complete: int = 0
    n_pruned: int = 0
    n_failed: int = 0
    n_unfinished: int = 0
    best: float | None = None
    is_running: bool = False
    last_change: str = ""
    problem: str | None = None


@dataclass(frozen=True)
class BestTrial:
    """The best configuration of a study that has weights.

    Attributes:
        study: name of the study.
        trial: number of the trial.
        state: "finished", or "stopped" or "unfinished" with the weights of its best epoch so far.
        value: lowest validation CER among its epochs.
        params: paths and values of the searched parameters.
        metrics: its figures, and the machine and program versions that trained it.
        epochs: records of its epochs, for learning curves.
        weights: file with the weights of its best epoch, with folds that of the first.
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
        """The metrics that are numbers."""
        return {k: v for k, v in self.metrics.items() if isinstance(v, int | float)}

    @property
    def n_folds(self) -> int:
        """Number of folds that it has seen to their end, 1 without folds."""
        return max(1, n_finished_folds(self.epochs))

    @property
    def lacks_folds(self) -> bool:
        """Whether it has not seen all folds of its study."""
        return lacks_folds(self.epochs)

    @property
    def all_weights(self) -> list[Path]:
        """Files with the weights of all folds that it has seen to their end."""
        place = self.weights.parent
        return [fold_folder(place, fold) / BEST for fold in range(1, self.n_folds + 1)]


def load_study(storage_url: str, name: str | None) -> optuna.Study:
    """Open a study to read it.

    Args:
        storage_url: URL of the study database.
        name: name of the study; None for the study of ocrsearch that changed last.

    Raises:
        StudyError: no such database or study, or not a study that ocrsearch can read.
    """
    storage = open_storage(storage_url)
    shown = shown_storage(storage_url)
    names = optuna.get_all_study_names(storage)
    if not names:
        raise StudyError(f"{shown}: holds no study yet; 'ocrsearch run' makes one")
    if name is None:
        ours = [s for s in _summaries(storage, storage_url) if s.problem is None]
        if not ours:
            raise StudyError(f"{shown}: holds no study of ocrsearch; there are {', '.join(names)}")
        name = max(ours, key=lambda s: s.last_change).name
    if name not in names:
        raise StudyError(f"study {name!r}: not in {shown}; there are {', '.join(names)}")
    study = ConfigurationStudy(name, storage)
    study_facts(study)
    return study


def list_studies(storage_url: str) -> list[StudySummary]:
    """Return all studies of a database, the latest change last."""
    return sorted(
        _summaries(open_storage(storage_url), storage_url), key=lambda s: (s.last_change, s.name)
    )


def best_trial(
    storage_url: str,
    name: str | None = None,
    limits: Mapping[str, float] | None = None,
    trial: int | None = None,
) -> BestTrial:
    """Return the configuration with the lowest validation CER whose weights are kept.

    Args:
        storage_url: URL of the study database.
        name: name of the study; None for the latest.
        limits: largest value of some metrics, such as ``{"latency_ms": 5.0}``.
        trial: number of the trial to return instead of the best.

    Raises:
        StudyError: no such study, nothing in it has been trained for an epoch, nothing keeps
            to the limits, or there is no such trial.
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
        f"study {study.study_name!r}: trial {trial} has no weights that keep to the limits; the "
        f"best trials that have are {there}"
    )


def next_with_weights(
    storage_url: str, missing: BestTrial, limits: Mapping[str, float]
) -> BestTrial | None:
    """Return the best trial of a study whose weights are there, if those of another are missing."""
    study = load_study(storage_url, missing.study)
    found = best_trials(study, study_folder(storage_url, missing.study), limits, None)
    return next((trial for trial in found if trial.weights.is_file()), None)


def best_trials(
    study: optuna.Study, folder: Path, limits: Mapping[str, float], n: int | None
) -> list[BestTrial]:
    """Return the n best configurations, the best first; fewer if there are no more, None for all.

    Those with weights are the finished ones, the best that wait at a rung, and those in training.

    Raises:
        StudyError: there is none.
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
            found = "none is known" if least is None else f"the lowest found is {least:.3g}"
            raise StudyError(
                f"study {study.study_name!r}: no configuration with weights has {metric} of at "
                f"most {limit:g} ({found}); allow more, or search with constraints in the space"
            )
    return [_best_trial(trial, study, folder) for trial in sorted(trained, key=rank)[:n]]


class ParetoTrial(TypedDict):
    """A finished trial that no other beats in all objectives."""

    trial: int
    values: list[float]
    params: Values


def pareto_set(study: optuna.Study) -> list[ParetoTrial]:
    """Return the finished trials that no other beats in all objectives, by the first of them."""
    if len(study.directions) == 1:
        return []
    trials = sorted(study.best_trials, key=lambda t: t.values)
    return [{"trial": t.number, "values": t.values, "params": t.params} for t in trials]


def _best_trial(best: FrozenTrial, study: optuna.Study, folder: Path) -> BestTrial:
    cer = rank(best).cer
    metrics = trial_metrics(best)
    return BestTrial(
        study.study_name,
        best.number,
        STATES[best.state],
        cer,
        best.params,
        metrics,
        trial_epochs(best),
        trial_folder(folder, best.number) / BEST,
    )


def trial_metrics(trial: FrozenTrial) -> TrialMetrics:
    """Return the metrics of a trial; few if it was never trained."""
    attrs = trial.user_attrs
    epochs = trial_epochs(trial)
    metrics = asdict(epochs_result(epochs)) if epochs else {}
    # a trial that was resumed at a rung has more epochs than its stored figures say
    known = {**attrs, **attrs.get(ORIGIN, {}), **metrics}
    found = metrics | {key: known[key] for key in METRICS if key in known}
    return cast("TrialMetrics", found)  # the types of its values are checked as the row is read


def trials_frame(study: optuna.Study) -> pd.DataFrame:
    """Return a study's trials as a table, a row each: state, value, parameters, metrics."""
    trials = [t for t in study.get_trials(deepcopy=False) if REPEATED not in t.user_attrs]
    searched = sorted(set().union(*(trial.params for trial in trials)))
    return pd.DataFrame([_row(trial) for trial in trials], columns=[*COLUMNS, *searched])


def learning_curves(study: optuna.Study) -> dict[int, Epochs]:
    """Return the records of each trial's epochs, by its number."""
    trials = study.get_trials(deepcopy=False)
    return {t.number: trial_epochs(t) for t in trials if "epochs" in t.user_attrs}


def _row(trial: FrozenTrial) -> dict[str, object]:
    attrs, metrics = trial.user_attrs, trial_metrics(trial)
    started, ended = trial.datetime_start, trial.datetime_complete
    return {
        "trial": trial.number,
        "state": "infeasible" if "infeasible" in attrs else trial.state.name.lower(),
        "cer": trial.values[0] if trial.state == TrialState.COMPLETE else _lowest(trial),
        **{key: metrics.get(key) for key in METRICS if key not in NOT_IN_TABLES},
        "failure": attrs.get("failure") or attrs.get("infeasible"),
        "started": started,
        "ended": ended,
        **trial.params,
    }


def _is_trained(trial: FrozenTrial, folder: Path) -> bool:
    """Whether there are weights to export."""
    if trial.state not in STATES or not trial.user_attrs.get("epochs"):
        return False
    finished = trial.state == TrialState.COMPLETE  # that they are missing is said on export
    return finished or (trial_folder(folder, trial.number) / BEST).exists()


def _lowest(trial: FrozenTrial) -> float | None:
    if trial.user_attrs.get("epochs"):
        return rank(trial).cer
    return min(trial.intermediate_values.values(), default=None)


def _summaries(storage: optuna.storages.RDBStorage, storage_url: str) -> list[StudySummary]:
    return [_summary(found, storage, storage_url) for found in storage.get_all_studies()]


def _summary(
    found: FrozenStudy, storage: optuna.storages.RDBStorage, storage_url: str
) -> StudySummary:
    """Return a line about a study; of another program's only that it is one."""
    name = found.study_name
    try:
        facts = checked_facts(name, found.directions, found.user_attrs)
        folder = study_folder(storage_url, name)
    except OcrSearchError as error:
        return StudySummary(name, problem=str(error))
    trials = ConfigurationStudy(name, storage).get_trials(deepcopy=False)
    trials = [t for t in trials if REPEATED not in t.user_attrs]
    states = ["failed" if "failure" in t.user_attrs else t.state for t in trials]
    times = [t.datetime_complete or t.datetime_start for t in trials]
    values = [t.values[0] for t in trials if t.state == TrialState.COMPLETE]
    return StudySummary(
        name=name,
        space=facts.space_name,
        data=facts.data_spec,
        n_complete=states.count(TrialState.COMPLETE),
        n_pruned=states.count(TrialState.PRUNED),
        n_failed=states.count(TrialState.FAIL) + states.count("failed"),
        n_unfinished=states.count(TrialState.RUNNING),
        best=min(values, default=None),
        is_running=is_searched(storage, folder, name),
        last_change=max((t.isoformat(" ", "milliseconds") for t in times if t), default=""),
    )


INFEASIBLE = "infeasible"
"""User attribute of a trial that was never trained: the reasons."""

EXCESS = "excess"
"""User attribute of such a trial: by how much it is over each limit, as a share of the limit."""

FAILURE = "failure"
"""User attribute of a trial that failed: the reason."""


def why_nothing_trained(trials: Sequence[FrozenTrial]) -> str:
    """Return why no configuration of a study has weights, and what to do.

    Args:
        trials: all of the study.
    """
    known = [t for t in trials if REPEATED not in t.user_attrs]
    infeasible = [t for t in known if INFEASIBLE in t.user_attrs]
    failed = [t for t in known if FAILURE in t.user_attrs]
    if not known:
        return "no trial has begun; search again with more time (`timeout`)"
    if any(t.user_attrs.get("epochs") for t in known if t not in failed):
        return "weights of its trained configurations are not there any more; search again"
    if len(infeasible) == len(known):
        return _all_infeasible(infeasible)
    if len(failed) == len(known):
        return f"{_all(len(failed))} failed, {_most_common_failure(failed)}"
    if infeasible or failed:
        parts = []
        if infeasible:
            parts.append(f"{len(infeasible)} cannot be trained ({_nearest(infeasible)})")
        if failed:
            parts.append(f"{len(failed)} failed, {_most_common_failure(failed)}")
        return f"of {len(known)} configurations {'; '.join(parts)}"
    return "no trial finished an epoch before the search ended; give it more time (`timeout`)"


def _all_infeasible(trials: Sequence[FrozenTrial]) -> str:
    reasons = [t for t in trials if not _is_of_data(t)]
    if not reasons:
        reason = _most_common([t.user_attrs[INFEASIBLE] for t in trials])
        return f"no configuration of this space can read these labels: {reason}"
    return (
        f"{_all(len(trials), 'is', 'are')} over a limit of the space ({_nearest(reasons)}); "
        "allow more there and give the study a new name"
    )


def _is_of_data(trial: FrozenTrial) -> bool:
    """Whether it is the labels alone that a configuration cannot write."""
    excess = trial.user_attrs.get(EXCESS)
    if excess is None:  # of an older version
        reasons = trial.user_attrs[INFEASIBLE]
        return "need more frames" in reasons or "more than one symbol" in reasons
    return list(excess) == [FRAMES]


def _nearest(trials: Sequence[FrozenTrial]) -> str:
    nearest = min(trials, key=lambda t: max(t.user_attrs.get(EXCESS, {"": 0.0}).values()))
    return f"nearest: {nearest.user_attrs[INFEASIBLE]}"


def _most_common_failure(trials: Sequence[FrozenTrial]) -> str:
    return f"most often: {_most_common([t.user_attrs[FAILURE] for t in trials])}"


def _most_common(reasons: Sequence[str]) -> str:
    return Counter(reasons).most_common(1)[0][0]


def _all(n: int, one: str = "", several: str = "") -> str:
    words = ("the only configuration", one) if n == 1 else (f"all {n} configurations", several)
    return " ".join(words).strip()
