"""Whether confidences can be believed: of what is read with 0.9, nine in ten should be right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

N_BINS = 10


@dataclass(frozen=True)
class ConfidenceBin:
    """The n readings whose confidence lies in one tenth of the range, and the share right."""

    n: int
    confidence: float
    right: float


def confidence_bins(confidences: Sequence[float], right: Sequence[bool]) -> list[ConfidenceBin]:
    """Return the bins that hold readings, by rising mean confidence.

    Args:
        confidences: from 0 to 1.
        right: whether each reading is.
    """
    values, correct = np.array(confidences, float), np.array(right, bool)
    ids = np.minimum((values * N_BINS).astype(int), N_BINS - 1)
    return [
        ConfidenceBin(
            int(inside.sum()), float(values[inside].mean()), float(correct[inside].mean())
        )
        for inside in (ids == i for i in np.unique(ids))
    ]


def calibration_error(bins: Sequence[ConfidenceBin]) -> float:
    """Return the expected calibration error (Naeini, Cooper and Hauskrecht, 2015).

    The mean distance of a bin's confidence from its share right, weighted by n; 0 without any.
    """
    n = sum(b.n for b in bins)
    return sum(b.n * abs(b.confidence - b.right) for b in bins) / max(n, 1)
