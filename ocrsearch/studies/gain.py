"""Expected gain: how much better a search is expected to become if it is continued."""

from __future__ import annotations

from collections.abc import Collection, Iterable

MIN_ENDED = 10
MIN_COMPLETE = 3
"""Numbers of trials that have ended, and that were trained in full, from which the gain of further
trials is estimated. Fewer do not show how much trials differ."""

READS_CER = 0.5
"""Highest CER of the best trial for this estimate: networks that do not read are all alike."""


def expected_saving(
    values: Collection[float], n_ended: int, n_complete: int, n_symbols: int
) -> float | None:
    """Return the character errors that as many trials again are expected to save.

    Args:
        values: lowest validation CER of each trial that is comparable with the best.
        n_ended: number of trials that have ended or were paused.
        n_complete: number of trials that were trained in full.
        n_symbols: number of characters in the validation split.

    Returns:
        The expected number of errors; None if the trials are too few to tell, or if none reads.
    """
    few = n_complete < MIN_COMPLETE or n_ended < MIN_ENDED
    if few or not values or min(values) > READS_CER:
        return None
    return n_symbols * expected_gain(values)


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
