"""Beam search for an encoder-decoder, alone or together with its CTC head.

The score of a text is ``log P_attention(text) + ctc_weight * log P_ctc(text) + fusion`` (Watanabe
et al., 2017, Hybrid CTC/attention architecture, IEEE JSTSP 11(8), algorithm 2); before the end of
a text, the CTC part is the probability that the line begins with it. Attention alone may repeat or
skip parts of a line; CTC excludes texts that do not fit the time steps. A step of the decoder is
the expensive part, so only texts that can still win take it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ocrsearch.models.decoding.automata import Ints
from ocrsearch.models.decoding.ctc import LOG_ZERO, CtcOutput, Hypothesis
from ocrsearch.models.decoding.ctc_beam import BeamSearch
from ocrsearch.models.decoding.decoder import Decoder, begin_ids, select
from ocrsearch.models.decoding.rows import Rows

LEAST_LOG_PROB = -1e3
"""Lower limit of log probabilities at a time step; sums over time steps stay exact."""


class CtcPrefixes:
    """The probabilities that lines begin with N texts.

    All arrays are float64. ``symbol`` and ``blank`` are (N, T + 1): the log probability that
    the first t time steps contain the text and end in its last symbol, or in a blank. The
    recursions over time steps are linear, so cumulative sums replace Python loops.
    """

    def __init__(self, output: CtcOutput) -> None:
        """Begin with an empty text for each line."""
        log_probs = output.log_probs.astype(np.float64)
        n_lines, n_frames, _ = log_probs.shape
        self._mask = np.arange(n_frames) < output.frame_lengths[:, None]
        self._probs = np.exp(log_probs) * self._mask[..., None]
        limited = np.maximum(log_probs, LEAST_LOG_PROB).transpose(0, 2, 1)
        self._log_probs = np.ascontiguousarray(limited)
        self._ends = output.frame_lengths[:, None]
        self._blank_sums = np.pad(self._log_probs[:, -1].cumsum(1), ((0, 0), (1, 0)))
        self._blank = self._blank_sums
        self._symbol = np.full_like(self._blank, LOG_ZERO)
        self._last = np.full(n_lines, -1)

    def scores(self, rows: Rows) -> np.ndarray:
        """Return (N, V) log probabilities that a line begins with a text and a symbol.

        In the place of the blank is the log probability of the complete text.
        """
        before = np.logaddexp(self._blank, self._symbol)
        whole = np.take_along_axis(before, self._ends[rows.lines], 1)
        mask = self._mask[rows.lines]
        weights, top = _weigh(before[:, :-1], mask)
        products = rows.pad(weights, 0.0) @ self._probs
        is_empty = (self._last < 0)[:, None]
        last = np.maximum(self._last, 0)
        shown = np.exp(self._log_probs[rows.lines, last])
        last = last[:, None]
        weights, own_top = _weigh(self._blank[:, :-1], mask)  # a repeat needs a blank in between
        with np.errstate(divide="ignore"):
            prefix = np.log(products[rows.lines, rows.places]) + top
            repeated = np.log((weights * shown).sum(1, keepdims=True)) + own_top
        own = np.where(is_empty, np.take_along_axis(prefix, last, 1), repeated)
        np.put_along_axis(prefix, last, own, 1)
        prefix[:, -1:] = whole
        return np.asarray(np.maximum(prefix, LOG_ZERO))

    def follow(self, parents: Ints, ids: Ints, lines: Ints) -> None:
        """Continue with N extended texts.

        Args:
            parents: (N,) rows of the texts before.
            ids: (N,) symbols added to them.
            lines: (N,) lines of the texts.
        """
        blank, symbol = self._blank[parents], self._symbol[parents]
        repeats = (ids == self._last[parents])[:, None]
        entry = np.where(repeats, blank, np.logaddexp(blank, symbol))[:, :-1]
        sums = np.pad(self._log_probs[lines, ids].cumsum(1), ((0, 0), (1, 0)))
        self._symbol = _recur(entry, sums)
        self._blank = _recur(self._symbol[:, :-1], self._blank_sums[lines])
        self._last = ids


def _weigh(before: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, T) scaled probabilities, 0 in the padding, and the log of the scale."""
    before = np.where(mask, before, LOG_ZERO)
    top = before.max(1, keepdims=True)
    return np.exp(before - top) * mask, top


def _recur(entry: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Solve ``out[t] = p[t] * (out[t - 1] + entry[t - 1])``, with ``out[0] = 0``, in logarithms.

    Args:
        entry: (N, T).
        sums: (N, T + 1) cumulative sums of ``log p``, from 0.

    Returns:
        (N, T + 1).
    """
    entered = np.logaddexp.accumulate(np.maximum(entry - sums[:, :-1], LOG_ZERO), axis=1)
    out = np.full(sums.shape, LOG_ZERO)
    np.maximum(entered + sums[:, 1:], LOG_ZERO, out=out[:, 1:])
    return out


def seq2seq_beam_search(decoder: Decoder, search: BeamSearch) -> list[Hypothesis]:
    """Return the text with the best score for each line.

    A text has at most as many symbols as its image has time steps. Finished texts keep their
    place in the beam. An unfinished text is dropped if it can no longer be better than a finished
    text, or if it is worse than the best unfinished text by more than the margin.

    Args:
        decoder: decoder of the encoded lines.
        search: beam, margin, fusion and weight of the CTC head.

    Returns:
        The best text of each line. Confidences are those of the decoder, as in greedy decoding;
        CTC and fusion do not change them.
    """
    n_lines = len(decoder)
    size = max(1, decoder.max_rows // search.beam) if decoder.max_rows else max(1, n_lines)
    if n_lines <= size:
        return _search(decoder, search)
    lines = np.arange(n_lines)
    parts = (decoder.take(lines[start : start + size]) for start in range(0, n_lines, size))
    return [found for part in parts for found in _search(part, search)]


def _search(decoder: Decoder, search: BeamSearch) -> list[Hypothesis]:
    state, ids = decoder.start(), begin_ids(decoder)
    texts = _Texts(decoder, search)
    for n_written in range(int(decoder.frame_lengths.max(initial=0)) + 1):
        log_probs, state = decoder.step(ids, state, texts.rows)
        parents, ids = texts.grow(log_probs, n_written)
        if not len(ids):
            break
        state = select(state, parents)
    return texts.write_out()


class _Chosen(NamedTuple):
    """The beam after a step, (B, K) each, the best first.

    Attributes:
        scores: scores of the texts; minus infinity in an unused place.
        ended: place among the texts finished before; -1 for a text that is extended.
        parents: row of the text that is extended.
        ids: symbol or end that is added to it.
    """

    scores: np.ndarray
    ended: Ints
    parents: Ints
    ids: Ints


class _Texts:
    """The beam: N unfinished texts, and up to K finished texts for each of B lines.

    A text is a node: a symbol or the end, and the node of the text before it.
    """

    def __init__(self, decoder: Decoder, search: BeamSearch) -> None:
        n_lines = len(decoder)
        self._end, self._search = decoder.eos_id, search
        self._limits = decoder.frame_lengths
        self.rows = Rows.one_each(n_lines)  # an empty text each
        self._own, self._extra = np.zeros(n_lines), np.zeros(n_lines)
        self._nodes = np.full(n_lines, -1)
        self._states = search.fusion.start((1, n_lines))
        self._ended = np.full((n_lines, search.beam), -np.inf)
        self._ended_nodes = np.full((n_lines, search.beam), -1)
        self._history: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._ctc = CtcPrefixes(decoder.ctc()) if search.ctc_weight > 0 else None

    def grow(self, log_probs: np.ndarray, n_written: int) -> tuple[Ints, Ints]:
        """Add a symbol or the end to each unfinished text, and keep the best.

        Args:
            log_probs: (N, V) log probabilities of the symbol that follows each text.
            n_written: number of symbols of the unfinished texts.

        Returns:
            The rows of the texts that are extended, and the symbols added to them.
        """
        log_probs = log_probs.astype(np.float64)
        log_probs[self._limits[self.rows.lines] <= n_written, : self._end] = -np.inf
        gains = self._search.fusion.all_gains(self._states, self._end)[0]
        extra = self._extra[:, None] + gains
        total = self._own[:, None] + log_probs + extra
        if self._ctc is not None:
            total += self._search.ctc_weight * self._ctc.scores(self.rows)
        chosen = self._choose(total)
        added = log_probs[chosen.parents, chosen.ids]
        first = len(self._history) * chosen.ids.size
        new = np.arange(first, first + chosen.ids.size).reshape(chosen.ids.shape)
        self._history.append((chosen.ids, added, self._nodes[chosen.parents]))
        nodes = np.take_along_axis(self._ended_nodes, np.maximum(chosen.ended, 0), 1)
        nodes = np.where(chosen.ended >= 0, nodes, new)  # (B, K)
        has_ended = (chosen.ended >= 0) | (chosen.ids == self._end)
        self._ended = np.where(has_ended, chosen.scores, -np.inf)
        self._ended_nodes = nodes
        lines, places = self._candidates(chosen.scores, has_ended, n_written)
        parents, ids = chosen.parents[lines, places], chosen.ids[lines, places]
        self.rows = Rows(lines, len(self._limits))
        self._own = self._own[parents] + added[lines, places]
        self._extra, self._nodes = extra[parents, ids], nodes[lines, places]
        self._states = self._search.fusion.follow(self._states, parents[None], ids[None])
        if self._ctc is not None:
            self._ctc.follow(parents, ids, lines)
        return parents, ids

    def _choose(self, total: np.ndarray) -> _Chosen:
        """Return the best of the finished texts and of all extensions, given (N, V) scores."""
        beam, n_added = self._search.beam, total.shape[1]
        extended = self.rows.pad(total, -np.inf).reshape(len(self._limits), -1)
        scores = np.concatenate([self._ended, extended], axis=1)
        chosen = np.argpartition(scores, -beam, axis=1)[:, -beam:]
        found = np.take_along_axis(scores, chosen, 1)
        order = np.argsort(-found, axis=1, kind="stable")
        chosen = np.take_along_axis(chosen, order, 1)
        ended = np.where(chosen < beam, chosen, -1)
        place = np.maximum(chosen - beam, 0)
        rows = self.rows.pad(np.arange(len(total)), 0)
        parents = np.take_along_axis(rows, place // n_added, 1)
        return _Chosen(np.take_along_axis(found, order, 1), ended, parents, place % n_added)

    def _candidates(
        self, scores: np.ndarray, has_ended: np.ndarray, n_written: int
    ) -> tuple[Ints, Ints]:
        """Return line and place of unfinished texts that can win: only the bonus raises a score."""
        scores = np.where(has_ended, -np.inf, scores)
        room = np.maximum(self._limits - n_written - 1, 0)
        most = room * max(0.0, self._search.fusion.length_bonus)
        may_win = scores > (self._ended.max(1) - most)[:, None]
        is_near = scores >= scores.max(1, keepdims=True) - self._search.margin
        lines, places = np.nonzero(may_win & is_near)
        return lines, places

    def write_out(self) -> list[Hypothesis]:
        """Return the best finished text of each line."""
        ids, log_probs, before = (
            np.concatenate([part.ravel() for part in parts])
            for parts in zip(*self._history, strict=True)
        )
        best = self._ended_nodes[np.arange(len(self._limits)), self._ended.argmax(1)]
        found = []
        for node in best.tolist():
            path = [node]
            while (node := int(before[node])) >= 0:
                path.append(node)
            path = path[::-1]
            found.append(Hypothesis.from_log_probs(ids[path[:-1]].tolist(), log_probs[path]))
        return found
