"""Promotion at rungs, and the decisions of the scheduler; no study is needed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrsearch.core import TrainingConfig
from ocrsearch.training.records import EpochRecord, Epochs, Pooled
from ocrsearch.training.trainer import Schedule
from ocrsearch.tuning.scheduler import (
    MAX_INFEASIBLE_IN_A_ROW,
    TIME_SHARE,
    Promotion,
    Scheduler,
    default_rungs,
    promotion_key,
)
from ocrsearch.tuning.status import Limits, Status


def curve(n: int, cer: float, loss: float = 1.0) -> Epochs:
    return [EpochRecord(epoch=i + 1, cer=cer, val_loss=loss) for i in range(n)]


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [(45, (5, 15)), (30, (4, 10)), (81, (3, 9, 27)), (9, (3,)), (8, ()), (1, ())],
)
def test_default_rungs_are_thirds(epochs: int, rungs: tuple[int, ...]) -> None:
    assert default_rungs(epochs) == rungs


def test_where_all_read_nothing_the_loss_decides() -> None:
    assert promotion_key(curve(2, 0.97, 3.0), 2) > promotion_key(curve(2, 1.0, 2.0), 2)
    assert promotion_key(curve(2, 0.5, 9.0), 2) < promotion_key(curve(2, 0.6, 1.0), 2)


def test_what_comes_after_the_rung_does_not_count() -> None:
    assert promotion_key([*curve(2, 0.5), *curve(1, 0.1)], 2) == (0.5, 1.0)


def arrive(promotion: Promotion, number: int, cer: float, n: int = 3, group: str = "crnn") -> bool:
    promotion.record(number, group, curve(n, cer))
    return promotion.goes_on(number, curve(n, cer))


def test_the_best_third_goes_on_at_once_and_others_wait() -> None:
    promotion = Promotion((3, 9))
    assert not arrive(promotion, 0, 0.5)
    assert not arrive(promotion, 1, 0.6)
    assert arrive(promotion, 2, 0.4)  # best of three
    assert promotion.promotable([0, 1]) == []
    assert not arrive(promotion, 3, 0.7)
    assert not arrive(promotion, 4, 0.8)
    assert not arrive(promotion, 5, 0.9)
    assert promotion.promotable([0, 1, 3, 4, 5]) == [0]  # two of six may go on


def test_between_rungs_everybody_goes_on() -> None:
    promotion = Promotion((3, 9))
    promotion.record(0, "crnn", curve(2, 1.0))
    assert promotion.goes_on(0, curve(2, 1.0))


def test_a_promoted_one_is_not_stopped_again_where_it_left() -> None:
    promotion = Promotion((3, 9))
    for number, cer in enumerate((0.1, 0.2, 0.3)):
        arrive(promotion, number, cer)
    assert promotion.promotable([0, 1, 2]) == [0]
    promotion.promote(0)
    assert promotion.promotable([1, 2]) == []
    assert promotion.goes_on(0, curve(3, 0.1))  # told of its last epoch again, as it continues


def test_at_the_first_rung_architectures_are_compared_with_their_like() -> None:
    promotion = Promotion((3, 9))
    for number in range(3):
        arrive(promotion, number, 0.1 + 0.01 * number, group="crnn")
    for number in range(3, 6):
        arrive(promotion, number, 0.8 + 0.01 * number, group="seq2seq")
    assert promotion.promotable(range(6)) == [0, 3]


def test_at_later_rungs_all_are_compared() -> None:
    promotion = Promotion((3, 9))
    for number in range(3):
        arrive(promotion, number, 0.1 + 0.01 * number, n=9, group="crnn")
    for number in range(3, 6):
        arrive(promotion, number, 0.8, n=9, group="seq2seq")
    assert promotion.promotable(range(6)) == [0, 1]


def test_hopeless_are_those_that_no_later_comer_can_help() -> None:
    promotion = Promotion((3, 9))
    for number in range(6):
        arrive(promotion, number, 0.1 * (number + 1))
    paused = [n for n in range(6) if n not in (0, 1)]
    assert promotion.hopeless(paused, 6) == [2, 3, 4, 5]
    assert promotion.hopeless(paused, 12) == [4, 5]
    assert promotion.hopeless(paused, 30) == []


def test_equal_ones_go_by_age_and_no_more_than_a_third() -> None:
    promotion = Promotion((3,))
    for number in range(7):
        arrive(promotion, number, 0.0)
    assert promotion.promotable(range(7)) == [0, 1]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.randoms())
def test_never_more_than_a_third_has_left_and_the_best_always_may(cers: list[float], rng) -> None:  # type: ignore[no-untyped-def]
    """Whatever the order of arrival, when all have arrived the best third can have gone on."""
    promotion = Promotion((3,))
    order = list(range(len(cers)))
    rng.shuffle(order)
    gone = {n for n in order if arrive(promotion, n, cers[n])}
    paused = set(order) - gone
    may = gone | set(promotion.promotable(paused))
    ranked = sorted(order, key=lambda n: (promotion_key(curve(3, cers[n]), 3), n))
    assert set(ranked[: len(cers) // 3]) <= may
    assert not may & set(promotion.hopeless(paused, len(cers)))


def test_the_finalist_is_the_best_of_the_highest_rung_unless_one_has_gone_all_the_way() -> None:
    promotion = Promotion((3, 9))
    assert promotion.finalist([]) == []
    arrive(promotion, 0, 0.5)
    arrive(promotion, 1, 0.4, group="seq2seq")
    assert promotion.finalist([0, 1]) == [1]
    assert promotion.hopeless([0, 1], 2) == [0]
    promotion.promote(1)
    assert promotion.finalist([0]) == []
    promotion.record(1, "seq2seq", curve(9, 0.4))
    assert not promotion.goes_on(1, curve(9, 0.1))
    arrive(promotion, 2, 0.1)  # better, but not so far
    assert promotion.finalist([0, 1, 2]) == [1]
    promotion.promote(1)
    assert promotion.finalist([0, 2]) == []
    assert promotion.hopeless([0, 2], 3) == [0, 2]


def test_without_rungs_nobody_waits() -> None:
    promotion = Promotion(default_rungs(8))
    promotion.record(0, "crnn", curve(8, 0.1))
    assert promotion.goes_on(0, curve(3, 0.1))
    assert promotion.finalist([]) == promotion.last_chances([], lambda *_: False) == []


def test_the_last_chances_are_of_the_highest_rung_and_short_of_time() -> None:
    promotion = Promotion((3, 9))
    asked: list[tuple[int, int]] = []

    def has_time(number: int, n_more: int) -> bool:
        asked.append((number, n_more))
        return number == 2

    assert promotion.last_chances([], has_time) == []
    for number, cer in enumerate((0.5, 0.4, 0.3, 0.2)):
        arrive(promotion, number, cer)
    assert promotion.last_chances([0, 1, 2], has_time) == [1, 0]
    assert asked == [(2, 3), (1, 3), (0, 3)]  # one that begins stops at the first rung
    promotion.record(0, "crnn", curve(9, 0.5))
    assert promotion.last_chances([0, 1, 2], has_time) == [0]


def folded(n_folds: int, cer: float = 0.1, n: int = 4, n_more: int = 0) -> Epochs:
    """Return the curve of a configuration that has seen some folds of n epochs, and a bit more."""
    epochs = curve(n_folds * n + n_more, cer)
    for i, record in enumerate(epochs):
        pooled = Pooled(cer=cer, wer=cer, exact=0.0, val_loss=1.0) if (i + 1) % n == 0 else None
        changes = {"fold": i // n + 1, "n_folds": 3, "pooled": pooled}
        epochs[i] = record.model_copy(update=changes)
    return epochs


def test_at_the_end_of_the_first_fold_all_wait_and_the_best_third_may_go_on() -> None:
    promotion = Promotion((2,), 3, 4)
    for number, cer in enumerate((0.3, 0.1, 0.2)):
        promotion.record(number, "crnn", folded(1, cer))
        assert not promotion.goes_on(number, folded(1, cer))
        assert promotion.waits_for_folds(number)
    assert promotion.promotable(range(3)) == [1]
    promotion.promote(1)
    assert promotion.goes_on(1, folded(1))  # told of its last epoch again, as it continues
    promotion.record(1, "crnn", folded(2, n_more=1))
    assert promotion.goes_on(1, folded(2, n_more=1))  # rungs are those of the first fold
    assert promotion.goes_on(1, folded(2))
    assert promotion.promotable([0, 2]) == []


def test_a_fold_that_ends_early_is_at_its_end() -> None:
    promotion = Promotion((2,), 3, 4)
    short = folded(1, n=3)
    promotion.record(0, "crnn", short[:-1])
    assert not promotion.waits_for_folds(0)
    promotion.record(0, "crnn", short)
    assert promotion.waits_for_folds(0)
    assert not promotion.goes_on(0, short)


def test_without_any_other_the_finalist_sees_all_folds() -> None:
    promotion = Promotion((2,), 3, 4)
    promotion.record(0, "crnn", folded(1))
    assert promotion.finalist([0]) == [0]
    promotion.promote(0)
    assert promotion.finalist([]) == []


@pytest.mark.parametrize(
    ("n_epochs", "n_left", "expected"),
    [
        (4, 20, []),  # there is time for new ones first
        (4, 12, [0]),  # for the two other folds, and little more
        (4, 8, []),  # it would come to its end just too late
        (2, 20, []),
        (2, 14, [0]),  # for all folds, and little more
        (2, 8, []),  # not for all folds, but for the first fold of a new one too
        (2, 3, [0]),
    ],
)
def test_short_of_time_only_what_comes_to_its_end_sees_more_folds(
    n_epochs: int, n_left: int, expected: list[int]
) -> None:
    promotion = Promotion((2,), 3, 4)
    epochs = folded(1) if n_epochs == 4 else folded(1)[:2]
    promotion.record(0, "crnn", epochs)

    def has_time(number: int, n_more: int) -> bool:
        return 3 * 4 - n_epochs + n_more < n_left

    assert promotion.last_chances([0], has_time) == expected


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
