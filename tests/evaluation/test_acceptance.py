"""Acceptance of texts for a promised error rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from ocrsearch.evaluation.acceptance import (
    ALPHA,
    accept,
    images_needed,
    n_needed,
    rounded_up,
    upper_error_bound,
)


@pytest.mark.parametrize(("max_error", "n"), [(0.5, 5), (0.05, 59), (0.02, 149), (0.005, 598)])
def test_number_of_images_that_prove_an_error_rate(max_error: float, n: int) -> None:
    assert n_needed(max_error) == n
    assert upper_error_bound(0, n) <= max_error < upper_error_bound(0, n - 1)


@pytest.mark.parametrize(
    ("n", "expected"), [(1, 1), (605, 605), (1000, 1000), (1001, 1100), (16_146, 17_000)]
)
def test_large_estimates_have_two_digits(n: int, expected: int) -> None:
    assert rounded_up(n) == expected


@pytest.mark.parametrize(("n_wrong", "n"), [(0, 1), (1, 20), (3, 100), (99, 100)])
def test_the_bound_is_the_rate_at_which_so_few_errors_are_improbable(n_wrong: int, n: int) -> None:
    bound = upper_error_bound(n_wrong, n)
    assert binom.cdf(n_wrong, n, bound) == pytest.approx(ALPHA)


def test_the_bound_of_nothing_but_errors_is_one() -> None:
    assert upper_error_bound(3, 3) == 1.0


def test_accepts_down_to_the_first_threshold_that_breaks_the_promise() -> None:
    confidences = [1.0 - 0.001 * i for i in range(200)]
    is_right = [i < 100 for i in range(200)]
    found = accept(confidences[::-1], is_right[::-1], 0.05)
    assert found is not None
    n = found.n_accepted
    assert found.threshold == pytest.approx(confidences[n - 1])
    assert (found.n, found.n_wrong) == (200, n - 100)
    assert upper_error_bound(n - 100, n) <= 0.05 < upper_error_bound(n - 99, n + 1)
    assert found.coverage == n / 200


@pytest.mark.parametrize(
    ("n", "n_wrong", "expected"),
    [(0, 0, None), (58, 0, None), (59, 0, 59), (59, 1, None), (200, 0, 200)],
)
def test_too_few_images_and_wrong_ones(n: int, n_wrong: int, expected: int | None) -> None:
    found = accept([0.9] * n, [i >= n_wrong for i in range(n)], 0.05)
    assert (found.n_accepted if found else None) == expected


def test_equal_confidences_are_accepted_together() -> None:
    found = accept([0.9] * 100 + [0.5] * 100, [True] * 100 + [False] * 100, 0.02)
    assert found is None
    found = accept([0.9] * 200 + [0.5] * 100, [True] * 200 + [False] * 100, 0.02)
    assert found is not None
    assert (found.threshold, found.n_accepted) == (0.9, 200)


def test_improbable_texts_are_never_accepted() -> None:
    found = accept([0.9] * 100 + [0.4] * 100, [True] * 200, 0.05)
    assert found is not None
    assert (found.threshold, found.n_accepted) == (0.9, 100)
    assert accept([0.4] * 100, [True] * 100, 0.05) is None
    assert images_needed([0.4] * 100, [True] * 100, 0.05) is None


def test_promises_hold() -> None:
    """Of 300 promises, at most 8 % are broken; 5 % are allowed."""
    generator = np.random.default_rng(0)
    n_broken = n_made = 0
    for _ in range(300):
        confidences = generator.random(400)
        is_right = generator.random(400) < 0.9 + 0.1 * confidences
        if found := accept(list(confidences), list(is_right), 0.05):
            n_made += 1
            accepted = (found.threshold + 1.0) / 2  # the mean confidence above the threshold
            n_broken += 1.0 - (0.9 + 0.1 * accepted) > 0.05
    assert n_made > 150
    assert n_broken <= 0.08 * n_made
