"""Trials of a study as runs of an experiment tracker: parameters, curves, figures and tags.

A run follows from the study database alone. Therefore a log that is written twice is the same as a
log that is written once. ``tensorboard_runs.py`` and ``mlflow_runs.py`` write runs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import optuna
from optuna.trial import FrozenTrial, TrialState

from ocrsearch.spaces import Values
from ocrsearch.studies import (
    FAILURE,
    HALVED,
    REPEATED,
    StudyFacts,
    trial_epochs,
    trial_metrics,
    trial_state,
)
from ocrsearch.training import EpochRecord, Epochs

SCALARS = {
    "loss/train": "train_loss",
    "loss/val": "val_loss",
    "val/cer": "cer",
    "val/wer": "wer",
    "val/exact": "exact",
    "learning_rate": "learning_rate",
    "seconds/epoch": "seconds",
}
"""Names of curves, and the fields of an epoch record that they show."""

BEST_CER = "best/cer"
TOTAL_SECONDS = "seconds/total"

FIGURES = ("n_parameters", "size_mb", "multiply_adds", "latency_ms")
"""Metrics of a trial that do not change with its epochs."""

TEXTS = ("architecture", "seed", "device", "precision")
"""Metrics of a trial that become tags."""

ENDED = ("finished", "pruned", "failed")
"""States of trials that will not train again."""

NO_RUN = "infeasible"
"""State of trials without a run, because they were never trained."""


@dataclass(frozen=True)
class Point:
    """The values of all curves at one epoch.

    Attributes:
        epoch: number of the epoch, from 1.
        time: time at its end in seconds since 1970, without the time in which the trial was paused.
        values: values by the name of the curve.
    """

    epoch: int
    time: float
    values: dict[str, float]


@dataclass(frozen=True)
class Run:
    """A trial as a run.

    Attributes:
        number: number of the trial.
        state: "finished", "paused", "pruned", "failed" or "unfinished" (in training).
        params: searched parameters by path.
        points: curves, a point for each epoch.
        figures: figures of the network, by name.
        tags: texts about the trial and its study, by name.
        began: start in seconds since 1970.
        ended: end in seconds since 1970; None if the trial may train again.
    """

    number: int
    state: str
    params: Values
    points: tuple[Point, ...]
    figures: dict[str, float]
    tags: dict[str, str]
    began: float
    ended: float | None

    @property
    def latest(self) -> float:
        """Time of the last epoch, or of the start."""
        return self.points[-1].time if self.points else self.began


@dataclass(frozen=True)
class Logged:
    """Counts of an update of a log.

    Attributes:
        place: place of the log, without a password.
        n_runs: number of runs in the study.
        n_new: number of runs that were added.
        n_updated: number of earlier runs that were changed.
        n_epochs: number of epochs that were added.
    """

    place: str
    n_runs: int
    n_new: int
    n_updated: int
    n_epochs: int

    @property
    def is_changed(self) -> bool:
        """Whether anything was written."""
        return self.n_new + self.n_updated > 0


class RunLog(ABC):
    """Log of the runs of one study."""

    @abstractmethod
    def update(self, runs: Sequence[Run]) -> Logged:
        """Write what the log lacks, and nothing that it has.

        Args:
            runs: all runs of the study.

        Raises:
            OptionError: the log cannot be written, or it belongs to another study.
        """

    def close(self) -> None:  # noqa: B027
        """Release the files of the log."""


def study_runs(study: optuna.Study, facts: StudyFacts) -> list[Run]:
    """Return a run for each trial that was trained or has failed, in the order of their numbers.

    A configuration that was paused and resumed is one trial and therefore one run.
    """
    trials = study.get_trials(deepcopy=False)
    tags = {
        "study": study.study_name,
        "space": facts.space_name,
        "data": facts.data_spec,
        "data_fingerprint": facts.data_fingerprint,
    }
    return [_run(trial, tags) for trial in trials if _has_run(trial)]


def _has_run(trial: FrozenTrial) -> bool:
    known = REPEATED not in trial.user_attrs and trial.state != TrialState.WAITING
    return known and trial_state(trial) != NO_RUN


def _run(trial: FrozenTrial, study_tags: dict[str, str]) -> Run:
    metrics, state, attrs = trial_metrics(trial), trial_state(trial), trial.user_attrs
    began = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
    end = trial.datetime_complete
    tags = {**study_tags, "trial": str(trial.number), "state": state}
    tags |= {name: str(metrics[name]) for name in TEXTS if metrics.get(name)}  # type: ignore[literal-required]
    if reason := attrs.get(FAILURE):
        tags["failure"] = str(reason)
    if attrs.get(HALVED):
        tags["halved_batch"] = "true"
    return Run(
        number=trial.number,
        state=state,
        params=dict(trial.params),
        points=tuple(_points(trial_epochs(trial), began)),
        figures={f"network/{name}": float(metrics[name]) for name in FIGURES if name in metrics},  # type: ignore[literal-required]
        tags=tags,
        began=began,
        ended=end.timestamp() if end and state in ENDED else None,
    )


def _points(epochs: Epochs, began: float) -> Iterator[Point]:
    """Return the curves: the values of each epoch, and those of the best epoch so far.

    The best is that of ``best_epoch``: with folds it is an epoch of the first fold, with the
    figures over all finished folds.
    """
    best: EpochRecord | None = None
    pooled, seconds = None, 0.0
    for record in epochs:
        if best is None or (record.fold == 1 and _rank(record) < _rank(best)):
            best = record
        pooled = record.pooled or pooled
        seconds += record.seconds
        known = record.model_fields_set
        values = {name: getattr(record, field) for name, field in SCALARS.items() if field in known}
        shown = pooled or best
        values |= {
            BEST_CER: shown.cer,
            "best/wer": shown.wer,
            "best/exact": shown.exact,
            "best/val_loss": shown.val_loss,
            "best/epoch": best.epoch,
            TOTAL_SECONDS: seconds,
        }
        yield Point(record.epoch, began + seconds, {k: float(v) for k, v in values.items()})


def _rank(record: EpochRecord) -> tuple[float, float]:
    return record.cer, record.val_loss
