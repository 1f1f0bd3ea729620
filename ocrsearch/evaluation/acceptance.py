"""Acceptance: which texts can be used without a person's check, for a promised error rate.

Texts with a confidence of at least a threshold are accepted. The threshold is chosen on labelled
images so that, with 95 % certainty, the error rate of accepted texts is at most the promised one.
Thresholds are tested from the highest down until a test fails, so testing many of them does not
weaken the promise (fixed-sequence testing; Angelopoulos et al., 2021, "Learn then Test").
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import beta

ALPHA = 0.05
"""Largest probability that a promise is wrong."""

MIN_CONFIDENCE = 0.5
"""Confidence below which no text is accepted, even if few such texts have an error: foreign images
have low confidences, and labelled images do not tell how many of them will come."""


@dataclass(frozen=True)
class Acceptance:
    """Texts that are accepted.

    Attributes:
        threshold: lowest confidence of an accepted text.
        n: number of labelled images.
        n_accepted: number of images whose texts are accepted.
        n_wrong: number of accepted texts with an error.
        upper_bound: upper 95 % confidence bound of the error rate of accepted texts.
    """

    threshold: float
    n: int
    n_accepted: int
    n_wrong: int
    upper_bound: float

    @property
    def coverage(self) -> float:
        """Fraction of the images whose texts are accepted."""
        return self.n_accepted / self.n


def n_needed(max_error: float) -> int:
    """Return the smallest number of images, all read without an error, that prove an error rate.

    Args:
        max_error: promised error rate, above 0 and below 1.
    """
    return math.ceil(math.log(ALPHA) / math.log1p(-max_error))


def upper_error_bound(n_wrong: int, n: int) -> float:
    """Return the upper confidence bound of an error rate (Clopper and Pearson, 1934), one-sided.

    Args:
        n_wrong: number of texts with an error.
        n: number of texts, at least 1.
    """
    if n_wrong == n:
        return 1.0
    return float(beta.ppf(1.0 - ALPHA, n_wrong + 1, n - n_wrong))


def accept(
    confidences: Sequence[float], is_right: Sequence[bool], max_error: float
) -> Acceptance | None:
    """Choose the lowest threshold that keeps a promised error rate.

    Args:
        confidences: confidence of each text.
        is_right: whether each text has no error.
        max_error: promised error rate, above 0 and below 1.

    Returns:
        The accepted texts, with confidences of at least MIN_CONFIDENCE; None if no threshold keeps
        the promise. With fewer images than ``n_needed`` none can.
    """
    order = np.argsort(-np.asarray(confidences, np.float64), kind="stable")
    ranked = np.asarray(confidences, np.float64)[order]
    n_wrong = np.cumsum(~np.asarray(is_right, bool)[order])
    found = None
    for i in range(n_needed(max_error) - 1, len(ranked)):
        if i + 1 < len(ranked) and ranked[i + 1] == ranked[i]:
            continue  # equal confidences are accepted together
        if ranked[i] < MIN_CONFIDENCE:
            break
        bound = upper_error_bound(int(n_wrong[i]), i + 1)
        if bound > max_error:
            break
        found = Acceptance(float(ranked[i]), len(ranked), i + 1, int(n_wrong[i]), bound)
    return found


def images_needed(
    confidences: Sequence[float], is_right: Sequence[bool], max_error: float
) -> int | None:
    """Estimate the number of labelled images with which a threshold keeps a promised error rate.

    With many times the images, errors and accepted texts are taken to be as many times those of
    the best threshold here.

    Args:
        confidences: confidence of each text.
        is_right: whether each text has no error.
        max_error: promised error rate, above 0 and below 1.

    Returns:
        The smallest number of images; None if too many of the most confident texts have an error,
        or if no text reaches MIN_CONFIDENCE.
    """
    n, least = len(confidences), n_needed(max_error)
    order = np.argsort(-np.asarray(confidences, np.float64), kind="stable")
    order = order[np.asarray(confidences, np.float64)[order] >= MIN_CONFIDENCE]
    n_wrong = np.cumsum(~np.asarray(is_right, bool)[order])
    found = []
    is_last = np.append(np.diff(n_wrong) > 0, True)  # the most texts for each number of errors
    for i in np.flatnonzero(is_last[: len(order)]).tolist():
        rate = int(n_wrong[i]) / (i + 1)
        if rate < max_error and (n_accepted := _n_for_rate(rate, max_error, least)):
            found.append(math.ceil(n * n_accepted / (i + 1)))
    return min(found, default=None)


MAX_NEEDED = 10_000_000
"""Number of images above which a promise counts as impossible."""


def _n_for_rate(rate: float, max_error: float, least: int) -> int | None:
    """Return about how many texts with an error rate prove a larger error rate."""
    n = least
    while upper_error_bound(math.ceil(rate * n), n) > max_error:
        n = math.ceil(1.05 * n)
        if n > MAX_NEEDED:
            return None
    return n


def rounded_up(n: int) -> int:
    """Return an estimated number of images for people: above 1,000 with two digits, rounded up."""
    unit = 10 ** max(0, len(str(n)) - 2) if n >= 1000 else 1
    return -(-n // unit) * unit


def describe_no_threshold(max_error: float, n: int, n_needed: int | None) -> str:
    """Return a line about a promise that no threshold keeps.

    Args:
        max_error: promised error rate.
        n: number of labelled images.
        n_needed: estimated number of images that are needed; None if none suffice.
    """
    if n_needed is None:
        reason = "too many of the most confident texts have an error"
    else:
        reason = f"that needs about {rounded_up(n_needed):,} images, there are {n:,}"
    return f"no confidence keeps an error rate of {max_error:g} with 95 % certainty: {reason}"
