"""CTC beam search: the text of each line with the highest probability over all its alignments.

Prefix beam search after Graves, 2012 (section 7.5) and Hannun et al., 2014 (arXiv:1408.2873).
All lines of a batch and all their texts advance together in one Python loop over time steps.
Probabilities are not logarithms here; they are scaled at each time step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ocrsearch.models.decoding.automata import Fusion, Ints, States
from ocrsearch.models.decoding.ctc import CtcOutput, Hypothesis, ctc_confidences

MAX_SYMBOLS = 16
"""Number of symbols tried at a time step: the most probable."""

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_NO_PARENT, _NO_TEXT = np.uint64(1), np.uint64(2)
"""Hashes for the parent of the empty text, and for the text in an unused place."""


@dataclass(frozen=True)
class BeamSearch:
    """Options of a beam search.

    Attributes:
        beam: number of texts in the beam of each line, at least 1.
        fusion: language model, lexicon and length bonus.
        ctc_weight: weight of the log probability of an encoder-decoder's CTC head, at least 0.
        margin: largest distance from the best score at which an encoder-decoder continues a text,
            in nats.
    """

    beam: int = 10
    fusion: Fusion = field(default_factory=Fusion)
    ctc_weight: float = 0.0
    margin: float = 7.0


class _Texts(NamedTuple):
    """The texts in the beam: K for each of B lines, in no order.

    Attributes:
        p_blank: (B, K) probability of the alignments that end in a blank, scaled by line.
        p_symbol: (B, K) probability of the alignments that end in the text's last symbol.
        extra: (B, K) score of language model, lexicon and bonus.
        last: (B, K) last symbol; -1 for the empty text.
        names: (B, K) hash of the text.
        parents: (B, K) hash of the text without its last symbol.
        nodes: (B, K) position of the text's last symbol in the history.
        states: states of the fusion.
    """

    p_blank: np.ndarray
    p_symbol: np.ndarray
    extra: np.ndarray
    last: Ints
    names: np.ndarray
    parents: np.ndarray
    nodes: Ints
    states: States

    @classmethod
    def empty(cls, n_lines: int, search: BeamSearch) -> _Texts:
        """Return an empty text for each line; the other places of the beam are unused."""
        shape = (n_lines, search.beam)
        p_blank = np.zeros(shape)
        p_blank[:, 0] = 1.0
        names = np.full(shape, _NO_TEXT)
        names[:, 0] = 0
        return cls(
            p_blank,
            np.zeros(shape),
            np.zeros(shape),
            np.full(shape, -1, np.int64),
            names,
            np.full(shape, _NO_PARENT),
            np.zeros(shape, np.int64),
            search.fusion.start(shape),
        )


class _Frame(NamedTuple):
    """A time step of each line.

    Attributes:
        log_probs: (B, V) log probabilities.
        inside: (B, 1), False after a line's end, where the blank is certain.
        ids: (B, P) symbols to try.
        blank_id: id of the blank.
    """

    log_probs: np.ndarray
    inside: np.ndarray
    ids: Ints
    blank_id: int

    def probs(self, ids: Ints) -> np.ndarray:
        """Return the probabilities of (B, N) symbols: few of a large charset are needed."""
        found = np.exp(_take(self.log_probs, ids), dtype=np.float64)
        return np.asarray(np.where(self.inside, found, ids == self.blank_id))

    def blank_probs(self) -> np.ndarray:
        """Return the (B, 1) probabilities of the blank."""
        return self.probs(np.full((len(self.ids), 1), self.blank_id))


def ctc_beam_search(output: CtcOutput, blank_id: int, search: BeamSearch) -> list[Hypothesis]:
    """Return the text with the best score for each line.

    The score of a text is ``log P(text) + fusion``, where P is the sum over the alignments that
    stayed in the beam. At each time step, only the ``MAX_SYMBOLS`` most probable symbols can
    extend a text.

    Args:
        output: output for B lines; time steps after the end of a line have no effect.
        blank_id: id of the blank, which follows all symbols.
        search: beam and fusion.

    Returns:
        The best text of each line, with the confidences of ``ctc_confidences``, which do not
        depend on the fusion.
    """
    log_probs, lengths = output
    n_lines, n_frames, _ = log_probs.shape
    inside = np.arange(n_frames) < lengths[:, None]
    n_tried = min(MAX_SYMBOLS, blank_id)
    tried = _most_probable(log_probs[:, :, :blank_id], n_tried)
    texts = _Texts.empty(n_lines, search)
    symbols = np.full((n_frames + 1, *texts.last.shape), -1, np.int64)
    before = np.full_like(symbols, -1)
    first_nodes = np.arange(symbols.size).reshape(symbols.shape)
    for t in range(int(lengths.max(initial=0))):
        frame = _Frame(log_probs[:, t], inside[:, t, None], tried[:, t], blank_id)
        texts = _advance(
            texts, frame, search.fusion, symbols[t + 1], before[t + 1], first_nodes[t + 1]
        )
    with np.errstate(divide="ignore"):
        scores = np.log(texts.p_blank + texts.p_symbol) + texts.extra
    best = (scores + search.fusion.end_gains(texts.states)).argmax(1)
    symbols, before = symbols.ravel(), before.ravel()
    found: list[list[int]] = []
    for node in texts.nodes[np.arange(len(best)), best].tolist():
        text: list[int] = []
        while symbols[node] >= 0:
            text.append(int(symbols[node]))
            node = int(before[node])
        found.append(text[::-1])
    return ctc_confidences(found, output, blank_id)


def _most_probable(log_probs: np.ndarray, n: int) -> Ints:
    """Return the ids (B, T, n) of the most probable symbols at each time step, in no order."""
    if n == log_probs.shape[2]:
        return np.broadcast_to(np.arange(n), log_probs.shape)
    return np.argpartition(log_probs, -n, axis=2)[:, :, -n:]


def _advance(
    texts: _Texts, frame: _Frame, fusion: Fusion, symbols: Ints, before: Ints, new_nodes: Ints
) -> _Texts:
    """Advance by one time step, and record the symbols that were added in the history.

    Args:
        texts: texts before the time step.
        frame: time step.
        fusion: language model, lexicon and bonus.
        symbols: (B, K) history to write: the symbol of each new node.
        before: (B, K) history to write: the node before each new node.
        new_nodes: (B, K) numbers of the new nodes.
    """
    stay_blank, stay_symbol, longer = _extend(texts, frame)
    gains = np.broadcast_to(fusion.gains(texts.states, frame.ids), longer.shape)
    n_lines, beam, n_tried = longer.shape
    with np.errstate(divide="ignore"):
        scores_stay = np.log(stay_blank + stay_symbol) + texts.extra
        scores_longer = np.log(longer) + texts.extra[:, :, None] + gains
    scores = np.concatenate([scores_stay, scores_longer.reshape(n_lines, -1)], axis=1)
    chosen = np.argpartition(scores, -beam, axis=1)[:, -beam:]
    is_used = _take(scores, chosen) > -np.inf
    is_longer = chosen >= beam
    place = np.maximum(chosen - beam, 0)  # among the extended texts
    source = np.where(is_longer, place // n_tried, chosen)
    ids = np.where(is_longer, _take(frame.ids, place % n_tried), -1)
    p_longer, gain = (
        _take(longer.reshape(n_lines, -1), place),
        _take(gains.reshape(n_lines, -1), place),
    )
    p_blank = np.where(is_longer, 0.0, _take(stay_blank, source))
    p_symbol = np.where(is_longer, p_longer, _take(stay_symbol, source))
    scale = (p_blank + p_symbol).max(1, keepdims=True)
    names, nodes = _take(texts.names, source), _take(texts.nodes, source)
    symbols[...], before[...] = ids, nodes
    return _Texts(
        p_blank / scale,
        p_symbol / scale,
        _take(texts.extra, source) + np.where(is_longer, gain, 0.0),
        np.where(is_longer, ids, _take(texts.last, source)),
        np.where(is_used, np.where(is_longer, _name(names, ids), names), _NO_TEXT),
        np.where(is_used, np.where(is_longer, names, _take(texts.parents, source)), _NO_PARENT),
        np.where(is_longer, new_nodes, nodes),
        fusion.follow(texts.states, source, ids),
    )


def _take(values: np.ndarray, places: Ints) -> np.ndarray:
    """Return the values at (B, K) places of (B, N) values."""
    return np.asarray(np.take_along_axis(values, places, 1))


def _extend(texts: _Texts, frame: _Frame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the probabilities of the same texts and of extended texts after a time step.

    Returns:
        The (B, K) probabilities that the same texts end in a blank, and in a symbol, and the
        (B, K, P) probabilities of each text extended by a symbol of the time step. If the extended
        text is already in the beam, its probability is added there and is zero here.
    """
    total = texts.p_blank + texts.p_symbol
    p_last = frame.probs(np.maximum(texts.last, 0))
    stay_blank = total * frame.blank_probs()
    stay_symbol = texts.p_symbol * p_last
    repeats = frame.ids[:, None] == texts.last[:, :, None]  # needs a blank in between
    p_tried = frame.probs(frame.ids)
    longer = np.where(repeats, texts.p_blank[:, :, None], total[:, :, None]) * p_tried[:, None]
    line, shorter, text = np.nonzero(texts.names[:, :, None] == texts.parents[:, None])
    last = texts.last[line, text]
    is_double = last == texts.last[line, shorter]
    source = np.where(is_double, texts.p_blank[line, shorter], total[line, shorter])
    stay_symbol[line, text] += source * p_last[line, text]
    which, tried = np.nonzero(frame.ids[line] == last[:, None])
    longer[line[which], shorter[which], tried] = 0.0
    return stay_blank, stay_symbol, longer


def _name(names: np.ndarray, ids: Ints) -> np.ndarray:
    """Return the (B, K) hashes of texts extended by a symbol."""
    mixed = (names ^ (ids + 3).astype(np.uint64)) * _MULTIPLIER
    return np.asarray(mixed ^ (mixed >> np.uint64(29)))
