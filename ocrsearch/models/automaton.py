"""Automata that score a text symbol by symbol, and how a beam search adds them up.

A language model and a lexicon are both such automata: a state says all that matters of the
symbols so far, as one integer, so that a beam search needs no strings and looks up thousands of
hypotheses at once. The rows of scores are made when a state is first met, and kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CACHE_BYTES = 256_000_000
"""Rows are made anew when those kept take more."""


class Automaton(ABC):
    """Scores each next symbol in a state, and says which state follows.

    Attributes:
        n_symbols: the symbols have ids from 0; the end of the text has the id behind them.
        start: the state before the first symbol.
    """

    def __init__(self, n_symbols: int, n_states: int, start: int) -> None:
        self.n_symbols, self.start = n_symbols, start
        self._slots = np.full(n_states, -1, np.int64)
        self._scores = np.zeros((0, n_symbols + 1), np.float32)
        self._following = np.zeros((0, n_symbols + 1), np.int32)
        self._n_rows = 0

    @abstractmethod
    def _make_rows(self, states: Ints) -> tuple[np.ndarray, np.ndarray]:
        """Return scores and following states, (n, n_symbols + 1) each, for (n,) states."""

    def rows(self, states: Ints) -> np.ndarray:
        """Return the scores of all symbols and the end: (..., V + 1) float32, each at most 0."""
        slots = self._find(states)
        return np.asarray(self._scores[slots])

    def scores(self, states: Ints, ids: Ints) -> np.ndarray:
        """Return the scores of given symbols; states and ids broadcast against each other."""
        slots = self._find(states)
        return np.asarray(self._scores[slots, ids])

    def follow(self, states: Ints, ids: Ints) -> Ints:
        """Return the states behind given symbols; states and ids broadcast."""
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

    def _inner_rows(self, states: Ints) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of states that ``_make_rows`` needs for those of others."""
        missing = np.unique(states[self._slots[states] < 0])
        if len(missing):
            self._add(missing)
        slots = self._slots[states]
        return self._scores[slots], self._following[slots]

    def _add(self, states: Ints) -> None:
        scores, following = self._make_rows(states)  # may add others first, some of these too
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
            texts: symbol ids.
        """
        length = max(map(len, texts), default=0)
        ids = np.full((len(texts), length + 1), -1, np.int64)
        for row, text in zip(ids, texts, strict=True):
            row[: len(text) + 1] = [*text, self.n_symbols]
        totals = np.zeros(len(texts))
        states = np.full(len(texts), self.start, np.int64)
        for column in ids.T:
            goes_on = column >= 0
            found = self.scores(states, np.maximum(column, 0))
            totals += np.where(goes_on, found, 0.0)
            states = np.where(goes_on, self.follow(states, np.maximum(column, 0)), states)
        return totals


States = list[Ints]
"""The states of some hypotheses in each automaton, all of one shape."""


class Fusion:
    """What is added to a recogniser's log probabilities: weighted scores, and a bonus.

    Adding a language model's weighted log probabilities is called shallow fusion (Gulcehre et
    al., 2015, arXiv:1503.03535); the bonus for each symbol is that of Hannun et al., 2014
    (arXiv:1408.2873): it makes up for what a language model takes from long texts.
    """

    def __init__(
        self, weighted: Sequence[tuple[Automaton, float]] = (), length_bonus: float = 0.0
    ) -> None:
        """Combine automata.

        Args:
            weighted: automata of the recogniser's symbols, each with its weight, 0 or more.
            length_bonus: for each symbol, in nats.
        """
        self._weighted = list(weighted)
        self.length_bonus = length_bonus

    def score(self, text: Sequence[int]) -> float:
        """Return what a whole text and its end add."""
        scores = (weight * automaton.score_texts([text])[0] for automaton, weight in self._weighted)
        return float(sum(scores)) + self.length_bonus * len(text)

    def start(self, shape: tuple[int, ...]) -> States:
        """Return the states of so many empty texts."""
        return [np.full(shape, automaton.start, np.int64) for automaton, _ in self._weighted]

    def gains(self, states: States, ids: Ints) -> np.ndarray:
        """Return what symbols add.

        Args:
            states: (B, K) each.
            ids: (B, N) symbols to try behind each text of a line.

        Returns:
            (B, K, N), or (1, 1, 1) where all symbols add the same.
        """
        total: np.ndarray = np.full((1, 1, 1), self.length_bonus)
        for (automaton, weight), own in zip(self._weighted, states, strict=True):
            total = total + weight * automaton.scores(own[:, :, None], ids[:, None])
        return total

    def all_gains(self, states: States, n_symbols: int) -> Floats:
        """Return what each symbol and the end add: (B, K, V + 1), or (1, 1, V + 1)."""
        total = np.full((1, 1, n_symbols + 1), self.length_bonus)
        total[..., n_symbols] = 0.0
        for (automaton, weight), own in zip(self._weighted, states, strict=True):
            total = total + weight * automaton.rows(own)
        return total

    def end_gains(self, states: States) -> np.ndarray:
        """Return what the end adds: the shape of the states, or ()."""
        total = np.zeros(())
        for (automaton, weight), own in zip(self._weighted, states, strict=True):
            total = total + weight * automaton.scores(own, np.array(automaton.n_symbols))
        return total

    def follow(self, states: States, parents: Ints, ids: Ints) -> States:
        """Return the states of the texts that are kept.

        Args:
            states: (B, K) each.
            parents: (B, K) indices into the texts of the same line.
            ids: (B, K) the symbol that each adds; none where negative.
        """
        kept: States = []
        for (automaton, _), own in zip(self._weighted, states, strict=True):
            before = np.take_along_axis(own, parents, 1)
            after = automaton.follow(before, np.maximum(ids, 0))
            kept.append(np.where(ids < 0, before, after))
        return kept
