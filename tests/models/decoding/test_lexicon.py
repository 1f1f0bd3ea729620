"""The lexicon: each word that is not known counts once, and nothing else does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrsearch.data.charset import Charset
from ocrsearch.models.decoding.automata import Lexicon, split_words

CHARSET = Charset(" ,-/0123ABHNXabghnoxãà")
ENTRIES = ("Hà Nội", "Xã An-Hoà", "hang")


def score(lexicon: Lexicon, text: str) -> float:
    return float(lexicon.score_texts([CHARSET.encode(text)])[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("12/3", []),
        ("Xã X, Huyện Y", ["Xã", "X", "Huyện", "Y"]),
        ("12A Bà", ["Bà"]),
        ("12Abc1d e", ["e"]),
        ("A12", ["A"]),
        ("an-giang", ["an", "giang"]),
    ],
)
def test_words_of_a_text(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@pytest.mark.parametrize(
    ("text", "n_unknown"),
    [
        ("", 0),
        ("Hà", 0),
        ("hà xã", 0),
        ("HA", 1),
        ("hang", 0),
        ("han", 1),
        ("hangg", 1),
        ("xxxxx", 1),
        ("x x", 2),
        ("12A, Hà", 0),
        ("12A A", 1),
        ("an1", 0),
        ("ha1", 1),
        ("ha-ha,", 2),
        ("an-hang/xã 3", 0),
    ],
)
def test_unknown_words_are_counted_once(text: str, n_unknown: int) -> None:
    lexicon = Lexicon(ENTRIES, CHARSET)
    assert score(lexicon, text) == -n_unknown


def test_words_that_cannot_be_written_are_counted() -> None:
    lexicon = Lexicon(ENTRIES, CHARSET)
    assert (lexicon.n_words, lexicon.n_left_out) == (5, 1)  # without Nội


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("abh 1,", max_size=4), max_size=5),
    st.text("aAbBhH 13,", max_size=14),
)
def test_the_score_is_minus_the_number_of_unknown_words(entries: list[str], text: str) -> None:
    known = {word for entry in entries for word in split_words(entry)}
    n_unknown = sum(word not in known for word in split_words(text.lower()))
    assert score(Lexicon(entries, CHARSET), text) == -n_unknown


@pytest.mark.parametrize("word", ["ΟΔΟΣ", "İZMİR", "οδος"])
def test_lower_case_goes_symbol_by_symbol(word: str) -> None:
    charset = Charset.from_texts([word])
    lexicon = Lexicon([word], charset)
    assert (lexicon.n_words, lexicon.n_left_out) == (1, 0)
    assert lexicon.score_texts([charset.encode(word)])[0] == 0.0


def test_no_score_is_above_zero_and_states_are_there() -> None:
    lexicon = Lexicon(ENTRIES, CHARSET)
    states = np.arange(12)
    assert (lexicon.rows(states) <= 0).all()
    assert lexicon.rows(states).shape == (12, len(CHARSET) + 1)
