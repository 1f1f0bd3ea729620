"""The number of workers on a GPU, by its memory and by simulated throughput."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ocrsearch.data import LabelledImages, PackedImages
from ocrsearch.spaces import load_space
from ocrsearch.tuning.workers import CONTEXT_MB, WorkerCount, trials_at_once


def settled(
    most: int, throughput: Callable[[int], float], sizes: tuple[float, ...] = (1.0,)
) -> int:
    """Return the number of workers on a GPU whose throughput depends on their number."""
    sizes_seen: list[int] = []
    count = WorkerCount(most, sizes_seen.append)
    for epoch in range(40):
        for worker in range(count.n):
            work = sizes[worker % len(sizes)]
            rate = throughput(count.n) / count.n
            count.record(work, work / rate)
        if count.is_settled:
            break
        assert epoch < 39, "it does not settle"
    assert sizes_seen[-1] == count.n
    return count.n


@pytest.mark.parametrize(
    ("throughput", "n"),
    [
        (lambda n: float(n), 16),  # each worker has its own share of the GPU
        (lambda n: float(min(n, 8)), 16),  # 16 are tried, and 8 would have been enough
        (lambda n: float(min(n, 4)), 8),
        (lambda n: 1.0, 4),  # workers take turns
        (lambda n: 1.0 + 0.3 * n, 16),
    ],
)
def test_the_number_doubles_while_the_throughput_rises(
    throughput: Callable[[int], float], n: int
) -> None:
    assert settled(16, throughput) == n


def test_networks_of_different_size_count_by_their_work() -> None:
    assert settled(16, lambda n: float(min(n, 4)), sizes=(1.0, 40.0, 0.1)) == 8


@pytest.mark.parametrize("most", [1, 2, 3])
def test_the_memory_limits_the_number(most: int) -> None:
    assert settled(most, lambda n: float(n)) == most


def test_the_epochs_in_progress_during_a_change_are_not_measured() -> None:
    count = WorkerCount(8, lambda n: None)
    for _ in range(2):
        count.record(1.0, 1e-3)  # the other worker had not started yet
    changed = [count.record(1.0, 1.0) for _ in range(4)]
    assert changed == [False, False, False, True]
    assert count.n == 4
    for seconds in (1e-3, 1e-3, *[2.0] * 8):  # two began with two workers; four take turns
        assert count.record(1.0, seconds) is False
    assert count.is_settled
    assert count.n == 4


TRAIN = LabelledImages(["a"], ["12345"], PackedImages.pack([np.zeros((32, 128), np.uint8)]))
SPACE = load_space(Path("search_spaces/crnn.yaml"))


@pytest.mark.parametrize(
    ("free_mb", "n_cores", "n"),
    [(0.0, 8, 1), (CONTEXT_MB, 8, 1), (80_000.0, 8, 8), (80_000.0, 1, 1)],
)
def test_at_least_one_trial_fits_and_no_more_than_there_are_cores(
    free_mb: float, n_cores: int, n: int
) -> None:
    assert trials_at_once(SPACE, TRAIN, free_mb, n_cores) == n


def test_more_memory_has_room_for_more_trials_and_wider_images_for_fewer() -> None:
    few, many = (trials_at_once(SPACE, TRAIN, mb, 64) for mb in (4_000.0, 16_000.0))
    assert 1 < few < many
    wide = LabelledImages(["a"], ["1"], PackedImages.pack([np.zeros((32, 4096), np.uint8)]))
    assert trials_at_once(SPACE, wide, 16_000.0, 64) < many
