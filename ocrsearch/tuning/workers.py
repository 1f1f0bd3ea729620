"""Number of workers on a GPU: as many as its memory has room for and its throughput pays for.

Small networks leave most of a GPU idle, so several trials are trained on it at the same time. Each
further worker brings less than the one before, and some bring nothing. The gain depends on the
GPU, its driver and the networks, so it is measured while the search runs.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import mean
from typing import TYPE_CHECKING

from ocrsearch.spaces import network_figures, random_config

if TYPE_CHECKING:
    from ocrsearch.data import LabelledImages
    from ocrsearch.spaces import Space

N_MEASURED = 16
"""Number of random configurations whose memory is estimated."""

CONTEXT_MB = 700.0
"""GPU memory of a process before it trains: CUDA and its libraries, in megabytes."""

MEMORY_FACTOR = 2.0
"""Factor on the estimate for the workspace of libraries and the cache of the allocator."""

USABLE_SHARE = 0.9


def trials_at_once(space: Space, train: LabelledImages, free_mb: float, n_cores: int) -> int:
    """Return the number of workers that fit on a GPU: at least 1, at most the number of cores.

    Args:
        space: search space; the largest of some random configurations counts.
        train: training split.
        free_mb: free memory of the GPU in megabytes.
        n_cores: number of processor cores; each worker uses about one.
    """
    configs = [random_config(space, seed) for seed in range(N_MEASURED)]
    largest = max(network_figures(config, train)["memory_mb"] for config in configs)
    room = int(USABLE_SHARE * free_mb / (CONTEXT_MB + MEMORY_FACTOR * largest))
    return max(1, min(room, n_cores))


FIRST_WORKERS = 2
"""Number of workers at the start."""

REQUIRED_GAIN = 1.15
"""Factor by which the throughput has to rise for the number of workers to double again."""

MEASURED_EPOCHS = 2
"""Number of epochs per worker that are measured after each change."""


class WorkerCount:
    """Doubles the number of workers while their joint throughput rises.

    Throughput is the number of workers times the mean rate of an epoch, in multiply-adds per
    second, so that large and small networks count alike. The epochs in progress during a change
    are not measured.

    Attributes:
        n: number of workers to use now.
        is_settled: whether the number is final.
    """

    def __init__(self, most: int, resize: Callable[[int], None]) -> None:
        """Begin with a few workers.

        Args:
            most: largest number of workers, from memory and processor cores.
            resize: function that changes the number of workers.
        """
        self.n = min(FIRST_WORKERS, most)
        self.is_settled = self.n >= most
        self._most, self._resize = most, resize
        self._throughput_before = 0.0
        self._n_in_progress = self.n
        self._rates: list[float] = []
        resize(self.n)

    def record(self, multiply_adds: float, seconds: float) -> bool:
        """Record an epoch and return whether the number of workers changed.

        Args:
            multiply_adds: multiply-adds of the network for an image.
            seconds: duration of the epoch in seconds.
        """
        if self.is_settled:
            return False
        if self._n_in_progress:
            self._n_in_progress -= 1
            return False
        self._rates.append(multiply_adds / max(seconds, 1e-3))
        if len(self._rates) < MEASURED_EPOCHS * self.n:
            return False
        throughput = self.n * mean(self._rates)
        if throughput < REQUIRED_GAIN * self._throughput_before:
            self.is_settled = True
            return False
        self._throughput_before, self._rates = throughput, []
        self._n_in_progress = self.n
        self.n = min(2 * self.n, self._most)
        self.is_settled = self.n >= self._most
        self._resize(self.n)
        return True
