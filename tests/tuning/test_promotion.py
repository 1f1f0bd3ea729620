"""Promotion at rungs; no study is needed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrsearch.tuning.promotion import Promotion, agree_surely, default_rungs, promotion_key
from tests.tuning.curves import curve, folded


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
    promotion = Promotion((3,))
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
    promotion = Promotion((3,))
    for number, cer in enumerate((0.1, 0.2, 0.3)):
        arrive(promotion, number, cer)
    assert promotion.promotable([0, 1, 2]) == [0]
    promotion.promote(0)
    assert promotion.promotable([1, 2]) == []
    assert promotion.goes_on(0, curve(3, 0.1))  # told of its last epoch again, as it continues


def test_at_the_first_rung_architectures_are_compared_with_their_like() -> None:
    promotion = Promotion((3,))
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
    promotion = Promotion((3,))
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
    promotion = Promotion((3, 9), tested=False)
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


def compared(cers: list[float], later: list[float]) -> Promotion:
    """Return a promotion with rungs at 3 and 9 epochs that trials reached with these CERs."""
    promotion = Promotion((3, 9))
    for number, (early, late) in enumerate(zip(cers, later, strict=True)):
        epochs = [*curve(3, early), *curve(9, late)[3:]]
        promotion.record(number, "crnn", epochs[:3])
        assert promotion.goes_on(number, epochs[:3])  # the lower rung does not decide yet
        promotion.record(number, "crnn", epochs)
    return promotion


def test_a_lower_rung_decides_once_its_order_predicts_the_next() -> None:
    early = [0.5, 0.6, 0.7, 0.8, 0.55, 0.65, 0.75]
    late = [cer / 2 for cer in early]
    promotion = compared([*early, 0.85], [*late, 0.425])
    assert promotion.decides(0)
    assert not arrive(promotion, 8, 0.86)
    assert arrive(promotion, 9, 0.1)
    assert promotion.hopeless([8], 12) == [8]
    assert not compared(early, late).decides(0), "seven trials are too few"


def test_where_the_order_changes_between_rungs_every_trial_passes() -> None:
    promotion = compared([0.5, 0.6, 0.7, 0.8] * 3, [0.3, 0.1, 0.4, 0.2] * 3)
    assert not promotion.decides(0)
    assert arrive(promotion, 12, 0.89)
    assert promotion.hopeless([12], 13) == []


def test_rungs_are_tested_within_architectures() -> None:
    """Here the architectures are in order at both rungs, and at random within each."""
    pairs = [("crnn", (0.1 + x, 0.0), (0.1 + y, 0.0)) for x, y in [(1, 3), (2, 1), (3, 2)] * 3]
    pairs += [("seq2seq", (50.0 + a[0], 0.0), (50.0 + b[0], 0.0)) for _, a, b in pairs]
    assert not agree_surely(pairs)
    assert agree_surely([("crnn", a, b) for _, a, b in pairs])
