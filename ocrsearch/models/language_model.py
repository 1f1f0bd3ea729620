"""A language model of symbols: how probable each symbol is behind those before it.

Interpolated n-grams after Witten and Bell, 1991 (IEEE Trans. Information Theory 37(4)), in the
form of Chen and Goodman, 1998 (TR-10-98, section 2.5): of a context h, its number of occurrences
N, of different symbols behind it T, and the context h' without its first symbol,

    p(c | h) = (count(h, c) + T * p(c | h')) / (N + T)

and behind the empty context stands the uniform distribution of all symbols and the end. Unlike
Kneser-Ney it needs no counts of counts, which few symbols and few texts give badly.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ocrsearch.data.charset import Charset
from ocrsearch.models.automaton import Automaton, Ints
from ocrsearch.models.ngrams import NgramCounts, encode_known


class LanguageModel(Automaton):
    """N-gram counts as an automaton of a recogniser's symbols; a score is a log probability.

    A state is the longest context that was counted. Symbols that only the counts know are left
    out of them, and those that only the recogniser knows were never counted: the probabilities of
    the recogniser's symbols and the end sum to 1 in each state.
    """

    def __init__(self, ngrams: NgramCounts, charset: Charset) -> None:
        """Make a language model of counts.

        Args:
            ngrams: of any charset.
            charset: the recogniser's.
        """
        n_symbols, n_states = len(charset), len(ngrams.backoff)
        super().__init__(n_symbols, n_states, ngrams.start)
        numbers = {symbol: i for i, symbol in enumerate(charset.symbols)}
        own = [numbers.get(symbol, -1) for symbol in ngrams.charset.symbols]
        ids = np.array([*own, n_symbols])[ngrams.ids]
        states = np.repeat(np.arange(n_states), np.diff(ngrams.offsets))
        known = ids >= 0
        self._ids, self._counts = ids[known], ngrams.counts[known]
        self._children = ngrams.children[known]
        self._n_kinds = np.bincount(states[known], minlength=n_states)
        self._n_all = self._n_kinds + np.bincount(states[known], self._counts, n_states)
        self._offsets = np.concatenate([[0], np.cumsum(self._n_kinds)])
        self._backoff = ngrams.backoff

    def _make_rows(self, states: Ints) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(states), self.n_symbols + 1)
        lower, following = np.full(shape, 1.0 / shape[1]), np.zeros(shape, np.int64)
        inner = states > 0
        if inner.any():
            log_probs, following[inner] = self._inner_rows(self._backoff[states[inner]])
            lower[inner] = np.exp(log_probs, dtype=np.float64)
        rows, entries = self._entries(states)
        n_kinds, n_all = self._n_kinds[states], np.maximum(1, self._n_all[states])
        probs = np.where(n_kinds > 0, n_kinds / n_all, 1.0)[:, None] * lower
        probs[rows, self._ids[entries]] += self._counts[entries] / n_all[rows]
        longer = self._children[entries] >= 0
        rows, entries = rows[longer], entries[longer]
        following[rows, self._ids[entries]] = self._children[entries]
        return np.log(probs), following

    def _entries(self, states: Ints) -> tuple[Ints, Ints]:
        """Return the entries of (n,) states, and of each entry the index of its state in them."""
        n = self._n_kinds[states]
        rows = np.repeat(np.arange(len(states)), n)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(n) - n, n)
        return rows, self._offsets[states][rows] + within


def perplexity(model: LanguageModel, texts: Iterable[str], charset: Charset) -> tuple[float, int]:
    """Return how many symbols, or the end, are equally likely at each place, on average.

    ``exp(-sum log p / n)`` over all symbols and ends of all texts.

    Args:
        model: of the charset's symbols.
        texts: those with a symbol that is not in the charset are left out.
        charset: the model's.

    Returns:
        The perplexity, NaN where no text is left, and the number of texts left out.
    """
    known, n_left_out = encode_known(texts, charset)
    if not known:
        return float("nan"), n_left_out
    n = sum(len(text) + 1 for text in known)
    return float(np.exp(-model.score_texts(known).sum() / n)), n_left_out
