"""Scheduler: decides which trials are promoted, how long they train and when a search ends.

``Promotion`` is asynchronous successive halving (ASHA; Li et al., 2020, "A System for Massively
Parallel Hyperparameter Tuning"): only the best third of the trials trains beyond a rung. Unlike in
the paper, the others are paused with their checkpoints and may be resumed later. ``Scheduler`` adds
the limits of the search. Both work on plain values: they know no study, no files and no workers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

from ocrsearch.spaces import AshaSettings
from ocrsearch.training import Epochs, n_finished_folds, n_of_first_fold

if TYPE_CHECKING:
    from ocrsearch.core import TrainingConfig
    from ocrsearch.spaces import Space
    from ocrsearch.tuning.status import Ending, Status

REDUCTION = 3
"""Reciprocal of the fraction of trials that is promoted at a rung."""

MIN_RUNG = 3
"""Smallest default rung, in epochs."""

PLATEAU_CER = 0.9
"""CER from which trials are compared by loss: such networks output at most a few characters."""

Key = tuple[float, float]
"""Sort key at a rung, lower is better: CER, then loss."""


def default_rungs(max_epochs: int) -> tuple[int, ...]:
    """Return a third of the epochs, a ninth and so on, rounded up, in rising order."""
    rungs: list[int] = []
    epochs = max_epochs / REDUCTION
    while epochs >= MIN_RUNG:
        rungs.insert(0, math.ceil(epochs))
        epochs /= REDUCTION
    return tuple(rungs)


def promotion_key(epochs: Epochs, rung: int) -> Key:
    """Return the best key of a trial within the epochs of a rung."""
    return min(
        (1.0 if record.cer >= PLATEAU_CER else record.cer, record.val_loss)
        for record in epochs[:rung]
    )


@dataclass(frozen=True)
class _Place:
    """A trial at a rung."""

    number: int
    group: str
    key: Key

    @property
    def order(self) -> tuple[Key, int]:
        return self.key, self.number


class Promotion:
    """Promotion of trials at rungs of epochs.

    With folds, the end of the first fold is one more rung, at which every trial is paused. Only the
    best of them are trained on the other folds, if there is time.
    """

    def __init__(self, rungs: Sequence[int], n_folds: int = 1, fold_epochs: int = 0) -> None:
        """Begin without any trials.

        Args:
            rungs: epochs at which trials are compared, in rising order; with folds, of the first.
            n_folds: number of folds.
            fold_epochs: largest number of epochs in a fold, used with folds only.
        """
        self._n_folds, self._has_folds = n_folds, n_folds > 1
        self.rungs = (*rungs, fold_epochs) if self._has_folds else tuple(rungs)
        self._places: list[dict[int, _Place]] = [{} for _ in self.rungs]
        self._promoted: list[set[int]] = [set() for _ in self.rungs]  # trained beyond each rung

    def record(self, number: int, group: str, epochs: Epochs) -> None:
        """Record a trial at every rung that it has reached, once at each.

        Args:
            number: number of the trial.
            group: architecture. The first rung compares only trials of the same group, since
                architectures learn at different speeds.
            epochs: records of all epochs so far.
        """
        for i, rung in self._reached(epochs):
            if number not in self._places[i]:
                self._places[i][number] = _Place(number, group, promotion_key(epochs, rung))
            if len(epochs) > rung:
                self._promoted[i].add(number)

    def goes_on(self, number: int, epochs: Epochs, *, last: bool = False) -> bool:
        """Return whether a recorded trial trains on after its latest epoch; if not, it is paused.

        Args:
            number: number of the trial.
            epochs: records of all epochs so far.
            last: whether the time runs out. The best trial of a rung then need not wait for others.
        """
        here = [i for i, rung in self._reached(epochs) if rung == len(epochs)]
        if not here:
            return True
        i = here[-1]
        best = self._best(i)
        if last and not best:
            best = {min(self._places[i].values(), key=lambda place: place.order).number}
        is_fold_end = self._has_folds and i == len(self.rungs) - 1
        if number in self._promoted[i] or (number in best and not is_fold_end):
            self._promoted[i].add(number)
            return True
        return False

    def waits_for_folds(self, number: int) -> bool:
        """Return whether a paused trial has finished the first fold."""
        return self._has_folds and number in self._places[-1]

    def _reached(self, epochs: Epochs) -> list[tuple[int, int]]:
        """Return index and epochs of each rung that a trial has reached.

        The epochs of the last rung may be fewer than planned, since a fold can end early.
        """
        n_first = n_of_first_fold(epochs)
        rungs = self.rungs[:-1] if self._has_folds else self.rungs
        reached = [(i, rung) for i, rung in enumerate(rungs) if n_first >= rung]
        if self._has_folds and n_finished_folds(epochs):
            reached.append((len(rungs), n_first))
        return reached

    def promotable(self, paused: Iterable[int]) -> list[int]:
        """Return the paused trials that may be promoted now, from the highest rung down.

        Args:
            paused: numbers of all paused trials.
        """
        waiting = set(paused)
        found: list[int] = []
        for i in reversed(range(len(self.rungs))):
            best = (self._places[i][n] for n in self._best(i) & waiting - self._promoted[i])
            found += [place.number for place in sorted(best, key=lambda place: place.order)]
            waiting -= self._places[i].keys()  # lower rungs do not count for these
        return found

    def promote(self, number: int) -> None:
        """Promote a paused trial from the highest rung that it has reached."""
        i = max(i for i, places in enumerate(self._places) if number in places)
        self._promoted[i].add(number)

    def finalist(self, paused: Iterable[int]) -> list[int]:
        """Return the best trial of the highest rung, if no trial was promoted from the last rung.

        With too few trials for promotion at every rung, one trial is still trained in full.
        """
        best = self._of_highest_rung()[:1]
        return [n for n in best if n in set(paused) and not self._promoted[-1]]

    def last_chances(
        self, paused: Iterable[int], has_time: Callable[[int, int], bool]
    ) -> list[int]:
        """Return the paused trials to resume because time runs short, the best first.

        A new trial can no longer be trained in full, but a trial of the highest rung can. If the
        time is too short for all folds, the first fold counts.

        Args:
            paused: numbers of all paused trials.
            has_time: function of the number of a trial and a number of epochs. It returns whether
                the trial can still be trained in full after a delay of that many of its epochs.
        """
        waiting = set(paused)
        found = [n for n in self._of_highest_rung() if n in waiting]
        if not self._has_folds:
            return [n for n in found if not has_time(n, self.rungs[0])]
        fold_epochs = self.rungs[-1]
        if any(has_time(n, 0) for n in found):
            return [n for n in found if has_time(n, 0) and not has_time(n, fold_epochs)]
        if self._places[-1]:
            return []
        n_others = (self._n_folds - 1) * fold_epochs
        return [n for n in found if not has_time(n, self.rungs[0] - n_others)]

    def _of_highest_rung(self) -> list[int]:
        reached = [places for places in self._places if places]
        ranked = sorted(reached[-1].values(), key=lambda p: p.order) if reached else []
        return [place.number for place in ranked]

    def hopeless(self, paused: Iterable[int], n_total: int) -> list[int]:
        """Return the paused trials that cannot be promoted, whatever the others reach.

        Args:
            paused: numbers of all paused trials.
            n_total: number of trials at the first rung at the end of the search.
        """
        found, waiting = [], set(paused) - set(self.finalist(paused))
        for i in reversed(range(len(self.rungs))):
            n_to_come = max(0, n_total // REDUCTION**i - len(self._places[i]))
            may_go_on = self._best(i, n_to_come) | self._promoted[i]
            found += sorted((waiting & self._places[i].keys()) - may_go_on)
            waiting -= self._places[i].keys()
        return found

    def _best(self, rung: int, n_to_come: int = 0) -> set[int]:
        """Return the best fraction of a rung, rounded down: the first trial there has to wait."""
        groups: dict[str, list[_Place]] = {}
        for place in self._places[rung].values():
            # architectures learn at different speeds, which matters at the first rung only
            groups.setdefault(place.group if rung == 0 else "", []).append(place)
        best: set[int] = set()
        for places in groups.values():
            n_best = (len(places) + n_to_come) // REDUCTION
            ranked = sorted(places, key=lambda place: place.order)
            best.update(place.number for place in ranked[:n_best])
        return best


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
        promotion = Promotion(rungs, n_folds, space.max_epochs)
    return Scheduler(space.max_epochs, n_folds, promotion)
