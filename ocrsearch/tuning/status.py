"""Status of a running search: its limits, counts, best trial and the trials in training.

The trial store writes it, the scheduler decides by it and the displays show it. The estimate of the
remaining time is in ``estimate.py``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ocrsearch.studies import Rank, expected_saving, rank_of
from ocrsearch.training import best_epoch

if TYPE_CHECKING:
    import optuna

    from ocrsearch.core import Config
    from ocrsearch.spaces import Values
    from ocrsearch.training import Epochs

Ending = Literal[
    "trials",
    "timeout",
    "target",
    "epochs",
    "patience",
    "gain",
    "exhausted",
    "infeasible",
    "interrupted",
]
"""Why a search ended.

"epochs" means the ``epoch_budget``, "patience" the ``stall_trials`` and "gain" the ``min_gain``.
"""

GIVES_UP: dict[Ending, bool] = {
    "trials": True,
    "timeout": False,
    "target": True,
    "epochs": False,
    "patience": True,
    "gain": True,
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
        min_gain: least ``Status.expected_gain``, in character errors.
        disk_bytes: size limit for weights and checkpoints. Beyond it the files of the worst trials
            are deleted; the search does not end.
    """

    trials: int
    timeout_s: float | None = None
    target_cer: float | None = None
    epoch_budget: int | None = None
    stall_trials: int | None = None
    min_gain: float = 0.0
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
        shortened_to: number of epochs of its schedule if it was shortened because the time runs
            out.
        ended: time of its last end or pause, in seconds since the epoch of the system clock.
    """

    trial: optuna.Trial
    values: Values
    config: Config
    epochs: Epochs = field(default_factory=list)
    n_reported: int = 0
    attempts: int = 1
    pruned: bool = False
    shortened_to: int | None = None
    ended: float = 0.0

    @property
    def n_planned(self) -> int:
        """Largest number of epochs of its training, in each fold."""
        return self.shortened_to or self.config.training.epochs


class Refusal(NamedTuple):
    """A trial whose stored values are no configuration of the space."""

    number: int
    reasons: str


class Progress(NamedTuple):
    """Epochs of a trial that an earlier run or another coordinator trained."""

    number: int
    architecture: str
    epochs: Epochs


class Standing(NamedTuple):
    """A trial whose weights can be exported.

    Attributes:
        rank: rank of the trial, with its number and its lowest CER.
        exact: exact match of its best epoch, as a fraction.
        values: its searched values.
    """

    rank: Rank
    exact: float
    values: Values


TrialState = Literal["in training", "paused", "pruned", "finished"]
"""State of a trial with weights. A paused trial may be resumed, a pruned trial will not."""


Reached = tuple[bool, float]
"""Result of a trial, lower is better: whether it lacks folds, and its lowest CER."""


@dataclass
class Status:
    """State of the search.

    Attributes:
        limits: limits of the search.
        n_complete: number of finished trials that were trained in full.
        n_symbols: number of characters on which the CER is measured; None if the CER is not the
            only objective.
        n_pruned: number of pruned and paused trials.
        n_infeasible: number of trials outside the constraints or the space.
        n_failed: number of trials whose training failed.
        n_epochs: number of epochs trained in this run.
        n_epochs_before: number of epochs trained earlier, or by other coordinators.
        n_epochs_elsewhere: number of these that other coordinators trained during this run.
        n_without_gain: number of the latest trials in a row without a lower CER.
        n_infeasible_now: number of trials that broke a constraint in this run.
        started: start of this run, on the monotonic clock in seconds.
        began_s: seconds from the start of this run to its first training; None before that.
        last_epoch_s: seconds from the start of this run to the end of its last epoch.
        least_epochs: number of epochs that a trial trains before it may be paused, or in full if it
            is never paused.
        running: trials in training here, by number.
        waiting: interrupted trials that a worker here will train next.
        paused: paused trials by number, each with its id in the storage.
        pruned: numbers of the pruned trials that keep their weights.
        elsewhere: numbers of the trials that other coordinators train.
        standings_elsewhere: standings of those of them that have weights.
        best_number: number of the best trial; None before any has weights.
        best_value: validation CER of the best trial.
        best_exact: exact match of the best trial, as a fraction.
        best_lacks_folds: whether the best trial was not trained on all folds yet.
        best_values: searched values of the best trial.
        best_rank: rank of the best trial.
        standings: standings of the paused, pruned and finished trials with weights, by number.
        ends: time of the last end and result of each trained trial, by number.
        first_values: searched values of the first configuration of the study.
        differing: paths of the values that are not the same in all configurations.

    The fields of the best trial are those by which the search decides. They leave out the trials in
    training until the search ends; ``leader`` includes them.
    """

    limits: Limits
    n_complete: int = 0
    n_symbols: int | None = None
    n_pruned: int = 0
    n_infeasible: int = 0
    n_failed: int = 0
    n_epochs: int = 0
    n_epochs_before: int = 0
    n_epochs_elsewhere: int = 0
    n_without_gain: int = 0
    n_infeasible_now: int = 0
    started: float = field(default_factory=time.monotonic)
    began_s: float | None = None
    last_epoch_s: float | None = None
    least_epochs: int = 1
    running: dict[int, Running] = field(default_factory=dict)
    waiting: list[Running] = field(default_factory=list)
    paused: dict[int, int] = field(default_factory=dict)
    pruned: set[int] = field(default_factory=set)
    elsewhere: set[int] = field(default_factory=set)
    standings_elsewhere: dict[int, Standing] = field(default_factory=dict)
    best_number: int | None = None
    best_value: float | None = None
    best_exact: float | None = None
    best_lacks_folds: bool = False
    best_values: Values = field(default_factory=dict)
    best_rank: Rank | None = None
    standings: dict[int, Standing] = field(default_factory=dict)
    ends: dict[int, tuple[float, Reached]] = field(default_factory=dict)
    first_values: Values | None = None
    differing: set[str] = field(default_factory=set)

    @property
    def n_finished(self) -> int:
        """Number of trials that count towards the total, in any final state or paused."""
        return self.n_complete + self.n_pruned + self.n_infeasible + self.n_failed

    @property
    def n_begun(self) -> int:
        """Number of trials that have begun: in training, paused, waiting or in a final state.

        A trial counts once and always, whether it is paused, resumed or tried again.
        """
        return self.n_finished + len(self.running) + len(self.waiting) + len(self.elsewhere)

    @property
    def expected_gain(self) -> float | None:
        """Character errors that are expected to be saved if as many trials are trained again.

        None if the trials so far are too few to tell, or if none reads.
        """
        if self.n_symbols is None or self.best_value is None:
            return None
        lacks_folds = self.best_lacks_folds
        values = [cer for _, (lacks, cer) in self.ends.values() if lacks == lacks_folds]
        return expected_saving(values, len(self.ends), self.n_complete, self.n_symbols)

    @property
    def n_total(self) -> int:
        """Limit of trials, or the number begun if an earlier run had a higher limit."""
        return max(self.limits.trials, self.n_begun)

    @property
    def n_epochs_in_all(self) -> int:
        """Number of epochs of the study, of all runs and coordinators."""
        return self.n_epochs_before + self.n_epochs

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
    def leader(self) -> Standing | None:
        """Best trial with weights, including the trials in training; None without any."""
        found: dict[int, Standing] = {}
        if self.best_number is not None and self.best_value is not None:
            rank = self.best_rank or Rank(
                self.best_lacks_folds, self.best_value, math.inf, self.best_number
            )
            found[rank.number] = Standing(rank, self.best_exact or 0.0, self.best_values)
        found |= self.standings
        found |= self.standings_elsewhere
        waiting = [(running.trial.number, running) for running in self.waiting]
        for number, running in (*waiting, *self.running.items()):
            if running.epochs:  # their weights were saved before they were reported
                found[number] = standing_of(running.epochs, number, running.values)
        return min(found.values(), key=lambda standing: standing.rank, default=None)

    def state_of(self, number: int) -> TrialState:
        """Return the state of a trial that has weights."""
        if number in self.running or number in self.elsewhere:
            return "in training"
        if number in self.paused or any(t.trial.number == number for t in self.waiting):
            return "paused"
        return "pruned" if number in self.pruned else "finished"

    def begin(self, running: Running) -> None:
        """Note that a worker begins to train a trial, or resumes it."""
        if self.began_s is None:
            self.began_s = self.elapsed_s
        self.running[running.trial.number] = running

    def note_epoch(self) -> None:
        """Count an epoch that was trained in this run."""
        self.n_epochs += 1
        self.last_epoch_s = self.elapsed_s

    def note_configuration(self, values: Values) -> None:
        """Note which values of a configuration differ from the others of the study."""
        if self.first_values is None:
            self.first_values = dict(values)
        first = self.first_values
        for path in first.keys() | values.keys():
            if path not in first or path not in values or first[path] != values[path]:
                self.differing.add(path)

    def describe(self, values: Values) -> str:
        """Return the values of a trial that differ between trials; all of them for the first."""
        differing = {path: value for path, value in values.items() if path in self.differing}
        return describe(differing or values)

    def note_best(self, rank: Rank, exact: float, values: Values) -> None:
        """Note a trial whose weights can be exported, if it is better than the best so far.

        Args:
            rank: rank of the trial.
            exact: exact match of its best epoch, as a fraction.
            values: its searched values.
        """
        self.standings[rank.number] = Standing(rank, exact, values)
        if self.best_rank is None or rank < self.best_rank:
            self.best_rank, self.best_lacks_folds = rank, rank.lacks_folds
            self.best_value, self.best_number = rank.cer, rank.number
            self.best_exact, self.best_values = exact, values

    def note_lost(self, number: int) -> None:
        """Note that the weights and the result of a trial are deleted, since it failed."""
        self.ends.pop(number, None)
        self.standings.pop(number, None)
        if number == self.best_number:
            self.best_number = self.best_value = self.best_exact = self.best_rank = None
            self.best_lacks_folds, self.best_values = False, {}
            for standing in list(self.standings.values()):
                self.note_best(*standing)

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


def standing_of(epochs: Epochs, number: int, values: Values) -> Standing:
    """Return the standing of a trial with at least 1 epoch."""
    return Standing(rank_of(epochs, number), best_epoch(epochs).exact, values)


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
