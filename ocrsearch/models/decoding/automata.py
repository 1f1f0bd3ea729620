"""Automata that score a text symbol by symbol, for beam search: their weighted sum, and a lexicon.

A state summarises the symbols before it as one integer. So a beam search needs no strings and
looks up thousands of hypotheses at once. The scores of a state are computed when the state is
first reached, and cached.
"""

from __future__ import annotations

import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from ocrsearch.core import DataError
from ocrsearch.data import Charset

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CACHE_BYTES = 256_000_000
"""Size at which the cache of scores is emptied."""


class Automaton(ABC):
    """Scores the next symbol in a state, and returns the state that follows.

    Attributes:
        n_symbols: number of symbols; the end of a text has this id.
        start: state before the first symbol.
    """

    def __init__(self, n_symbols: int, n_states: int, start: int) -> None:
        self.n_symbols, self.start = n_symbols, start
        self._slots = np.full(n_states, -1, np.int64)
        self._scores = np.zeros((0, n_symbols + 1), np.float32)
        self._following = np.zeros((0, n_symbols + 1), np.int32)
        self._n_rows = 0

    @abstractmethod
    def make_rows(self, states: Ints) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and next states, (n, n_symbols + 1) each, for (n,) states."""

    def rows(self, states: Ints) -> np.ndarray:
        """Return the scores of all symbols and the end: (..., V + 1) float32, each at most 0."""
        slots = self._find(states)
        return np.asarray(self._scores[slots])

    def scores(self, states: Ints, ids: Ints) -> np.ndarray:
        """Return the scores of given symbols; states and ids broadcast against each other."""
        slots = self._find(states)
        return np.asarray(self._scores[slots, ids])

    def follow(self, states: Ints, ids: Ints) -> Ints:
        """Return the states after given symbols; states and ids broadcast."""
        slots = self._find(states)
        return self._following[slots, ids].astype(np.int64)

    def _find(self, states: Ints) -> Ints:
        slots = self._slots[states]
        if (slots < 0).any():
            if self._n_rows * (self.n_symbols + 1) * 8 > CACHE_BYTES:
                self._slots[:] = -1
                self._n_rows = 0
                slots = self._slots[states]
            self._add(np.unique(states[slots < 0]))
            slots = self._slots[states]
        return slots

    def inner_rows(self, states: Ints) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and next states, as ``make_rows`` needs them of shorter contexts."""
        missing = np.unique(states[self._slots[states] < 0])
        if len(missing):
            self._add(missing)
        slots = self._slots[states]
        return self._scores[slots], self._following[slots]

    def _add(self, states: Ints) -> None:
        scores, following = self.make_rows(states)  # may add other states first
        new = self._slots[states] < 0
        states = states[new]
        first, end = self._n_rows, self._n_rows + len(states)
        if end > len(self._scores):
            n_more = max(end, 2 * len(self._scores)) - len(self._scores)
            self._scores = np.pad(self._scores, ((0, n_more), (0, 0)))
            self._following = np.pad(self._following, ((0, n_more), (0, 0)))
        self._scores[first:end], self._following[first:end] = scores[new], following[new]
        self._slots[states] = np.arange(first, end)
        self._n_rows = end

    def score_texts(self, texts: Sequence[Sequence[int]]) -> Floats:
        """Return the score of each text with its end.

        Args:
            texts: N texts as symbol ids.

        Returns:
            (N,) float64.
        """
        length = max(map(len, texts), default=0)
        ids = np.full((len(texts), length + 1), -1, np.int64)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text) + 1] = [*text, self.n_symbols]
        totals = np.zeros(len(texts))
        states = np.full(len(texts), self.start, np.int64)
        for column in ids.T:
            inside = column >= 0
            found = self.scores(states, np.maximum(column, 0))
            totals += np.where(inside, found, 0.0)
            states = np.where(inside, self.follow(states, np.maximum(column, 0)), states)
        return totals


States = list[Ints]
"""The states of hypotheses, one array of the same shape for each automaton."""


class Fusion:
    """Weighted scores of automata and a length bonus, added to log probabilities in a beam search.

    Adding a language model's weighted log probabilities is called shallow fusion (Gulcehre et
    al., 2015, arXiv:1503.03535). The bonus for each symbol (Hannun et al., 2014, arXiv:1408.2873)
    compensates for the lower language model score of long texts.
    """

    def __init__(
        self, weighted: Sequence[tuple[Automaton, float]] = (), length_bonus: float = 0.0
    ) -> None:
        """Combine automata.

        Args:
            weighted: automata of the recogniser's symbols with their weights, at least 0.
            length_bonus: bonus for each symbol, in nats.
        """
        self._weighted = list(weighted)
        self.length_bonus = length_bonus

    def score(self, text: Sequence[int]) -> float:
        """Return the score of a whole text and its end."""
        scores = (weight * automaton.score_texts([text])[0] for automaton, weight in self._weighted)
        return float(sum(scores)) + self.length_bonus * len(text)

    def start(self, shape: tuple[int, ...]) -> States:
        """Return the states of empty texts in an array of a given shape."""
        return [np.full(shape, automaton.start, np.int64) for automaton, _ in self._weighted]

    def gains(self, states: States, ids: Ints) -> np.ndarray:
        """Return the scores of symbols after texts.

        Args:
            states: states of the texts, (B, K) each.
            ids: (B, N) symbols to try after each text of a line.

        Returns:
            (B, K, N) scores, or (1, 1, 1) without automata.
        """
        total: np.ndarray = np.full((1, 1, 1), self.length_bonus)
        for (automaton, weight), own in zip(self._weighted, states, strict=True):
            total = total + weight * automaton.scores(own[:, :, None], ids[:, None])
        return total

    def all_gains(self, states: States, n_symbols: int) -> Floats:
        """Return the scores of all symbols and the end: (B, K, V + 1), or (1, 1, V + 1)."""
        total = np.full((1, 1, n_symbols + 1), self.length_bonus)
        total[..., n_symbols] = 0.0
        for (automaton, weight), own in zip(self._weighted, states, strict=True):
            total = total + weight * automaton.rows(own)
        return total

    def end_gains(self, states: States) -> np.ndarray:
        """Return the scores of the end: the shape of the states, or () without automata."""
        total = np.zeros(())
        for (automaton, weight), own in zip(self._weighted, states, strict=True):
            total = total + weight * automaton.scores(own, np.array(automaton.n_symbols))
        return total

    def follow(self, states: States, parents: Ints, ids: Ints) -> States:
        """Return the states of the texts in the next beam.

        Args:
            states: states of the texts, (B, K) each.
            parents: (B, K) positions of the parents among the texts of the same line.
            ids: (B, K) symbols added to the parents; negative for none.
        """
        following: States = []
        for (automaton, _), own in zip(self._weighted, states, strict=True):
            before = np.take_along_axis(own, parents, 1)
            after = automaton.follow(before, np.maximum(ids, 0))
            following.append(np.where(ids < 0, before, after))
        return following


BETWEEN, NUMBER, UNKNOWN, FIRST_WORD = range(4)
"""States: between words, after a digit, in an unknown word; then beginnings of words."""

MAX_LETTERS = 10_000_000
"""Largest number of letters of all words: each may be a state of the automaton."""


class Lexicon(Automaton):
    """A trie of words: each unknown word of a text scores -1, everything else 0.

    A word is a run of letters with their combining marks; upper and lower case are equal.
    Everything else is free: white space, digits, punctuation, and letters directly after a digit,
    as in 12A. Entries are split into words, which a text can combine in any order.

    The score is given as soon as no known word begins like the text, or if a word ends too early.
    So a beam search drops unknown words early.

    Attributes:
        n_words: number of words that the recogniser can write.
        n_left_out: number of ignored words, with a letter that it lacks in either case.
    """

    def __init__(self, entries: Iterable[str], charset: Charset) -> None:
        """Build the trie.

        Args:
            entries: texts, NFC.
            charset: charset of the recogniser.
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
        # the trie's branches by state, one for each symbol that stands for the letter
        ids: dict[str, list[int]] = {}
        for i, letter in enumerate(folded):
            ids.setdefault(letter, []).append(i)
        branches = [(state, i, child) for state, c, child in children for i in ids[c]]
        table = np.array(sorted(branches), np.int64).reshape(-1, 3)
        self._branch_ids, self._branch_children = table[:, 1], table[:, 2]
        n = np.bincount(table[:, 0], minlength=len(self._slots))
        self._offsets = np.concatenate([[0], np.cumsum(n)])

    @override
    def make_rows(self, states: Ints) -> tuple[np.ndarray, np.ndarray]:
        is_open = ~self._ends_word[states][:, None]  # a word that ends too early
        stays = (states == UNKNOWN) | (states == NUMBER)
        off = np.where(stays, states, UNKNOWN)[:, None]
        following = np.where(self._is_digit, NUMBER, np.where(self._is_letter, off, BETWEEN))
        new_unknown = ~stays[:, None] & self._is_letter
        scores = -np.where(self._is_letter, new_unknown, is_open).astype(np.float32)
        for row, state in enumerate(states):
            here = slice(self._offsets[state], self._offsets[state + 1])
            following[row, self._branch_ids[here]] = self._branch_children[here]
            scores[row, self._branch_ids[here]] = 0.0
        return scores, following


def split_words(text: str) -> list[str]:
    """Return the words of a text, without letters directly after a digit."""
    words: list[list[str]] = []
    before = ""
    for symbol in text:
        kind = _kind(symbol)
        if kind == "letter" and before == "digit":
            continue  # belongs to the number
        if kind == "letter" and before != "letter":
            words.append([])
        if kind == "letter":
            words[-1].append(symbol)
        before = kind
    return ["".join(word) for word in words]


def _fold(text: str) -> str:
    """Return a text in lower case, symbol by symbol, whatever the place of a symbol in its word."""
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
    """Return state, letter and child of each branch, and whether each beginning is a word."""
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
