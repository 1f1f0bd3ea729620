"""Decisions of the scheduler; no study is needed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ocrsearch.core import TrainingConfig
from ocrsearch.training.trainer import Schedule
from ocrsearch.tuning.promotion import Promotion
from ocrsearch.tuning.scheduler import MAX_INFEASIBLE_IN_A_ROW, TIME_SHARE, Scheduler
from ocrsearch.tuning.status import Limits, Status
from tests.tuning.curves import curve, folded


def test_the_scheduler_loads_neither_optuna_nor_torch() -> None:
    code = "import sys, ocrsearch.tuning.scheduler; print({'optuna', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


ENDED = {
    "n_complete": 3,
    "best_value": 0.1,
    "ends": {n: (float(n), (False, 0.1 + 0.002 * (n > 0))) for n in range(10)},
}
"""Ten trials: the best is 0.002 better than all others, so the expected gain is 0.001."""

READ_NOTHING = {n: (float(n), (False, 0.6)) for n in range(10)}


@pytest.mark.parametrize(
    ("limits", "counts", "ending"),
    [
        (Limits(9), {}, None),
        (Limits(9), {"n_complete": 4, "n_pruned": 3, "n_infeasible": 1, "n_failed": 1}, "trials"),
        (Limits(9), {"n_complete": 8}, None),
        (Limits(9, target_cer=0.1), {"best_value": 0.1}, "target"),
        (Limits(9, target_cer=0.1), {"best_value": 0.1, "best_lacks_folds": True}, None),
        (Limits(9, epoch_budget=10), {"n_epochs": 4, "n_epochs_before": 6}, "epochs"),
        (Limits(9, stall_trials=2), {"n_without_gain": 2}, "patience"),
        (Limits(99, min_gain=1.0), {**ENDED, "n_symbols": 1100}, None),
        (Limits(99, min_gain=1.0), {**ENDED, "n_symbols": 900}, "gain"),
        (Limits(99, min_gain=1.0), {**ENDED, "n_symbols": None}, None),
        (Limits(99), {**ENDED, "n_symbols": 900}, None),
        (Limits(99, min_gain=1.0), {**ENDED, "n_symbols": 9, "n_complete": 2}, None),
        (Limits(99, min_gain=1.0), {**ENDED, "n_symbols": 9, "ends": READ_NOTHING}, None),
        (Limits(9, timeout_s=1.0), {"started": -1e9}, "timeout"),
        (
            Limits(99),
            {"n_infeasible": MAX_INFEASIBLE_IN_A_ROW, "n_infeasible_now": MAX_INFEASIBLE_IN_A_ROW},
            "infeasible",
        ),
        (Limits(99), {"n_infeasible": MAX_INFEASIBLE_IN_A_ROW}, None),
    ],
)
def test_each_limit_ends_the_search(
    limits: Limits, counts: dict[str, Any], ending: str | None
) -> None:
    assert Scheduler(30).ending(Status(limits, **counts)) == ending


def test_a_used_up_space_ends_the_search_when_nothing_trains_any_more() -> None:
    scheduler = Scheduler(30)
    scheduler.is_exhausted = True
    assert scheduler.room(Status(Limits(9))) == 0
    assert scheduler.ending(Status(Limits(9), elsewhere={3})) is None
    assert scheduler.ending(Status(Limits(9))) == "exhausted"


def test_trials_elsewhere_take_room() -> None:
    assert Scheduler(30).room(Status(Limits(5), n_complete=2, elsewhere={2, 3})) == 1


@pytest.mark.parametrize(
    ("n_epochs", "share"), [(6, 0.25), (10, 0.25), (10, 0.0), (9, 0.5), (7, 1)]
)
def test_a_training_short_of_time_decays_over_the_same_fraction_as_one_of_that_length(
    n_epochs: int, share: float
) -> None:
    scheduler, epoch_s = Scheduler(100), 1000.0
    decay_start = Schedule.from_config(
        TrainingConfig(epochs=n_epochs, decay_fraction=share)
    ).decay_start

    def n_left(n_done: int) -> int | None:
        """Return the limit for a training with time for ``n_epochs`` in all."""
        seconds_left = (n_epochs - n_done + 0.5) * epoch_s / TIME_SHARE
        status = Status(Limits(9, timeout_s=seconds_left))
        epochs = [e.model_copy(update={"seconds": epoch_s}) for e in curve(n_done, 0.5)]
        return scheduler.epochs_left(
            status, epochs, TrainingConfig(epochs=100, decay_fraction=share)
        )

    for n_done in range(1, n_epochs):
        shortened = n_epochs - n_done if n_done >= decay_start else None
        assert n_left(n_done) == shortened


def timed(n: int, cer: float) -> list[dict[str, Any]]:
    return [record.model_copy(update={"seconds": 1.0}) for record in curve(n, cer)]


def test_a_paused_trial_is_resumed_only_if_there_is_time_for_all_folds() -> None:
    scheduler = Scheduler(3, 3, Promotion((1,), 3, 3))
    for number, cer in enumerate((0.3, 0.1, 0.2)):
        epochs = [record.model_copy(update={"seconds": 1.0}) for record in folded(1, cer, n=3)]
        scheduler.record(number, "crnn", epochs)
    paused = dict.fromkeys(range(3), 0)
    for timeout_s, expected in ((None, [1]), (1e6, [1]), (5.0, [])):
        status = Status(Limits(3, timeout_s=timeout_s), n_pruned=3, paused=paused)
        status.running[9] = None  # type: ignore[assignment]
        assert scheduler.candidates(status) == expected


def test_the_last_one_is_resumed_when_there_is_nothing_else_to_do() -> None:
    scheduler = Scheduler(9, promotion=Promotion((3,)))
    scheduler.record(0, "crnn", timed(3, 0.5))
    assert scheduler.candidates(Status(Limits(2), n_pruned=1, paused={0: 7})) == []
    assert scheduler.candidates(Status(Limits(1), n_pruned=1, paused={0: 7})) == [0]


@pytest.mark.parametrize(
    ("kind", "n_attempts", "expected"),
    [("crash", 1, True), ("crash", 2, False), ("died", 4, True), ("diverged", 1, False)],
)
def test_failures_that_may_pass_are_retried(kind: str, n_attempts: int, expected: bool) -> None:
    assert Scheduler(30).may_retry(kind, n_attempts) == expected
