"""Estimate of the remaining time of a search, and of the limit that ends it.

The limit of time is exact. The limits of epochs and trials are estimated from the pace: the mean
time between two epochs of all workers in this run. Earlier runs do not count into the pace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from ocrsearch.tuning.status import Status

MIN_EPOCHS = 2
"""Smallest number of epochs in this run from which the pace is estimated."""


class LimitProgress(NamedTuple):
    """Progress of a search towards a limit.

    Attributes:
        limit: quantity that is limited.
        fraction: fraction of the limit that is used, in [0, 1]. For trials it is the fraction of
            the expected epochs, so that a trial counts with the part of it that is trained.
        left_s: seconds until the limit is reached; None without an estimate.
    """

    limit: Literal["time", "epochs", "trials"]
    fraction: float
    left_s: float | None


def limit_progress(status: Status) -> LimitProgress:
    """Return the progress towards the limit that is expected to end the search first.

    Without any estimate this is the first limit that was given, of time, epochs and trials.
    """
    limits, found = status.limits, []
    if limits.timeout_s is not None:
        left = max(0.0, limits.timeout_s - status.elapsed_s)
        found.append(LimitProgress("time", _fraction(status.elapsed_s, limits.timeout_s), left))
    if limits.epoch_budget is not None:
        n = status.n_epochs_in_all
        left_s = _seconds_of(max(0, limits.epoch_budget - n), status)
        found.append(LimitProgress("epochs", _fraction(n, limits.epoch_budget), left_s))
    found.append(_trials_progress(status))
    estimated = [progress for progress in found if progress.left_s is not None]
    return min(estimated, key=lambda progress: progress.left_s or 0.0, default=found[0])


def _trials_progress(status: Status) -> LimitProgress:
    n_left = epochs_left(status)
    if n_left is None or (left_s := _seconds_of(n_left, status)) is None:
        n_open = len(status.running) + len(status.waiting) + len(status.elsewhere)
        return LimitProgress("trials", _fraction(status.n_begun - n_open, status.n_total), None)
    n = status.n_epochs_in_all
    return LimitProgress("trials", _fraction(n, n + n_left), left_s)


def epochs_left(status: Status) -> float | None:
    """Return the expected number of epochs until the limit of trials is reached.

    A new trial is expected to train for as many epochs as the mean of the trials so far, and a new
    trial is as often infeasible. A trial in training counts with at least its first rung.

    Returns:
        None if no trial was trained yet.
    """
    n_trained = status.n_begun - status.n_infeasible
    if n_trained <= 0:
        return None
    open_trials = [len(running.epochs) for running in status.running.values()]
    open_trials += [len(running.epochs) for running in status.waiting]
    promised = sum(max(0, status.least_epochs - n) for n in open_trials)
    mean = (status.n_epochs_in_all + promised) / n_trained
    n_new = max(0, status.limits.trials - status.n_begun)
    begun = sum(max(1.0, mean - n) for n in open_trials) + len(status.elsewhere)
    return begun + n_new * mean * n_trained / status.n_begun


def _seconds_of(n_epochs: float, status: Status) -> float | None:
    """Return the seconds until all workers together have trained more epochs; None if unknown."""
    n = status.n_epochs + status.n_epochs_elsewhere
    if n < MIN_EPOCHS:
        return None
    now, last = status.elapsed_s, status.last_epoch_s
    last = now if last is None else last
    pace = max(0.0, last - (status.began_s or 0.0)) / n
    return max(0.0, n_epochs * pace - (now - last))


def _fraction(n: float, total: float) -> float:
    return min(1.0, n / total) if total > 0 else 1.0
