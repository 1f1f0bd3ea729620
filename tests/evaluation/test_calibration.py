"""Calibration: bins of confidence and the error made of them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrsearch.evaluation.metrics import calibration_error, confidence_bins


@pytest.mark.parametrize(
    ("confidences", "right", "bins", "error"),
    [
        ([], [], [], 0.0),
        ([1.0], [True], [(1, 1.0, 1.0)], 0.0),
        ([0.0], [True], [(1, 0.0, 1.0)], 1.0),
        ([1.0, 0.9], [True, False], [(2, 0.95, 0.5)], 0.45),
        ([0.81, 0.2, 0.29], [True, False, True], [(2, 0.245, 0.5), (1, 0.81, 1.0)], 0.7 / 3),
    ],
)
def test_bins_and_their_error(
    confidences: list[float],
    right: list[bool],
    bins: list[tuple[int, float, float]],
    error: float,
) -> None:
    found = confidence_bins(confidences, right)
    assert [(b.n, b.confidence, b.right) for b in found] == [pytest.approx(b) for b in bins]
    assert calibration_error(found) == pytest.approx(error)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=30))
def test_every_reading_is_in_one_bin(readings: list[tuple[float, bool]]) -> None:
    bins = confidence_bins([c for c, _ in readings], [r for _, r in readings])
    assert sum(b.n for b in bins) == len(readings)
    assert sum(b.n * b.right for b in bins) == pytest.approx(sum(r for _, r in readings))
    assert all(a.confidence < b.confidence for a, b in itertools.pairwise(bins))
    assert 0.0 <= calibration_error(bins) <= 1.0
