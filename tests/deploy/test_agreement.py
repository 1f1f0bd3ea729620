"""Agreement on a text: found place by place, never worse than what was read."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from ocrsearch.deploy.agreement import (
    MAX_ROUNDS,
    Change,
    Text,
    agree,
    changed,
    changes_to,
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
