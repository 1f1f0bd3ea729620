"""Agreement on a text: found place by place, never worse than what was read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from ocrsearch.inference.reader import (
    MAX_ROUNDS,
    Change,
    Text,
    agree,
    changed,
    changes_to,
    with_gains,
)

texts = st.lists(st.integers(0, 3), max_size=8).map(tuple)


class Nearness:
    """Scores texts by their edits from what each line shows, and notes what it is asked."""

    def __init__(self, shown: Mapping[int, Text]) -> None:
        self.shown, self.asked = shown, list[tuple[int, Text]]()
        self.n_calls = 0

    def __call__(self, texts: Mapping[int, Sequence[Text]]) -> dict[int, list[float]]:
        """Return minus the edits."""
        self.n_calls += 1
        self.asked += [(line, text) for line, of_line in texts.items() for text in of_line]
        return {
            line: [-Levenshtein.distance(text, self.shown[line]) for text in of_line]
            for line, of_line in texts.items()
        }


@pytest.mark.parametrize(
    ("text", "other", "expected"),
    [
        ((), (), []),
        ((), (1, 2), [Change(0, 0, (1, 2))]),
        ((1, 2), (), [Change(0, 2, ())]),
        ((1, 2, 3), (1, 9, 3), [Change(1, 2, (9,))]),
        ((1, 2, 3), (0, 1, 2, 3, 4), [Change(0, 0, (0,)), Change(3, 3, (4,))]),
        ((1, 2, 3, 4), (1, 3, 4, 5), [Change(1, 2, ()), Change(4, 4, (5,))]),
    ],
)
def test_changes_are_the_places_that_differ(
    text: Text, other: Text, expected: list[Change]
) -> None:
    assert changes_to(text, [other]) == expected


@given(text=texts, other=texts)
def test_all_changes_together_lead_to_the_other_text(text: Text, other: Text) -> None:
    assert changed(text, changes_to(text, [other])) == other
    assert changes_to(text, [text]) == []


def test_the_right_places_of_several_readings_come_together() -> None:
    score = Nearness({7: (1, 2, 3, 4, 5, 6), 9: (8, 8)})
    readings = {
        7: [(1, 0, 3, 4, 5, 0), (0, 2, 3, 4, 0, 6), (1, 2, 3, 5, 6)],
        9: [(8,), (8, 8)],
    }
    assert agree(readings, score) == {7: (1, 2, 3, 4, 5, 6), 9: (8, 8)}
    assert len(score.asked) == len(set(score.asked))  # nothing twice
    assert score.n_calls <= 1 + 2 * MAX_ROUNDS


def test_all_that_gains_is_taken_at_once() -> None:
    """More places than there are rounds."""
    digits = range(20, 34)
    shown = tuple(i for digit in digits for i in (digit, 9))
    first = tuple(i + 50 if i > 9 and i % 2 else i for i in shown)
    second = tuple(i + 50 if i > 9 and not i % 2 else i for i in shown)
    score = Nearness({0: shown})
    assert agree({0: [first, second]}, score) == {0: shown}
    assert len(score.asked) < 3 * len(shown)


def test_a_change_may_pay_only_after_another() -> None:
    """The second place is of worth where the first has been changed."""
    scores = {(1, 5, 1): 0.0, (2, 5, 2): -3.0, (2, 5, 1): 1.0, (1, 5, 2): -1.0}

    def score(texts: Mapping[int, Sequence[Text]]) -> dict[int, list[float]]:
        known = {**scores, (2, 5, 3): 4.0, (1, 5, 3): -1.0}
        return {i: [known.get(text, -9.0) for text in t] for i, t in texts.items()}

    assert agree({0: [(1, 5, 1), (2, 5, 2), (1, 5, 3)]}, score) == {0: (2, 5, 3)}


def test_of_changes_in_one_place_the_best_is_taken() -> None:
    """Two readings differ from the best where they meet; both at once would be neither."""
    known = {(1, 2): 0.0, (3, 2): 1.0, (4, 2): 2.0}

    def score(texts: Mapping[int, Sequence[Text]]) -> dict[int, list[float]]:
        assert all(text in known for of_line in texts.values() for text in of_line)
        return {i: [known[text] for text in t] for i, t in texts.items()}

    assert agree({0: [(1, 2), (3, 2), (4, 2)]}, score) == {0: (4, 2)}


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ({Change(0, 1, (7,)): 1.0, Change(2, 3, (8,)): 2.0}, (7, 2, 8, 4)),
        ({Change(0, 1, (7,)): 1.0, Change(2, 3, (8,)): -2.0}, (7, 2, 3, 4)),
        ({Change(0, 1, (7,)): 0.0, Change(2, 3, (8,)): -math.inf}, (1, 2, 3, 4)),
        ({Change(0, 2, (7,)): 1.0, Change(1, 3, (8,)): 2.0}, (1, 8, 4)),  # they overlap
        ({Change(0, 2, (7,)): 1.0, Change(2, 3, (8,)): 0.5}, (7, 3, 4)),  # they touch
        ({Change(1, 1, (7,)): 1.0, Change(1, 1, (8,)): 2.0}, (1, 8, 2, 3, 4)),
        ({Change(0, 4, ()): 1.0}, ()),
    ],
)
def test_gains_are_joined_where_they_do_not_touch(
    gains: dict[Change, float], expected: Text
) -> None:
    text = (1, 2, 3, 4)
    scores = {changed(text, [change]): gain for change, gain in gains.items()}
    assert with_gains(text, list(gains), {text: 0.0, **scores}) == expected


@pytest.mark.parametrize(("n", "n_changes"), [(10, 10), (40, 20), (100, 12), (1000, 4)])
def test_many_places_are_tried_in_groups(n: int, n_changes: int) -> None:
    text, other = (0, 1) * n, (0, 2) * n
    changes = changes_to(text, [other])
    assert len(changes) == n_changes
    assert changed(text, changes) == other


def test_of_equal_texts_the_first_is_kept() -> None:
    assert agree({0: [(2,), (1,), (3,)]}, Nearness({0: (4,)})) == {0: (2,)}


def test_what_is_impossible_is_not_taken() -> None:
    def score(texts: Mapping[int, Sequence[Text]]) -> dict[int, list[float]]:
        of_line = {(0, 0): -1.0, (1, 1): -2.0}
        return {i: [of_line.get(text, -math.inf) for text in t] for i, t in texts.items()}

    assert agree({0: [(1, 1), (0, 0)]}, score) == {0: (0, 0)}


def test_no_line_is_no_question() -> None:
    score = Nearness({})
    assert agree({}, score) == {}
    assert score.n_calls == 0


@given(
    shown=texts,
    readings=st.lists(texts, min_size=2, max_size=4, unique=True),
)
def test_it_is_never_further_off_than_the_best_reading(shown: Text, readings: list[Text]) -> None:
    found = agree({0: readings}, Nearness({0: shown}))[0]
    best = min(Levenshtein.distance(text, shown) for text in readings)
    assert Levenshtein.distance(found, shown) <= best
