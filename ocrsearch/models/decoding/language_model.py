"""An n-gram language model of symbols: the probability of each symbol after the symbols before it.

Interpolated n-grams with modified Kneser-Ney smoothing (Chen and Goodman, 1998, TR-10-98, section
3). For a context h, counts a(h, c) of the symbols c after it, their sum N(h), the context h'
without the first symbol, and discounts D for counts of 1, 2, and more,

    p(c | h) = (a(h, c) - D(a(h, c)) + sum of all D(a(h, .)) * p(c | h')) / N(h)

and the empty context backs off to the uniform distribution of all symbols and the end. The count
of the longest contexts, and of contexts that begin a text, is the number of occurrences. In
shorter contexts it is the number of different symbols (or the begin) before the context: a symbol
that follows in one place only, however often, is unlikely elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from typing_extensions import override

from ocrsearch.data import Charset
from ocrsearch.models.decoding.automata import Automaton, Floats, Ints
from ocrsearch.models.decoding.ngrams import NgramCounts, context_lengths, encode_known

MAX_ROW_SYMBOLS = 512
"""Largest charset with a row of scores for each state; symbols of a larger one are looked up."""


class LanguageModel(Automaton):
    """N-gram counts as an automaton of a recogniser's symbols; a score is a log probability.

    A state is the longest counted context. Counts of symbols that the recogniser lacks are
    ignored, and symbols that the counts lack have the count 0: the probabilities of the
    recogniser's symbols and the end sum to 1 in each state.
    """

    def __init__(self, ngrams: NgramCounts, charset: Charset) -> None:
        """Estimate the probabilities.

        Args:
            ngrams: counts for any charset.
            charset: charset of the recogniser.
        """
        n_symbols, n_states = len(charset), len(ngrams.backoff)
        super().__init__(n_symbols, n_states, ngrams.start)
        numbers = {symbol: i for i, symbol in enumerate(charset.symbols)}
        own = [numbers.get(symbol, -1) for symbol in ngrams.charset.symbols]
        ids = np.array([*own, n_symbols])[ngrams.ids]
        states = np.repeat(np.arange(n_states), np.diff(ngrams.offsets))
        keys = np.where(ids >= 0, states * (n_symbols + 1) + ids, -1)
        order = np.argsort(keys, kind="stable")[np.count_nonzero(ids < 0) :]
        states, self._ids, keys = states[order], ids[order], keys[order]
        self._keys = keys
        self._children, self._backoff = ngrams.children[order], ngrams.backoff
        inner = states > 0
        shorter = self._backoff[states[inner]] * (n_symbols + 1) + self._ids[inner]
        counts = _kneser_ney_counts(ngrams.counts[order], keys, shorter)
        discounts = _discount(counts, context_lengths(ngrams)[states])
        totals = np.bincount(states, counts, n_states)
        self._own = (counts - discounts) / totals[states]
        self._passed_on = np.divide(
            np.bincount(states, discounts, n_states),
            totals,
            out=np.ones(n_states),
            where=totals > 0,
        )
        self._n_kinds = np.bincount(states, minlength=n_states)
        self._offsets = np.concatenate([[0], np.cumsum(self._n_kinds)])

    def scores(self, states: Ints, ids: Ints) -> np.ndarray:
        """Return the log probabilities of given symbols."""
        if self.n_symbols <= MAX_ROW_SYMBOLS:
            return super().scores(states, ids)
        return self._look_up(states, ids)[0]

    def follow(self, states: Ints, ids: Ints) -> Ints:
        """Return the states after given symbols."""
        if self.n_symbols <= MAX_ROW_SYMBOLS:
            return super().follow(states, ids)
        return self._look_up(states, ids)[1]

    def _look_up(self, states: Ints, ids: Ints) -> tuple[Floats, Ints]:
        """Return log probabilities and next states, backing off from longer to shorter contexts."""
        states, ids = np.broadcast_arrays(states, ids)
        shape, ids, contexts = ids.shape, ids.ravel(), states.flatten()
        probs, passed_on = np.zeros(len(ids)), np.ones(len(ids))
        following = np.full(len(ids), -1, np.int64)
        here = np.arange(len(ids))
        while len(here):
            keys = contexts[here] * (self.n_symbols + 1) + ids[here]
            entries = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
            found = self._keys[entries] == keys
            probs[here[found]] += passed_on[here[found]] * self._own[entries[found]]
            longest = found & (following[here] < 0)
            following[here[longest]] = self._children[entries[longest]]
            passed_on[here] *= self._passed_on[contexts[here]]
            here = here[contexts[here] > 0]
            contexts[here] = self._backoff[contexts[here]]
        probs += passed_on / (self.n_symbols + 1)
        return np.log(probs).reshape(shape), np.maximum(following, 0).reshape(shape)

    @override
    def make_rows(self, states: Ints) -> tuple[np.ndarray, np.ndarray]:
        shape = (len(states), self.n_symbols + 1)
        lower, following = np.full(shape, 1.0 / shape[1]), np.zeros(shape, np.int64)
        inner = states > 0
        if inner.any():
            log_probs, following[inner] = self.inner_rows(self._backoff[states[inner]])
            lower[inner] = np.exp(log_probs, dtype=np.float64)
        n = self._n_kinds[states]
        rows = np.repeat(np.arange(len(states)), n)  # each entry's state, as a row of the result
        entries = np.arange(len(rows)) + np.repeat(self._offsets[states] - (np.cumsum(n) - n), n)
        probs = self._passed_on[states][:, None] * lower
        probs[rows, self._ids[entries]] += self._own[entries]
        longer = self._children[entries] >= 0
        rows, entries = rows[longer], entries[longer]
        following[rows, self._ids[entries]] = self._children[entries]
        return np.log(probs), following


def _kneser_ney_counts(counts: Ints, keys: Ints, shorter: Ints) -> Ints:
    """Return the number of entries of longer contexts with the same symbol.

    Args:
        counts: (n,) number of occurrences, returned for entries without a longer context.
        keys: (n,) context and symbol of each entry as one number, ascending.
        shorter: (m,) keys of the entries without their first symbol, if they have one.
    """
    place = np.minimum(np.searchsorted(keys, shorter), len(keys) - 1)
    n_longer = np.bincount(place[keys[place] == shorter], minlength=len(keys))
    return np.where(n_longer > 0, n_longer, counts)


def _discount(counts: Ints, lengths: Ints) -> np.ndarray:
    """Return the discount of each count, for the symbols that were not seen in its context.

    Args:
        counts: (n,) counts, at least 1.
        lengths: (n,) lengths of the contexts; each length has discounts of its own.
    """
    discounts = np.zeros(len(counts))
    for length in np.unique(lengths):
        here = lengths == length
        taken = _estimate_discounts(np.bincount(np.minimum(counts[here], 5), minlength=6))
        discounts[here] = np.array(taken)[np.minimum(counts[here], 3) - 1]
    return discounts


def _estimate_discounts(n: Ints) -> tuple[float, float, float]:
    """Return the discounts for counts of 1, 2, and more.

    Args:
        n: (6,) number of counts that are 0, 1, 2, 3, 4, and more.
    """
    if n[1:4].min() > 0:
        share = n[1] / (n[1] + 2 * n[2])
        found = (share, 2 - 3 * share * n[3] / n[2], 3 - 4 * share * n[4] / n[3])
        if min(found) > 0:
            return found
    return 0.5, 1.0, 1.5  # too few counts to estimate from


def perplexity(model: LanguageModel, texts: Iterable[str], charset: Charset) -> tuple[float, int]:
    """Return the perplexity of texts: ``exp(-sum log p / n)`` over all symbols and ends.

    Args:
        model: language model.
        texts: texts; a text with a symbol that is not in the charset is ignored.
        charset: charset of the model.

    Returns:
        The perplexity, NaN if no text is left, and the number of ignored texts.
    """
    known, n_left_out = encode_known(texts, charset)
    if not known:
        return float("nan"), n_left_out
    n = sum(len(text) + 1 for text in known)
    return float(np.exp(-model.score_texts(known).sum() / n)), n_left_out
