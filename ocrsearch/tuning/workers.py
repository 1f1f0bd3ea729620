"""Number of workers on a GPU: as many as its memory has room for and its throughput pays for.

Small networks leave most of a GPU idle, so several trials are trained on it at the same time. Each
further worker brings less than the one before, and some bring nothing. The gain depends on the
GPU, its driver and the networks, so it is measured while the search runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

FIRST_WORKERS = 2
"""Number of workers at the start."""

REQUIRED_GAIN = 1.15
"""Factor by which the throughput has to rise for the number of workers to double again."""

MEASURED_EPOCHS = 2
"""Number of epochs per worker that are measured after each change."""


@dataclass(frozen=True)
class Pace:
    """Pace of a worker, in multiply-adds per second, from complete epochs since the last change."""

    n_epochs: int
    rate: float


class WorkerCount:
    """Doubles the number of workers while their joint throughput rises.

    Throughput is the sum of the workers' rates in multiply-adds per second, so that large and
    small networks count alike. The epoch in progress during a change is not measured.

    Attributes:
        n: number of workers to use now.
    """

    def __init__(self, most: int, resize: Callable[[int], None]) -> None:
        """Begin with a few workers.

        Args:
            most: largest number of workers, from memory and processor cores.
            resize: function that changes the number of workers.
        """
        self.n = min(FIRST_WORKERS, most)
        self._most, self._resize = most, resize
        resize(self.n)
        self._before = 0.0
        self._paces: dict[int, Pace | None] = {}
        self.is_settled = self.n >= most

    def record(self, number: int, multiply_adds: float, seconds: float) -> bool:
        """Record an epoch and return whether the number of workers changed.

        Args:
            number: number of the trial.
            multiply_adds: multiply-adds of the epoch.
            seconds: duration of the epoch in seconds.
        """
        if self.is_settled:
            return False
        if number not in self._paces:  # it may have begun before the change
            self._paces[number] = None
            return False
        last = self._paces[number] or Pace(0, 0.0)
        self._paces[number] = Pace(last.n_epochs + 1, multiply_adds / max(seconds, 1e-3))
        paces = [pace for pace in self._paces.values() if pace]
        ready = sorted((p for p in paces if p.n_epochs >= MEASURED_EPOCHS), key=lambda p: p.rate)
        if len(ready) < self.n:
            return False
        throughput = sum(pace.rate for pace in ready[-self.n :])
        if throughput < REQUIRED_GAIN * self._before:
            self.is_settled = True
            return False
        self._before, self._paces = throughput, {}
        self.n = min(2 * self.n, self._most)
        self._resize(self.n)
        self.is_settled = self.n >= self._most
        return True
