"""What is known of a search while it runs, and when it ends: for the coordinator, and to show."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

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
    "flawless",
    "exhausted",
    "infeasible",
    "interrupted",
]


@dataclass(frozen=True)
class Limits:
    """When a search ends, and what it may take.

    Attributes:
        trials: total of finished configurations.
        timeout_s: seconds.
        target: validation CER.
        epochs: total of epochs trained.
        patience: so many configurations in a row that bring no lower validation CER than the
            best before; those that are infeasible do not count.
        disk_bytes: for weights and checkpoints; what can best be spared is deleted.
    """

    trials: int
    timeout_s: float | None = None
    target: float | None = None
    epochs: int | None = None
    patience: int | None = None
    disk_bytes: int | None = None


@dataclass
class Running:
    """A trial in training."""

    trial: optuna.Trial
    values: Values
    config: Config
    epochs: Epochs = field(default_factory=list)
    n_reported: int = 0
    attempts: int = 1
    pruned: bool = False
    ends_early: bool = False
    ended: float = 0.0


@dataclass
class Status:
    """What is known of the search, for whoever shows it."""

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
    started: float = field(default_factory=time.monotonic)
    running: dict[int, Running] = field(default_factory=dict)
    best_number: int | None = None
    best_value: float | None = None
    best_exact: float | None = None
    best_lacks_folds: bool = False
    best_values: Values = field(default_factory=dict)

    @property
    def n_finished(self) -> int:
        """Finished configurations, however they ended."""
        return self.n_complete + self.n_pruned + self.n_infeasible + self.n_failed

    @property
    def elapsed_s(self) -> float:
        """Seconds since this run began."""
        return time.monotonic() - self.started

    @property
    def left_s(self) -> float | None:
        """Estimated seconds to the end, None before it can be told."""
        estimates = []
        if self.n_finished_now:
            per_trial = self.elapsed_s / self.n_finished_now
            estimates.append(per_trial * max(0, self.limits.trials - self.n_finished))
        if self.limits.timeout_s is not None:
            estimates.append(max(0.0, self.limits.timeout_s - self.elapsed_s))
        return min(estimates, default=None)


Observer = Callable[[Status, str | None], None]
"""Told of every change: the status, and a line about a trial that ended."""


def describe(values: Values) -> str:
    """Return values of parameters, by the last part of their names, in one line."""
    parts = []
    for path, value in values.items():
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        parts.append(f"{path.rpartition('.')[2]} {text}")
    return ", ".join(parts)
