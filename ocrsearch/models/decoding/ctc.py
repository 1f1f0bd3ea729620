"""CTC: the best path of an output, and the probabilities of given texts; ``Hypothesis``.

A text is written by many alignments with the time steps; its probability is the sum over all of
them (Graves et al., 2006). All functions take whole batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import NamedTuple

import numpy as np


class CtcOutput(NamedTuple):
    """Symbol probabilities at each time step.

    Attributes:
        log_probs: (B, T, V) float32, the blank last.
        frame_lengths: (B,) int64: number of time steps of each image.
    """

    log_probs: np.ndarray
    frame_lengths: np.ndarray


@dataclass(frozen=True)
class Hypothesis:
    """The text read in one image by any network or decoder, with its confidence.

    Attributes:
        ids: symbol ids.
        confidence: probability of the text, over all alignments if there are any, 0 to 1.
        symbol_confidences: probability of each symbol, 0 to 1.
    """

    ids: tuple[int, ...]
    confidence: float
    symbol_confidences: tuple[float, ...]

    @classmethod
    def from_log_probs(
        cls,
        ids: Sequence[int],
        log_probs: Sequence[float] | np.ndarray,
        total: float | None = None,
    ) -> Hypothesis:
        """Return a text with its confidences.

        Args:
            ids: L symbol ids.
            log_probs: log probability of each symbol, and after them that of the end if the
                network writes one.
            total: log probability of the text; None for the sum of ``log_probs``.
        """
        probs = np.exp(log_probs)
        confidence = np.prod(probs) if total is None else np.exp(total)
        return cls(tuple(ids), float(confidence), tuple(probs[: len(ids)].tolist()))

    @classmethod
    def average(cls, hypotheses: Sequence[Hypothesis]) -> Hypothesis:
        """Return a text with the mean confidences of several networks that rated it."""
        symbols = zip(*(h.symbol_confidences for h in hypotheses), strict=True)
        return cls(
            hypotheses[0].ids,
            fmean(h.confidence for h in hypotheses),
            tuple(map(fmean, symbols)),
        )


def ctc_best_path(output: CtcOutput, blank_id: int) -> list[Hypothesis]:
    """Take the best symbol at each time step, merge repeats, drop blanks (Graves et al., 2006).

    The confidence of a symbol is the highest probability among its time steps.

    Args:
        output: output for B images.
        blank_id: id of the blank.
    """
    ids = output.log_probs.argmax(2)
    maxima = np.take_along_axis(output.log_probs, ids[..., None], 2)[..., 0].astype(np.float64)
    valid = np.arange(ids.shape[1]) < output.frame_lengths[:, None]
    previous = np.pad(ids, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    starts = valid & (ids != blank_id) & (ids != previous)
    runs = np.where(valid, np.cumsum(ids != previous, axis=1), 0)  # 0 is the padding
    texts = [ids[b, starts[b]] for b in range(len(ids))]
    totals = ctc_scores(texts, output, blank_id)
    found = []
    for b, text in enumerate(texts):
        peaks = [maxima[b, runs[b] == run].max() for run in runs[b, starts[b]]]
        found.append(Hypothesis.from_log_probs(text.tolist(), peaks, totals[b]))
    return found


def ctc_scores(texts: Sequence[Sequence[int]], output: CtcOutput, blank_id: int) -> np.ndarray:
    """Return the log probabilities of texts.

    Args:
        texts: B texts as symbol ids.
        output: output for B images.
        blank_id: id of the blank.

    Returns:
        (B,) of the type of the output, at most 0; minus infinity for a text that does not fit
        its time steps.
    """
    places, selected = _select_symbols(texts, output.log_probs, blank_id)
    return text_log_probs(places, selected, output.frame_lengths, selected.shape[2] - 1)


def ctc_confidences(
    texts: Sequence[Sequence[int]], output: CtcOutput, blank_id: int
) -> list[Hypothesis]:
    """Return texts with their confidences; the arguments are those of ``ctc_scores``.

    The confidence of a symbol is the highest probability among its time steps on the best
    alignment of the text.
    """
    places, selected = _select_symbols(texts, output.log_probs, blank_id)
    selected, blank_id = selected.astype(np.float64), selected.shape[2] - 1
    totals = text_log_probs(places, selected, output.frame_lengths, blank_id)
    peaks = symbol_peaks(places, selected, output.frame_lengths, blank_id)
    return [
        Hypothesis.from_log_probs(text, peak, total)
        for text, peak, total in zip(texts, peaks, totals, strict=True)
    ]


def _select_symbols(
    texts: Sequence[Sequence[int]], log_probs: np.ndarray, blank_id: int
) -> tuple[list[list[int]], np.ndarray]:
    """Return the log probabilities of the symbols in some texts, the blank last.

    A large charset has many more symbols than a batch of texts. The texts are returned as
    positions among the selected symbols.
    """
    # np.unique would import numpy.ma, which takes 40 ms
    symbols = np.array(sorted({i for text in texts for i in text} | {blank_id}))
    if len(symbols) < log_probs.shape[2]:
        log_probs = log_probs[..., symbols]
    return [np.searchsorted(symbols, text).tolist() for text in texts], log_probs


LOG_ZERO = -1e30
"""Used as the logarithm of zero: differences of infinities would be NaN."""


def text_log_probs(
    texts: Sequence[Sequence[int]],
    log_probs: np.ndarray,
    frame_lengths: np.ndarray,
    blank_id: int,
) -> np.ndarray:
    """Return the log probabilities of texts, over all alignments (Graves et al., 2006).

    Args:
        texts: B texts as symbol ids.
        log_probs: (B, T, V) float32, or float64 which takes twice the time.
        frame_lengths: (B,) int64.
        blank_id: id of the blank.

    Returns:
        (B,) of the same type, at most 0; minus infinity for a text that does not fit its time
        steps.
    """
    ids, skips = _alignment_places(texts, blank_id)
    emitted = np.take_along_axis(log_probs, ids[:, None], 2).transpose(1, 0, 2)
    emitted = np.ascontiguousarray(np.maximum(emitted, LOG_ZERO))  # (T, B, P)
    before_skip = np.where(skips, 0.0, LOG_ZERO).astype(log_probs.dtype)
    # two columns on the left, so that each place has two places before it
    scores = np.full((len(texts), ids.shape[1] + 2), LOG_ZERO, log_probs.dtype)
    scores[:, 2] = 0.0
    stay, step, skip = scores[:, 2:], scores[:, 1:-1], scores[:, :-2]
    n_common = int(frame_lengths.min(initial=len(emitted)))
    top, part, total = (np.empty_like(before_skip) for _ in range(3))
    for t, gained in enumerate(emitted):
        skipped = skip + before_skip
        np.maximum(stay, step, out=top)
        np.maximum(top, skipped, out=top)
        np.exp(np.subtract(stay, top, out=total), out=total)
        total += np.exp(np.subtract(step, top, out=part), out=part)
        total += np.exp(np.subtract(skipped, top, out=part), out=part)
        np.log(total, out=total)
        total += top
        total += gained
        np.maximum(total, LOG_ZERO, out=total)
        stay[...] = total if t < n_common else np.where((t < frame_lengths)[:, None], total, stay)
    rows, ends = np.arange(len(texts)), np.array([2 * len(text) + 2 for text in texts], np.int64)
    with np.errstate(invalid="ignore"):  # NaN stays NaN
        found = np.logaddexp(scores[rows, ends], scores[rows, ends - 1])
    return np.where(found <= LOG_ZERO / 2, -np.inf, np.minimum(found, 0.0))


def _alignment_places(
    texts: Sequence[Sequence[int]], blank_id: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the places that an alignment of each text passes from left to right.

    A text of L symbols has 2 L + 1 places: the symbols, and a blank before, between and after
    them. An alignment may skip a blank between different symbols.

    Returns:
        The symbol of each place (B, P), and whether the place two before it can precede it (B, P).
    """
    n_places = 2 * max(map(len, texts), default=0) + 1
    ids = np.full((len(texts), n_places), blank_id)
    for row, text in zip(ids, texts, strict=True):
        row[1 : 2 * len(text) : 2] = text
    skips = np.zeros(ids.shape, bool)
    skips[:, 2:] = (ids[:, 2:] != blank_id) & (ids[:, 2:] != ids[:, :-2])
    return ids, skips


def symbol_peaks(
    texts: Sequence[Sequence[int]], log_probs: np.ndarray, frame_lengths: np.ndarray, blank_id: int
) -> list[np.ndarray]:
    """Return the highest log probability of each symbol, on the best alignment (Viterbi).

    The arguments are those of ``text_log_probs``.
    """
    ids, skips = _alignment_places(texts, blank_id)
    emitted = np.take_along_axis(log_probs, ids[:, None], 2)  # (B, T, 2 L + 1)
    scores, steps = _best_steps(emitted, frame_lengths, skips)
    lines, places = np.arange(len(texts)), np.array([2 * len(text) for text in texts])
    places -= scores[lines, np.maximum(0, places - 1)] > scores[lines, places]
    peaks = np.full(ids.shape, -np.inf)
    for t in range(emitted.shape[1] - 1, -1, -1):
        now = np.where(t < frame_lengths, emitted[lines, t, places], -np.inf)
        peaks[lines, places] = np.maximum(peaks[lines, places], now)
        places = places - steps[lines, t, places]
    return [peak[1 : 2 * len(text) : 2] for peak, text in zip(peaks, texts, strict=True)]


def _best_steps(
    emitted: np.ndarray, frame_lengths: np.ndarray, skips: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Find the best way to each place, time step by time step.

    Args:
        emitted: (B, T, P) log probability of each place's symbol at each time step.
        frame_lengths: (B,) number of time steps.
        skips: (B, P) whether a place can follow the place two before it.

    Returns:
        The final scores (B, P), and the number of places that the best way to each place advanced
        at each time step (B, T, P).
    """
    n_lines, n_frames, n_places = emitted.shape
    scores = np.full((n_lines, n_places), -np.inf)
    scores[:, 0] = 0.0
    steps = np.zeros(emitted.shape, np.int64)
    ways = np.full((3, n_lines, n_places), -np.inf)
    for t in range(n_frames):
        ways[0] = scores
        ways[1, :, 1:] = scores[:, :-1]
        ways[2, :, 2:] = np.where(skips[:, 2:], scores[:, :-2], -np.inf)
        is_there = (t < frame_lengths)[:, None]
        step = ways.argmax(0)
        steps[:, t] = np.where(is_there, step, 0)
        scores = np.where(is_there, ways.max(0) + emitted[:, t], scores)
    return scores, steps
