"""A lexicon: words that a text should be made of, as an automaton that counts all others.

A word is a run of letters with what combines with them; upper and lower case are not told apart.
Everything else stands between words and is free: white space, digits, punctuation, and letters
right behind a digit, as in 12A. The words of an entry are taken one by one, so a text may join
them as it likes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache

import numpy as np

from ocrsearch.data.charset import Charset
from ocrsearch.errors import DataError
from ocrsearch.models.automaton import Automaton, Ints

BETWEEN, NUMBER, UNKNOWN, FIRST_WORD = range(4)
"""States: between words, behind a digit, in a word that is not known; then beginnings of words."""

MAX_LETTERS = 10_000_000
"""Most letters of all words together: each may be a state of the automaton."""


class Lexicon(Automaton):
    """A trie of words. Each word of a text that is not in it scores -1, everything else 0.

    A word is counted as soon as no known word begins like it, or where it ends too early; so a
    beam search soon drops what leads to no word.

    Attributes:
        n_words: how many the recogniser can write.
        n_left_out: how many have a symbol that it lacks, in either case.
    """

    def __init__(self, entries: Iterable[str], charset: Charset) -> None:
        """Make the trie.

        Args:
            entries: texts, NFC.
            charset: the recogniser's.
        """
        folded = [_fold(symbol) for symbol in charset.symbols]
        found = {word for entry in entries for word in split_words(_fold(entry))}
        words = sorted(map(charset.visual, found))
        known = [word for word in words if set(word) <= set(folded)]
        self.n_words, self.n_left_out = len(known), len(words) - len(known)
        kinds = [_kind(symbol) for symbol in charset.symbols]
        self._is_letter = np.array([*(kind == "letter" for kind in kinds), False])
        self._is_digit = np.array([*(kind == "digit" for kind in kinds), False])
        children, ends = _build_trie(known)
        super().__init__(len(charset), FIRST_WORD + len(ends), BETWEEN)
        self._ends_word = np.array([True, True, True, *ends])
        self._index(children, folded)

    def _index(self, children: list[tuple[int, str, int]], folded: list[str]) -> None:
        """Keep the trie's branches by state, one for each symbol that means the letter."""
        ids: dict[str, list[int]] = {}
        for i, letter in enumerate(folded):
            ids.setdefault(letter, []).append(i)
        branches = [(state, i, child) for state, c, child in children for i in ids[c]]
        table = np.array(sorted(branches), np.int64).reshape(-1, 3)
        self._branch_ids, self._branch_children = table[:, 1], table[:, 2]
        n = np.bincount(table[:, 0], minlength=len(self._slots))
        self._offsets = np.concatenate([[0], np.cumsum(n)])

    def _make_rows(self, states: Ints) -> tuple[np.ndarray, np.ndarray]:
        is_open = ~self._ends_word[states][:, None]  # a word that would end too early
        goes_on = (states == UNKNOWN) | (states == NUMBER)
        off = np.where(goes_on, states, UNKNOWN)[:, None]
        following = np.where(self._is_digit, NUMBER, np.where(self._is_letter, off, BETWEEN))
        new_unknown = ~goes_on[:, None] & self._is_letter
        scores = -np.where(self._is_letter, new_unknown, is_open).astype(np.float32)
        for row, state in enumerate(states):
            here = slice(self._offsets[state], self._offsets[state + 1])
            following[row, self._branch_ids[here]] = self._branch_children[here]
            scores[row, self._branch_ids[here]] = 0.0
        return scores, following


def split_words(text: str) -> list[str]:
    """Return the words of a text, without what stands between them and behind digits."""
    words: list[list[str]] = []
    before = ""
    for symbol in text:
        kind = _kind(symbol)
        if kind == "letter" and before == "digit":
            continue  # still belongs to the number
        if kind == "letter" and before != "letter":
            words.append([])
        if kind == "letter":
            words[-1].append(symbol)
        before = kind
    return ["".join(word) for word in words]


def _fold(text: str) -> str:
    """Return a text in lower case, symbol by symbol, so that its place in a word does not count."""
    return "".join(map(_lower, text))


@cache
def _lower(symbol: str) -> str:
    lower = symbol.lower().replace("ς", "σ")
    return lower if len(lower) == 1 else symbol


@cache
def _kind(symbol: str) -> str:
    category = unicodedata.category(symbol)
    return {"L": "letter", "M": "letter", "N": "digit"}.get(category[0], "other")


def _build_trie(words: list[str]) -> tuple[list[tuple[int, str, int]], list[bool]]:
    """Return state, letter and child of each branch, and of each beginning if it is a word."""
    if sum(map(len, words)) > MAX_LETTERS:
        raise DataError(f"lexicon: more than {MAX_LETTERS:,} letters in its words; use fewer words")
    found: dict[tuple[int, str], int] = {}
    ends: list[bool] = []
    for word in words:
        state = BETWEEN
        for letter in word:
            child = found.setdefault((state, letter), FIRST_WORD + len(ends))
            if child == FIRST_WORD + len(ends):
                ends.append(False)
            state = child
        ends[state - FIRST_WORD] = True
    return [(state, letter, child) for (state, letter), child in found.items()], ends
