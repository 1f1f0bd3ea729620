"""Confusions: each edit counted, and the matrix of single symbols."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import Levenshtein

from ocrsearch.evaluation import metrics as confusions
from ocrsearch.evaluation.metrics import (
    OTHER,
    Confusion,
    build_confusion_matrix,
    count_confusions,
)


def tuples(confusions: list[Confusion]) -> list[tuple[str, str, str, int]]:
    return [(c.kind, c.expected, c.read, c.n) for c in confusions]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], []),
        ([("", "")], []),
        ([("ab", "ab")], []),
        ([("a", "b")], [("substitution", "a", "b", 1)]),
        ([("a", "")], [("deletion", "a", "", 1)]),
        ([("", "a")], [("insertion", "", "a", 1)]),
        ([("đá", "đa")], [("substitution", "á", "a", 1)]),
        (
            [("17", "11"), ("7", "1"), ("100", "10"), ("5", "55")],
            [("substitution", "7", "1", 2), ("deletion", "0", "", 1), ("insertion", "", "5", 1)],
        ),
    ],
)
def test_confusions_most_frequent_first(
    pairs: list[tuple[str, str]], expected: list[tuple[str, str, str, int]]
) -> None:
    found = count_confusions([r for r, _ in pairs], [h for _, h in pairs])
    assert tuples(found) == expected


@given(st.lists(st.tuples(st.text("ab1", max_size=6), st.text("ab1", max_size=6)), max_size=8))
def test_confusions_add_up_to_the_edits(pairs: list[tuple[str, str]]) -> None:
    found = count_confusions([r for r, _ in pairs], [h for _, h in pairs])
    assert sum(c.n for c in found) == sum(Levenshtein.distance(r, h) for r, h in pairs)
    assert len({(c.expected, c.read) for c in found}) == len(found)
    assert [c.n for c in found] == sorted((c.n for c in found), reverse=True)
    for c in found:
        assert c.expected != c.read
        wanted = {"insertion": (False, True), "deletion": (True, False)}
        assert (bool(c.expected), bool(c.read)) == wanted.get(c.kind, (True, True))


def test_matrix_has_a_row_for_each_label_and_a_column_for_each_reading() -> None:
    matrix = build_confusion_matrix(list("1127"), list("1172"))
    assert matrix.symbols == ("1", "2", "7")
    np.testing.assert_array_equal(matrix.counts, [[2, 0, 0], [0, 0, 1], [0, 1, 0]])
    assert matrix.report_values["accuracy"] == 0.5
    assert matrix.report_values["1"] == {
        "precision": 1.0,
        "recall": 1.0,
        "f1-score": 1.0,
        "support": 2.0,
    }
    assert "accuracy" in matrix.report


@pytest.mark.parametrize("text", ["", "12", "11"])
def test_what_is_not_one_symbol_is_a_class_of_its_own(text: str) -> None:
    matrix = build_confusion_matrix(["1", "z"], ["1", text])
    assert matrix.symbols == ("1", "z", OTHER)
    np.testing.assert_array_equal(matrix.counts, [[1, 0, 0], [0, 0, 1], [0, 0, 0]])


@pytest.mark.parametrize("read", ["a", "b"])
def test_matrix_of_one_picture(read: str) -> None:
    matrix = build_confusion_matrix(["a"], [read])
    assert matrix.symbols == tuple(sorted({"a", read}))
    assert matrix.counts.sum() == 1
    assert matrix.report_values["accuracy"] == (read == "a")


def test_matrix_counts_as_a_loop_does() -> None:
    rng = np.random.default_rng(0)
    expected, read = (["abc"[i] for i in rng.integers(3, size=200)] for _ in range(2))
    matrix = build_confusion_matrix(expected, read)
    counts = np.zeros((3, 3), int)
    for e, r in zip(expected, read, strict=True):
        counts["abc".index(e), "abc".index(r)] += 1
    np.testing.assert_array_equal(matrix.counts, counts)


def test_there_is_no_matrix_of_very_many_symbols(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confusions, "MAX_MATRIX_SYMBOLS", 3)
    assert build_confusion_matrix(list("abc"), list("abc")) is not None
    assert build_confusion_matrix(list("abc"), ["a", "b", "xy"]) is None


def test_confusions_of_a_large_charset_are_counted_one_by_one() -> None:
    symbols = [chr(0x20000 + i) for i in range(10_000)]  # outside the basic plane
    found = count_confusions(symbols, [*symbols[1:], symbols[0]])
    assert len(found) == 10_000
    assert found[0] == Confusion("substitution", symbols[0], symbols[1], 1)


def test_without_scikit_learn_there_is_no_matrix(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    assert build_confusion_matrix(["1"], ["1"]) is None
    assert "needs scikit-learn" in caplog.text
