"""The language model: probabilities as in the formula, and a file that is checked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrsearch.core.errors import LanguageModelError
from ocrsearch.data.charset import Charset
from ocrsearch.models.decoding import automata as automaton
from ocrsearch.models.decoding import language_model
from ocrsearch.models.decoding.language_model import LanguageModel, perplexity
from ocrsearch.models.decoding.ngrams import (
    NgramCounts,
    count_ngrams,
    load_ngrams,
    save_ngrams,
)

CHARSET = Charset("abc ")
TEXTS = ("ab ab", "abc", "cab", "b", "abba c", "ab ab")
BEGIN, END = "<", ">"


def counted(order: int = 3, texts: tuple[str, ...] = TEXTS) -> NgramCounts:
    return count_ngrams(texts, CHARSET, order)[0]


def counts_behind(texts: Sequence[str], context: str, order: int) -> Counter[str]:
    """Return the number of each symbol behind a context, as the formula wants it."""
    whole = [BEGIN + text + END for text in texts]
    ngrams = {
        text[i : i + n] for text in whole for n in range(1, order + 1) for i in range(n_of(text, n))
    }
    if len(context) == order - 1 or context.startswith(BEGIN):
        met = Counter(
            text[i : i + len(context) + 1]
            for text in whole
            for i in range(n_of(text, len(context) + 1))
        )
        return Counter({n[-1]: k for n, k in met.items() if n[:-1] == context and n != BEGIN})
    return Counter(n[-1] for n in ngrams if len(n) == len(context) + 2 and n[1:-1] == context)


def discounts(texts: Sequence[str], length: int, order: int) -> tuple[float, float, float]:
    """Return D1, D2 and D3+ of the contexts of a length."""
    whole = [BEGIN + text + END for text in texts]
    contexts = {text[i : i + length] for text in whole for i in range(n_of(text, length))}
    n = Counter(k for c in contexts for k in counts_behind(texts, c, order).values())
    if n[1] and n[2] and n[3]:
        y = n[1] / (n[1] + 2 * n[2])
        found = (1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3])
        if min(found) > 0:
            return found
    return 0.5, 1.0, 1.5


def n_of(text: str, n: int) -> int:
    return max(0, len(text) - n + 1)


def reference(texts: Sequence[str], context: str, symbol: str, order: int, n_kinds: int) -> float:
    """Return p(symbol | context) by the formula, from sets of substrings."""

    def p(context: str | None) -> float:
        if context is None:
            return 1.0 / n_kinds
        behind = counts_behind(texts, context, order)
        lower = p(context[1:] if context else None)
        if not behind:
            return lower
        d = (0.0, *discounts(texts, len(context), order))
        taken = {s: d[min(k, 3)] for s, k in behind.items()}
        own = behind[symbol] - taken.get(symbol, 0.0)
        return (own + sum(taken.values()) * lower) / behind.total()

    context = BEGIN + context
    return p(context[len(context) - min(order - 1, len(context)) :])


@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize("text", ["", "a", "ab ab", "ccc", "cab abc", "   ", "abba cab"])
def test_probabilities_are_those_of_the_formula(order: int, text: str) -> None:
    model = LanguageModel(counted(order), CHARSET)
    state = np.array([model.start])
    for i in range(len(text) + 1):
        row = np.exp(model.rows(state)[0].astype(float))
        expected = [reference(TEXTS, text[:i], s, order, 5) for s in (*CHARSET.symbols, END)]
        assert row == pytest.approx(expected, rel=1e-5)
        if i < len(text):
            state = model.follow(state, np.array(CHARSET.encode(text[i])))


NEGATIVE = (
    "cb b",
    " a a ",
    "ba",
    "",
    " abccc",
    " ac a a ",
    "b a  a a",
    "c",
    "bacaaca",
    "ccbcbc",
    "bb",
)
"""Texts of which a discount would come out below 0."""

OFTEN = (
    "abc",
    "abc",
    "abc",
    "abc",
    "abc",
    "ab",
    "a",
    "cab",
    "cabab",
    "cc",
    "cc",
    "bb",
    "bb",
    "bb ",
)
"""Texts with n-grams that are met once, twice, three, four, and more times."""


@pytest.mark.parametrize("texts", [NEGATIVE, OFTEN, ("",), ("", "", "a")])
@pytest.mark.parametrize("order", [2, 4])
def test_probabilities_of_other_texts(texts: tuple[str, ...], order: int) -> None:
    model = LanguageModel(counted(order, texts), CHARSET)
    for text in ("", "a", "cc b", "abcab"):
        states = np.array([model.start])
        for id_ in CHARSET.encode(text):
            states = model.follow(states, np.array([id_]))
        row = np.exp(model.rows(states)[0].astype(float))
        expected = [reference(texts, text, s, order, 5) for s in (*CHARSET.symbols, END)]
        assert row == pytest.approx(expected, rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.text("abc ", max_size=8), min_size=1, max_size=6),
    st.integers(1, 8),
    st.permutations("ab xyz"),
    st.lists(st.integers(0, 5), max_size=12),
)
def test_probabilities_of_any_charset_sum_to_one(
    texts: list[str], order: int, symbols: list[str], ids: list[int]
) -> None:
    model = LanguageModel(counted(order, tuple(texts)), Charset(symbols))
    state = np.array([model.start])
    for i in ids:
        assert np.exp(model.rows(state).astype(float)).sum() == pytest.approx(1.0, abs=1e-5)
        state = model.follow(state, np.array([i]))


def test_a_long_context_is_better_than_none() -> None:
    texts = ["ab" * n for n in range(1, 9)]
    long, short = (LanguageModel(counted(n, tuple(texts)), CHARSET) for n in (4, 1))
    assert perplexity(long, texts, CHARSET)[0] < perplexity(short, texts, CHARSET)[0]


def test_perplexity_of_a_text() -> None:
    model = LanguageModel(counted(), CHARSET)
    total = math.prod(reference(TEXTS, "cab"[:i], "cab>"[i], 3, 5) for i in range(4))
    found, n_left_out = perplexity(model, ["cab", "xyz"], CHARSET)
    assert found == pytest.approx(total ** (-1 / 4), rel=1e-5)
    assert n_left_out == 1
    assert math.isnan(perplexity(model, ["x"], CHARSET)[0])


def test_many_texts_score_as_each_alone() -> None:
    model = LanguageModel(counted(), CHARSET)
    texts = [CHARSET.encode(text) for text in (*TEXTS, "", "ccccccccc")]
    alone = [float(model.score_texts([text])[0]) for text in texts]
    assert model.score_texts(texts) == pytest.approx(alone)
    assert len(model.score_texts([])) == 0


def test_few_rows_are_kept_when_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [CHARSET.encode(text) for text in ("abc abc", "cab ba", "bbb", " a")]
    expected = LanguageModel(counted(6), CHARSET).score_texts(texts)
    monkeypatch.setattr(automaton, "CACHE_BYTES", 100)
    assert LanguageModel(counted(6), CHARSET).score_texts(texts) == pytest.approx(expected)


def test_texts_with_other_symbols_are_left_out() -> None:
    counts, n_left_out = count_ngrams([*TEXTS, "xa", "ab!"], CHARSET, 3)
    assert (counts.n_texts, n_left_out) == (len(TEXTS), 2)
    assert np.array_equal(counts.counts, counted().counts)
    with pytest.raises(LanguageModelError, match="2 with characters outside the charset"):
        count_ngrams(["x", "y"], CHARSET, 3)


@pytest.mark.parametrize("order", [0, 9, -1])
def test_an_order_out_of_range(order: int) -> None:
    with pytest.raises(LanguageModelError, match=f"order {order}: must be an integer from 1 to 8"):
        count_ngrams(TEXTS, CHARSET, order)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    counts, path = counted(5), tmp_path / "new" / "lm.npz"
    save_ngrams(counts, path)
    loaded = load_ngrams(path)
    assert (loaded.lm_weight, loaded.length_bonus) == (None, None)
    for name in NgramCounts.__dataclass_fields__:
        assert np.array_equal(getattr(loaded, name), getattr(counts, name)), name
    assert [p.name for p in path.parent.iterdir()] == ["lm.npz"]


@pytest.mark.parametrize("chosen", [(0.8, 2.0), (0.4, None), (0.0, -1.0)])
def test_chosen_weights_are_kept(tmp_path: Path, chosen: tuple[float, float | None]) -> None:
    path = tmp_path / "lm.npz"
    weight, bonus = chosen
    save_ngrams(replace(counted(), lm_weight=weight, length_bonus=bonus), path)
    loaded = load_ngrams(path)
    assert (loaded.lm_weight, loaded.length_bonus) == chosen


def test_files_of_before_weights_were_chosen(tmp_path: Path) -> None:
    path = tmp_path / "lm.npz"
    save_ngrams(counted(), path)
    with np.load(path) as archive:
        content = {name: archive[name] for name in archive if name != "chosen"}
    np.savez(path, **content)
    assert load_ngrams(path).lm_weight is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("numbers", np.array([1.0, 3.0, 6.0, 1.0])),
        ("numbers", np.array([1, 3, 6])),
        ("numbers", np.array(1)),
        ("numbers", np.array(["1", "3", "6", "1"])),
        ("chosen", np.array([1j, 0])),
        ("chosen", np.array(0.5)),
        ("chosen", np.zeros((2, 2))),
    ],
)
def test_numbers_of_another_kind(tmp_path: Path, name: str, value: np.ndarray) -> None:
    path = tmp_path / "lm.npz"
    save_ngrams(counted(), path)
    with np.load(path) as archive:
        content = {**archive, name: value}
    np.savez(path, **content)
    with pytest.raises(LanguageModelError, match="damaged language model"):
        load_ngrams(path)


def test_a_backing_off_without_end(tmp_path: Path) -> None:
    path = tmp_path / "lm.npz"
    counts = counted()
    chain = np.maximum(0, np.arange(len(counts.backoff)) - 1)
    save_ngrams(replace(counts, backoff=chain), path)
    with pytest.raises(LanguageModelError, match="damaged language model"):
        load_ngrams(path)


def test_a_symbol_twice_behind_a_context(tmp_path: Path) -> None:
    path = tmp_path / "lm.npz"
    counts = counted()
    ids = counts.ids.copy()
    ids[1] = ids[0]
    save_ngrams(replace(counts, ids=ids), path)
    with pytest.raises(LanguageModelError, match="damaged language model"):
        load_ngrams(path)


@pytest.mark.parametrize("chosen", [[-1.0, 0.0], [np.inf, 0.0], [0.5, np.inf], [0.5], ["a", "b"]])
def test_weights_that_are_none(tmp_path: Path, chosen: list[object]) -> None:
    path = tmp_path / "lm.npz"
    save_ngrams(counted(), path)
    with np.load(path) as archive:
        content = {**archive, "chosen": np.array(chosen)}
    np.savez(path, **content)
    with pytest.raises(LanguageModelError, match="damaged language model"):
        load_ngrams(path)


def test_each_damaged_byte_is_one_line_or_without_effect(tmp_path: Path) -> None:
    path = tmp_path / "lm.npz"
    save_ngrams(counted(), path)
    content, said = path.read_bytes(), []
    for i in range(0, len(content), 7):
        path.write_bytes(content[:i] + bytes([content[i] ^ 0xFF]) + content[i + 1 :])
        try:
            LanguageModel(load_ngrams(path), CHARSET).score_texts([[0, 1], [2]])
        except LanguageModelError as error:
            said.append(str(error))
    assert len(said) > 20
    assert all(line.startswith(str(path)) and "\n" not in line for line in said)


@pytest.mark.parametrize("n_bytes", [0, 1, 100, 500])
def test_a_file_cut_off(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "lm.npz"
    save_ngrams(counted(), path)
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(LanguageModelError, match="not a language model, or damaged"):
        load_ngrams(path)


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelError, match="no such language model"):
        load_ngrams(tmp_path / "none.npz")
    path = tmp_path / "lm.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(LanguageModelError, match="not a language model"):
        load_ngrams(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(LanguageModelError, match="not a language model"):
        load_ngrams(path)
    with path.open("wb") as file:
        np.save(file, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(LanguageModelError, match="not a language model"):
        load_ngrams(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("ids", 99), ("backoff", 5000), ("children", 5000), ("counts", 0), ("offsets", -1)],
)
def test_numbers_that_point_nowhere(tmp_path: Path, name: str, value: int) -> None:
    path = tmp_path / "lm.npz"
    save_ngrams(counted(), path)
    with np.load(path) as archive:
        content = dict(archive)
    content[name][3] = value
    np.savez(path, **content)
    with pytest.raises(LanguageModelError, match="damaged language model"):
        load_ngrams(path)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_looking_up_single_symbols_finds_what_rows_say(
    order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As is done for large charsets; here also for a symbol that was never counted."""
    charset = Charset("abc d")
    model = LanguageModel(counted(order), charset)
    states = np.arange(len(counted(order).backoff))[:, None]
    ids = np.arange(len(charset) + 1)
    scores, following = model.scores(states, ids), model.follow(states, ids)
    monkeypatch.setattr(language_model, "MAX_ROW_SYMBOLS", 0)
    assert not np.may_share_memory(model.scores(states, ids), scores)
    np.testing.assert_allclose(model.scores(states, ids), scores, rtol=1e-6)
    np.testing.assert_array_equal(model.follow(states, ids), following)
    texts = [charset.encode(text) for text in ("abc abc", "", "ddd", "ab ab")]
    looked_up = model.score_texts(texts)
    monkeypatch.undo()
    assert looked_up == pytest.approx(model.score_texts(texts))


def test_a_large_charset_needs_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    charset = Charset([chr(0x4E00 + i) for i in range(3000)])
    texts = [chr(0x4E00 + i) + chr(0x4E00 + i // 2) for i in range(3000)]
    model = LanguageModel(count_ngrams(texts, charset, 3)[0], charset)
    monkeypatch.setattr(model, "make_rows", None)
    likely, unlikely = model.score_texts([[8, 4], [8, 5]])
    assert likely > unlikely
