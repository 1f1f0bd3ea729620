"""Scheduler: decides how long trials train, which are resumed and when a search ends.

It adds the limits of the search to ``Promotion``. Both work on plain values: they know no study,
no files and no workers.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from ocrsearch.spaces import AshaSettings
from ocrsearch.training import Epochs
from ocrsearch.tuning.promotion import Promotion, default_rungs

if TYPE_CHECKING:
    from ocrsearch.core import TrainingConfig
    from ocrsearch.spaces import Space
    from ocrsearch.tuning.status import Ending, Status

MAX_ATTEMPTS = {"crash": 2, "died": 5, "killed": 5}
"""Number of attempts at a trial by kind of failure, unless it finishes an epoch in between.

A worker that dies may have been killed for a reason other than its configuration.
"""

MAX_REPEATS = 50
"""Number of repeated suggestions in a row after which the space counts as exhausted."""

MAX_INFEASIBLE_IN_A_ROW = 50
"""Number of infeasible trials after which a search that has trained nothing ends."""

RESERVED_SHARE = 0.45
"""Largest fraction of the time limit that is reserved to train the best trials in full."""

TIME_SHARE = 0.95
"""Fraction of the remaining time that the last epochs of a training should take."""

N_TIMED = 3
"""Number of recent epochs from which the duration of the next ones is estimated."""


@dataclass(frozen=True)
class _Pace:
    """Number of epochs that a trial has trained, and their mean duration in seconds."""

    n_epochs: int
    epoch_s: float


class Scheduler:
    """Chooses the trials to resume, the length of their training and the end of a search.

    The scheduler reads the ``Status`` of the search and changes nothing in it.

    Attributes:
        promotion: comparison at the rungs; None if a pruner of Optuna decides.
        is_exhausted: whether the sampler finds no configuration that was not tried.
    """

    def __init__(self, max_epochs: int, n_folds: int = 1, promotion: Promotion | None = None):
        """Begin without any trials.

        Args:
            max_epochs: largest number of epochs of a training, in each fold.
            n_folds: number of folds.
            promotion: comparison at the rungs; None if a pruner of Optuna decides.
        """
        self.promotion = promotion
        self.is_exhausted = False
        self._max_epochs, self._n_folds = max_epochs, n_folds
        self._paces: dict[int, _Pace] = {}

    @property
    def least_epochs(self) -> int:
        """Number of epochs before the first possible pause, or of a training in full."""
        if self.promotion is not None and self.promotion.rungs:
            return self.promotion.rungs[0]
        return self._max_epochs * self._n_folds

    def record(self, number: int, architecture: str, epochs: Epochs) -> None:
        """Record the epochs of a trial, of this search or of another coordinator.

        Args:
            number: number of the trial.
            architecture: architecture of its network.
            epochs: records of all its epochs so far.
        """
        if self.promotion is not None and epochs:
            self.promotion.record(number, architecture, epochs)
            epoch_s = sum(record.seconds for record in epochs) / len(epochs)
            self._paces[number] = _Pace(len(epochs), epoch_s)

    def ending(self, status: Status) -> Ending | None:
        """Return why the search ends now, None if it continues."""
        limits = status.limits
        best = None if status.best_lacks_folds else status.best_value
        if limits.target_cer is not None and best is not None and best <= limits.target_cer:
            return "target"
        if (
            limits.epoch_budget is not None
            and status.n_epochs_before + status.n_epochs >= limits.epoch_budget
        ):
            return "epochs"
        if limits.stall_trials is not None and status.n_without_gain >= limits.stall_trials:
            return "patience"
        if (gain := status.expected_gain) is not None and gain < limits.min_gain:
            return "gain"
        if (
            status.n_finished >= limits.trials
            and not status.running
            and not self.candidates(status)
        ):
            return "trials"
        if self.is_exhausted and status.is_idle and not self.candidates(status):
            return "exhausted"
        if (  # this run tried many configurations, and none was ever trained
            status.n_infeasible_now >= MAX_INFEASIBLE_IN_A_ROW
            and status.n_infeasible == status.n_finished
            and status.is_idle
        ):
            return "infeasible"
        if limits.timeout_s is not None and status.elapsed_s >= limits.timeout_s:
            return "timeout"
        return None

    def room(self, status: Status) -> int:
        """Return the number of new trials that may begin."""
        begun = status.n_finished + len(status.running) + len(status.elsewhere)
        return 0 if self.is_exhausted else max(0, status.limits.trials - begun)

    def candidates(self, status: Status) -> list[int]:
        """Return the paused trials to resume now, the most promising first.

        These are the trials that ``Promotion`` may promote and for which there is time.
        """
        promotion, paused = self.promotion, status.paused
        if promotion is None:
            return []
        found = promotion.promotable(paused)
        has_room = self.room(status) > 0
        if not found and not has_room and status.is_idle:
            return promotion.finalist(paused)
        timeout_s = status.limits.timeout_s
        if timeout_s is None:
            return found

        def has_time(number: int, n_more: int) -> bool:
            """Return whether a trial can be trained in full after ``n_more`` of its epochs."""
            pace = self._paces[number]
            seconds = pace.epoch_s * (self._max_epochs * self._n_folds - pace.n_epochs)
            if self._n_folds == 1:  # a schedule is shortened if necessary, but not that of a fold
                seconds = min(seconds, RESERVED_SHARE * timeout_s)
            return status.elapsed_s + seconds + pace.epoch_s * n_more < timeout_s

        found = [n for n in found if not promotion.waits_for_folds(n) or has_time(n, 0)]
        return (promotion.last_chances(paused, has_time) if has_room else []) or found

    def hopeless(self, status: Status) -> list[int]:
        """Return the paused trials that will not be resumed, whatever the others reach."""
        if self.promotion is None:
            return []
        return self.promotion.hopeless(status.paused, status.limits.trials)

    def may_retry(self, kind: str, n_attempts: int) -> bool:
        """Return whether to train a failed trial again.

        Args:
            kind: kind of the failure, see ``TrialFailed``.
            n_attempts: number of attempts so far that did not finish an epoch.
        """
        return n_attempts < MAX_ATTEMPTS.get(kind, 1)

    def epochs_left(self, status: Status, epochs: Epochs, training: TrainingConfig) -> int | None:
        """Return the number of epochs in which a training must end to finish in time.

        Args:
            status: state of the search.
            epochs: records of the epochs so far, at least 1.
            training: schedule of the training.

        Returns:
            None if the schedule ends in time, or if the final decay need not begin yet. A
            shortened training decays over the same fraction of its epochs. The schedule of a fold
            is never shortened.
        """
        limit = status.limits.timeout_s
        if limit is None or self._n_folds > 1:
            return None
        n_done = len(epochs)
        seconds = mean(record.seconds for record in epochs[-N_TIMED:])
        n_left = max(1, int(TIME_SHARE * (limit - status.elapsed_s) / max(seconds, 1e-3)))
        n_all = n_done + n_left
        if n_all >= training.epochs or n_done < n_all - training.decay_epochs(n_all):
            return None
        return n_left


def build_scheduler(space: Space, n_folds: int = 1) -> Scheduler:
    """Return the scheduler of a space.

    Args:
        space: search space, with the settings of its pruner.
        n_folds: number of folds of the study.
    """
    settings, promotion = space.settings.pruner, None
    if isinstance(settings, AshaSettings):
        rungs = settings.rungs or default_rungs(space.max_epochs)
        promotion = Promotion(rungs, n_folds, space.max_epochs, tested=settings.tested)
    return Scheduler(space.max_epochs, n_folds, promotion)
