"""Remaining time of a search, and the limit that ends it first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from optuna.trial import FixedTrial

from ocrsearch.core.config import Config
from ocrsearch.training.records import EpochRecord
from ocrsearch.tuning.estimate import LimitProgress, epochs_left, limit_progress
from ocrsearch.tuning.status import Limits, Running, Status


def in_training(lengths: Sequence[int]) -> dict[int, Running]:
    """Return trials that have trained for these numbers of epochs."""
    trial: Any = FixedTrial({})
    record = EpochRecord(epoch=1, cer=0.5, val_loss=1.0)
    return {
        100 + i: Running(trial, {}, Config(), [record] * length) for i, length in enumerate(lengths)
    }


def left_s(status: Status) -> float | None:
    return limit_progress(status).left_s


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The search has run for 100 s."""
    monkeypatch.setattr(Status, "elapsed_s", 100.0)


@pytest.mark.parametrize("n_epochs", [0, 1])
def test_no_estimate_before_two_epochs_are_finished(n_epochs: int) -> None:
    status = Status(Limits(10, epoch_budget=50), n_complete=1, n_epochs=n_epochs)
    assert left_s(status) is None
    status = Status(Limits(10), n_complete=1, n_epochs=n_epochs, n_epochs_before=40)
    assert left_s(status) is None


@pytest.mark.parametrize(
    ("timeout_s", "expected"),
    [
        (400.0, ("time", 0.25, 300.0)),
        (100.0, ("time", 1.0, 0.0)),
        (80.0, ("time", 1.0, 0.0)),  # over its time, while the last epochs end
        (0.0, ("time", 1.0, 0.0)),
    ],
)
def test_a_time_limit_is_known_from_the_beginning(
    timeout_s: float, expected: tuple[str, float, float]
) -> None:
    assert limit_progress(Status(Limits(10, timeout_s))) == expected


@pytest.mark.parametrize(
    ("n_before", "n_now", "budget", "fraction", "expected"),
    [
        (0, 20, 50, 0.4, 150.0),  # 5 s for an epoch
        (20, 20, 50, 0.8, 50.0),  # the earlier epochs took time of another run
        (0, 50, 50, 1.0, 0.0),
        (0, 51, 50, 1.0, 0.0),  # two workers ended an epoch at the same time
    ],
)
def test_a_budget_of_epochs_is_used_at_the_pace_of_this_run(
    n_before: int, n_now: int, budget: int, fraction: float, expected: float
) -> None:
    limits = Limits(1000, epoch_budget=budget)
    status = Status(limits, n_complete=1, n_epochs=n_now, n_epochs_before=n_before)
    assert limit_progress(status) == ("epochs", fraction, expected)


def test_the_epochs_of_other_coordinators_count_into_the_pace() -> None:
    status = Status(Limits(1000, epoch_budget=100), n_complete=1, n_epochs=10)
    status.n_epochs_before, status.n_epochs_elsewhere = 40, 10
    assert left_s(status) == 50 * 5.0


def test_the_pace_begins_with_the_first_training_and_ends_with_the_last_epoch() -> None:
    status = Status(Limits(1000, epoch_budget=30), n_complete=1, n_epochs=20)
    status.began_s, status.last_epoch_s = 15.0, 95.0
    assert left_s(status) == 10 * 4.0 - 5.0  # of the next epoch 5 s have passed
    status.limits = Limits(1000, epoch_budget=21)
    assert left_s(status) == 0.0  # the last epoch takes longer than the others


@pytest.mark.parametrize(
    ("counts", "lengths", "expected"),
    [
        ({"n_complete": 5, "n_epochs": 20}, [], 5 * 4.0),
        ({"n_complete": 10, "n_epochs": 20}, [], 0.0),
        ({"n_complete": 12, "n_epochs": 20}, [], 0.0),  # an earlier run had a higher limit
        # paused trials count with the epochs that they have
        ({"n_complete": 1, "n_pruned": 3, "paused": {1: 1}, "n_epochs": 20}, [], 6 * 5.0),
        # the trial in training has 2 of the expected 4 epochs
        ({"n_complete": 4, "n_epochs": 18 + 2}, [2], 5 * 4.0 + 2.0),
        # it has more epochs than expected, so at least 1 follows
        ({"n_complete": 4, "n_epochs": 10 + 10}, [10], 5 * 4.0 + 1.0),
        # half of the trials are infeasible, and so are half of the new ones
        ({"n_complete": 2, "n_infeasible": 2, "n_epochs": 20}, [], 3 * 10.0),
        # the epochs of earlier runs count into the length of a trial
        ({"n_complete": 5, "n_epochs": 20, "n_epochs_before": 30}, [], 5 * 10.0),
        ({"n_infeasible": 5}, [], None),
        ({}, [], None),
    ],
)
def test_new_trials_are_expected_to_be_like_the_others(
    counts: dict[str, Any], lengths: list[int], expected: float | None
) -> None:
    status = Status(Limits(10), running=in_training(lengths), **counts)
    assert epochs_left(status) == pytest.approx(expected)


def test_a_trial_that_begins_counts_with_its_first_rung() -> None:
    status = Status(Limits(10), running=in_training([1, 1]), n_epochs=2, least_epochs=9)
    assert epochs_left(status) == 8 * 9.0 + 2 * 8.0
    assert left_s(status) == pytest.approx((8 * 9.0 + 2 * 8.0) * 50.0)
    assert limit_progress(status).fraction == pytest.approx(2 / 90)


def test_trials_that_wait_for_a_worker_or_train_elsewhere_are_still_to_come() -> None:
    status = Status(Limits(4), n_complete=1, n_epochs=8, least_epochs=4)
    status.elsewhere = {7}
    status.waiting = list(in_training([0]).values())
    assert epochs_left(status) == 1 + 4.0 + 1 * 4.0


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(10, timeout_s=110.0, epoch_budget=50), "time"),
        (Limits(10, timeout_s=1000.0, epoch_budget=25), "epochs"),
        (Limits(6, timeout_s=1000.0, epoch_budget=500), "trials"),
    ],
)
def test_the_limit_with_the_least_time_left_ends_the_search(limits: Limits, expected: str) -> None:
    assert limit_progress(Status(limits, n_complete=5, n_epochs=20)).limit == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(10), LimitProgress("trials", 0.2, None)),
        (Limits(10, epoch_budget=50), LimitProgress("epochs", 0.0, None)),
        (Limits(10, timeout_s=200.0, epoch_budget=50), LimitProgress("time", 0.5, 100.0)),
    ],
)
def test_without_a_pace_the_first_given_limit_is_shown(
    limits: Limits, expected: LimitProgress
) -> None:
    status = Status(limits, n_complete=2, running=in_training([0, 0]))
    assert limit_progress(status) == expected
