"""Expected gain of a search that continues."""

from __future__ import annotations

import itertools
from statistics import fmean

import pytest

from ocrsearch.studies.gain import expected_gain, expected_saving


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], 0.0),
        ([0.3], 0.0),
        ([0.3, 0.3, 0.3], 0.0),
        ([0.1, 0.2], 0.05),
        ([0.2, 0.1], 0.05),
        ([0.0, 0.0, 0.0, 0.8], 0.1),
    ],
)
def test_expected_gain(values: list[float], expected: float) -> None:
    assert expected_gain(values) == pytest.approx(expected)


def test_is_the_mean_over_all_halves() -> None:
    values = [0.5, 0.2, 0.9, 0.4, 0.3]
    halves = itertools.product([False, True], repeat=len(values))
    lowest = [
        min((v for v, taken in zip(values, half, strict=True) if taken), default=max(values))
        for half in halves
    ]
    assert expected_gain(values) == pytest.approx(fmean(lowest) - min(values))


@pytest.mark.parametrize(
    ("values", "n_ended", "n_complete", "expected"),
    [
        ([0.1, 0.2], 10, 3, 5.0),  # the gain of 0.05 on 100 characters
        ([0.1, 0.2], 9, 3, None),
        ([0.1, 0.2], 10, 2, None),
        ([0.6, 0.7], 10, 3, None),  # none of them reads
        ([], 10, 3, None),
    ],
)
def test_expected_saving_needs_enough_trials(
    values: list[float], n_ended: int, n_complete: int, expected: float | None
) -> None:
    assert expected_saving(values, n_ended, n_complete, 100) == pytest.approx(expected)
