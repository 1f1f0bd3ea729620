"""Error rates against a plain reference, and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrsearch.evaluation.metrics import (
    Metrics,
    bootstrap_intervals,
    compute_metrics,
    count_edits,
    rates,
    read_counts,
    save_counts,
)

TEXTS = st.text("ab ", max_size=8)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), max_size=8)
RATES = ("cer", "wer", "ser", "exact")


def distance(a: Sequence[str], b: Sequence[str]) -> int:
    """Return the Levenshtein distance by its recursion."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        above, row = row, [i]
        for j, y in enumerate(b, start=1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y)))
    return row[-1]


@pytest.mark.parametrize(
    ("references", "hypotheses", "expected"),
    [
        ([], [], Metrics(0, 0.0, 0.0, 0.0, 0.0)),
        ([""], [""], Metrics(1, 0.0, 0.0, 0.0, 1.0)),
        ([""], ["ab"], Metrics(1, 2.0, 1.0, 1.0, 0.0)),
        (["a"], [""], Metrics(1, 1.0, 1.0, 1.0, 0.0)),
        (["a"], ["a"], Metrics(1, 0.0, 0.0, 0.0, 1.0)),
        (["a"], ["b"], Metrics(1, 1.0, 1.0, 1.0, 0.0)),
        (["a"], ["abcd"], Metrics(1, 3.0, 1.0, 1.0, 0.0)),
        (["a"], ["b c d"], Metrics(1, 5.0, 3.0, 1.0, 0.0)),
        (["ab"], ["ba"], Metrics(1, 1.0, 1.0, 1.0, 0.0)),
        (["abcd", "e"], ["abcd", "f"], Metrics(2, 0.2, 0.5, 0.5, 0.5)),
        (["", "ab"], ["x", "ab"], Metrics(2, 0.5, 1.0, 0.5, 0.5)),
        (["one two"], ["one too"], Metrics(1, 1 / 7, 0.5, 1.0, 0.0)),
        (["a b"], ["a  b"], Metrics(1, 1 / 3, 0.0, 1.0, 0.0)),
        (["é"], ["e"], Metrics(1, 1.0, 1.0, 1.0, 0.0)),
        (["漢字"], ["漢"], Metrics(1, 0.5, 1.0, 1.0, 0.0)),
    ],
)
def test_rates(references: list[str], hypotheses: list[str], expected: Metrics) -> None:
    assert asdict(compute_metrics(references, hypotheses)) == pytest.approx(asdict(expected))


@given(PAIRS)
def test_rates_are_those_of_the_definition(pairs: list[tuple[str, str]]) -> None:
    edits = sum(distance(r, h) for r, h in pairs)
    word_edits = sum(distance(r.split(), h.split()) for r, h in pairs)
    n_symbols = sum(len(r) for r, _ in pairs)
    n_words = sum(len(r.split()) for r, _ in pairs)
    n_wrong = sum(r != h for r, h in pairs)

    metrics = compute_metrics([r for r, _ in pairs], [h for _, h in pairs])

    assert metrics.n == len(pairs)
    assert metrics.cer == pytest.approx(edits / max(n_symbols, 1))
    assert metrics.wer == pytest.approx(word_edits / max(n_words, 1))
    assert metrics.ser == pytest.approx(n_wrong / max(len(pairs), 1))
    assert metrics.exact == pytest.approx(1 - metrics.ser if pairs else 0.0)


def test_cer_is_no_mean_of_ratios() -> None:
    assert compute_metrics(["a", "b" * 99], ["x", "b" * 99]).cer == pytest.approx(0.01)


def test_counts_are_per_text() -> None:
    counts = count_edits(["abc", "", "a b"], ["abd", "x", "a b"])

    assert counts.edits.tolist() == [1, 1, 0]
    assert counts.symbols.tolist() == [3, 0, 3]
    assert counts.word_edits.tolist() == [1, 1, 0]
    assert counts.words.tolist() == [1, 0, 2]
    assert counts.wrong.tolist() == [1, 1, 0]


@pytest.mark.parametrize("function", [count_edits, compute_metrics, bootstrap_intervals])
def test_lists_of_unequal_length_are_our_mistake(function: object) -> None:
    assert callable(function)
    with pytest.raises(ValueError, match="shorter"):
        function(["a", "b"], ["a"])


@pytest.mark.parametrize(
    ("references", "hypotheses"),
    [
        (["a"], ["a"]),
        (["a"], ["b"]),
        ([""], ["abc"]),
        (["", ""], ["a", "abc"]),
        (["ab"] * 10, ["ab"] * 9 + ["xy"]),
        (["ab"] * 200, ["ab"] * 199 + ["a"]),
        (["a b c"] * 5, ["a b c d e f g h"] * 5),
    ],
)
def test_intervals_contain_the_estimate(references: list[str], hypotheses: list[str]) -> None:
    metrics = asdict(compute_metrics(references, hypotheses))

    intervals = bootstrap_intervals(references, hypotheses)

    assert intervals.keys() == set(RATES)
    for name, (low, high) in intervals.items():
        assert low <= metrics[name] <= high


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=6))
@settings(deadline=None, max_examples=10)
def test_intervals_are_in_order_and_within_reach(pairs: list[tuple[str, str]]) -> None:
    intervals = bootstrap_intervals([r for r, _ in pairs], [h for _, h in pairs])

    for name, (low, high) in intervals.items():
        assert 0.0 <= low <= high
        assert high <= 1.0 or name in ("cer", "wer")
    assert intervals["exact"] == pytest.approx(tuple(1 - x for x in reversed(intervals["ser"])))


def test_intervals_are_the_same_each_time() -> None:
    references, hypotheses = ["ab", "cd", "ef", "gh"] * 5, ["ab", "cx", "ef", "g"] * 5

    assert bootstrap_intervals(references, hypotheses) == bootstrap_intervals(
        references, hypotheses
    )


def test_more_texts_give_narrower_intervals() -> None:
    def width(n: int) -> float:
        low, high = bootstrap_intervals(["ab", "cd"] * n, ["ab", "cx"] * n)["cer"]
        return high - low

    assert 0 < width(100) < width(5)


def test_interval_of_a_share_is_near_that_of_the_normal_distribution() -> None:
    low, high = bootstrap_intervals(["a"] * 400, ["a"] * 200 + ["b"] * 200)["ser"]

    assert (low, high) == pytest.approx((0.5 - 0.049, 0.5 + 0.049), abs=0.01)


def test_no_error_in_a_few_texts_is_no_promise() -> None:
    intervals = bootstrap_intervals(["abc d"] * 88, ["abc d"] * 88)

    assert intervals["exact"] == (pytest.approx(0.9589, abs=1e-4), 1.0)  # as tables have it
    assert intervals["ser"] == (0.0, pytest.approx(0.0411, abs=1e-4))
    assert intervals["cer"] == (0.0, pytest.approx(0.0411 / 5, abs=1e-4))
    assert intervals["wer"] == (0.0, pytest.approx(0.0411 / 2, abs=1e-4))


def test_nothing_right_in_a_few_texts_is_no_verdict() -> None:
    intervals = bootstrap_intervals(["a"] * 88, ["b"] * 88)

    assert intervals["exact"] == (0.0, pytest.approx(0.0411, abs=1e-4))  # as tables have it
    assert intervals["ser"] == (pytest.approx(0.9589, abs=1e-4), 1.0)


def test_nothing_is_known_of_no_texts() -> None:
    assert bootstrap_intervals([], []) == dict.fromkeys(RATES, (0.0, 1.0))


def test_counts_of_a_file_give_the_same_rates(tmp_path: Path) -> None:
    references, hypotheses = ["abc d", "", "xy"], ["abd d", "a", "xy"]
    save_counts(count_edits(references, hypotheses), tmp_path / "counts.json")
    counts = read_counts(tmp_path / "counts.json")
    assert counts is not None
    assert rates(counts) == compute_metrics(references, hypotheses)


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[[1, 2]]", "[1, 2]", '[["a", 1, 1, 1, 1]]', "[[1, 1, 1, 1, -1]]", "[[1,", "null"],
)
def test_damaged_counts_are_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "counts.json").write_text(content)
    assert read_counts(tmp_path / "counts.json") is None
    assert read_counts(tmp_path / "missing.json") is None
