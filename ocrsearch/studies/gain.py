"""Expected gain: how much better a search is expected to become if it is continued."""

from __future__ import annotations

from collections.abc import Iterable


def expected_gain(values: Iterable[float]) -> float:
    """Return the expected fall of the best value if as many trials are tried again.

    The estimate is the gain of the last doubling: the expected lowest value of a random half of the
    trials, minus the lowest value of all. Each trial is in the half with probability 1/2, so the
    i-th lowest value is the lowest of the half with probability 2**-i. Each further doubling
    usually gains less, so the estimate is rather too high. It is too high as well if paused trials
    count with values that they would still improve.

    Args:
        values: lowest value of each trial, such as its validation CER.

    Returns:
        The expected gain in the unit of the values, 0 for fewer than two trials.
    """
    ranked = sorted(values)
    if not ranked:
        return 0.0
    gain, chance = 0.0, 1.0
    for value in ranked:
        chance /= 2
        gain += chance * (value - ranked[0])
    return gain + chance * (ranked[-1] - ranked[0])  # the half may be empty: the worst counts
