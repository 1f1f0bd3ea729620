"""Status of a running search: its limits, counts, best trial and the trials in training.

The trial store writes it, the scheduler decides by it and the displays show it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import optuna

    from ocrsearch.core import Config
    from ocrsearch.spaces import Values
    from ocrsearch.studies import Rank
    from ocrsearch.training import Epochs

Ending = Literal[
    "trials",
    "timeout",
    "target",
    "epochs",
    "patience",
    "flawless",
    "exhausted",
    "infeasible",
    "interrupted",
]
"""Why a search ended; "epochs" means the ``epoch_budget``, "patience" the ``stall_trials``."""

GIVES_UP: dict[Ending, bool] = {
    "trials": True,
    "timeout": False,
    "target": True,
    "epochs": False,
    "patience": True,
    "flawless": True,
    "exhausted": True,
    "infeasible": True,
    "interrupted": False,
}
"""Whether the paused trials are pruned at the end. Otherwise the next run can resume them."""


@dataclass(frozen=True)
class Limits:
    """Limits at which a search ends.

    Attributes:
        trials: total number of finished trials in the study.
        timeout_s: seconds from the start of this run.
        target_cer: validation CER, as a fraction.
        epoch_budget: total number of epochs, over all trials.
        stall_trials: number of trials in a row that do not lower the validation CER; infeasible
            trials do not count.
        disk_bytes: size limit for weights and checkpoints. Beyond it the files of the worst trials
            are deleted; the search does not end.
    """

    trials: int
    timeout_s: float | None = None
    target_cer: float | None = None
    epoch_budget: int | None = None
    stall_trials: int | None = None
    disk_bytes: int | None = None


@dataclass
class Running:
    """A trial in training.

    Attributes:
        trial: trial of the study.
        values: searched values by path.
        config: configuration that is trained.
        epochs: records of the epochs so far.
        n_reported: number of epochs that the study knows.
        attempts: number of attempts since the last finished epoch, at least 1.
        pruned: whether its worker has to stop after the last epoch.
        ends_early: whether its schedule was shortened because the time runs out.
        ended: time of its last end or pause, in seconds since the epoch of the system clock.
    """

    trial: optuna.Trial
    values: Values
    config: Config
    epochs: Epochs = field(default_factory=list)
    n_reported: int = 0
    attempts: int = 1
    pruned: bool = False
    ends_early: bool = False
    ended: float = 0.0


class Refusal(NamedTuple):
    """A trial whose stored values are no configuration of the space."""

    number: int
    reasons: str


class Progress(NamedTuple):
    """Epochs of a trial that an earlier run or another coordinator trained."""

    number: int
    architecture: str
    epochs: Epochs


Reached = tuple[bool, float]
"""Result of a trial, lower is better: whether it lacks folds, and its lowest CER."""


@dataclass
class Status:
    """State of the search.

    Attributes:
        limits: limits of the search.
        n_complete: number of finished trials that were trained in full.
        n_flawless: number of these without a validation error.
        n_pruned: number of pruned and paused trials.
        n_infeasible: number of trials outside the constraints or the space.
        n_failed: number of trials whose training failed.
        n_epochs: number of epochs trained in this run.
        n_epochs_before: number of epochs trained earlier, or by other coordinators.
        n_without_gain: number of the latest trials in a row without a lower CER.
        n_finished_now: number of trials that finished or failed in this run.
        n_infeasible_now: number of trials that broke a constraint in this run.
        started: start of this run, on the monotonic clock in seconds.
        running: trials in training here, by number.
        paused: paused trials by number, each with its id in the storage.
        elsewhere: numbers of the trials that other coordinators train.
        best_number: number of the best trial; None before any has weights.
        best_value: validation CER of the best trial.
        best_exact: exact match of the best trial, as a fraction.
        best_lacks_folds: whether the best trial was not trained on all folds yet.
        best_values: searched values of the best trial.
        best_rank: rank of the best trial.
        ends: time of the last end and result of each trained trial, by number.
    """

    limits: Limits
    n_complete: int = 0
    n_flawless: int = 0
    n_pruned: int = 0
    n_infeasible: int = 0
    n_failed: int = 0
    n_epochs: int = 0
    n_epochs_before: int = 0
    n_without_gain: int = 0
    n_finished_now: int = 0
    n_infeasible_now: int = 0
    started: float = field(default_factory=time.monotonic)
    running: dict[int, Running] = field(default_factory=dict)
    paused: dict[int, int] = field(default_factory=dict)
    elsewhere: set[int] = field(default_factory=set)
    best_number: int | None = None
    best_value: float | None = None
    best_exact: float | None = None
    best_lacks_folds: bool = False
    best_values: Values = field(default_factory=dict)
    best_rank: Rank | None = None
    ends: dict[int, tuple[float, Reached]] = field(default_factory=dict)

    @property
    def n_finished(self) -> int:
        """Number of trials that count towards the total, in any final state or paused."""
        return self.n_complete + self.n_pruned + self.n_infeasible + self.n_failed

    @property
    def is_idle(self) -> bool:
        """Whether no trial is in training, here or elsewhere."""
        return not self.running and not self.elsewhere

    def may_go_on(self, number: int) -> bool:
        """Return whether a trial is in training, here or elsewhere, or may be resumed."""
        return any(number in trials for trials in (self.paused, self.running, self.elsewhere))

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start of this run."""
        return time.monotonic() - self.started

    @property
    def left_s(self) -> float | None:
        """Estimated seconds to the end of the search; None without an estimate."""
        estimates = []
        if self.n_finished_now:
            per_trial = self.elapsed_s / self.n_finished_now
            estimates.append(per_trial * max(0, self.limits.trials - self.n_finished))
        if self.limits.timeout_s is not None:
            estimates.append(max(0.0, self.limits.timeout_s - self.elapsed_s))
        return min(estimates, default=None)

    def note_best(self, rank: Rank, exact: float, values: Values) -> None:
        """Note a trial whose weights can be exported, if it is better than the best so far.

        Args:
            rank: rank of the trial.
            exact: exact match of its best epoch, as a fraction.
            values: its searched values.
        """
        if self.best_rank is None or rank < self.best_rank:
            self.best_rank, self.best_lacks_folds = rank, rank.lacks_folds
            self.best_value, self.best_number = rank.cer, rank.number
            self.best_exact, self.best_values = exact, values

    def note_end(self, rank: Rank, ended: float) -> None:
        """Note when a trial ended or was paused; it counts once, with its last end.

        Args:
            rank: rank of the trial.
            ended: time of its end, in seconds since the epoch of the system clock.
        """
        self.ends[rank.number] = (ended, (rank.lacks_folds, rank.cer))
        self.n_without_gain = n_without_gain(self.ends)


Observer = Callable[[Status, str | None], None]
"""Callback for every change. Its arguments are the status and a line to show, or None."""


def describe(values: Values) -> str:
    """Return values in one line, each after the last part of its path."""
    parts = []
    for path, value in values.items():
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        parts.append(f"{path.rpartition('.')[2]} {text}")
    return ", ".join(parts)


def n_without_gain(ends: Mapping[int, tuple[float, Reached]]) -> int:
    """Return the number of the latest trials in a row that did not lower the CER.

    A CER over some folds is not comparable with a CER over all folds. The first trial that is
    trained on all folds therefore counts as a gain, and only such trials can improve on it.

    Args:
        ends: time of the last end and result of each trained trial, by number.
    """
    best, n = (True, math.inf), 0
    for _, (_, reached) in sorted(ends.items(), key=lambda end: (end[1][0], end[0])):
        best, n = (reached, 0) if reached < best else (best, n + 1)
    return n
