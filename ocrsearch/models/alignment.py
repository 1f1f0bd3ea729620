"""How probable given texts are under CTC, as a whole and symbol by symbol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def text_log_probs(
    texts: Sequence[Sequence[int]], log_probs: Tensor, frame_lengths: Tensor, blank_id: int
) -> np.ndarray:
    """Return the log probability of texts, of all alignments of each (Graves et al., 2006).

    Args:
        texts: symbol ids of each line.
        log_probs: (B, T, V) float32, or float64 which takes twice the time, on the CPU.
        frame_lengths: (B,) int64, on the CPU.
        blank_id: the id of the blank.

    Returns:
        (B,) of the same type, at most 0; minus infinity where a text does not fit its frames.
    """
    lengths = torch.tensor([len(text) for text in texts])
    targets = torch.tensor([i for text in texts for i in text], dtype=torch.int64)
    losses = functional.ctc_loss(
        log_probs.transpose(0, 1), targets, frame_lengths, lengths, blank_id, reduction="none"
    )
    return losses.neg().clamp(max=0.0).numpy()


def symbol_peaks(
    texts: Sequence[Sequence[int]], log_probs: np.ndarray, frame_lengths: np.ndarray, blank_id: int
) -> list[tuple[float, ...]]:
    """Return each symbol's highest probability on its text's best alignment (Viterbi).

    The arguments are those of ``text_log_probs``. A text of L symbols has 2 L + 1 places,
    which an alignment goes through from left to right: the symbols, and blanks around them, of
    which those between different symbols may be left out.
    """
    n_places = 2 * max(map(len, texts), default=0) + 1
    ids = np.full((len(texts), n_places), blank_id)
    for row, text in zip(ids, texts, strict=True):
        row[1 : 2 * len(text) : 2] = text
    emitted = np.take_along_axis(log_probs, ids[:, None], 2)  # (B, T, 2 L + 1)
    skips = np.zeros(ids.shape, bool)
    skips[:, 2:] = (ids[:, 2:] != blank_id) & (ids[:, 2:] != ids[:, :-2])
    scores, steps = _best_steps(emitted, frame_lengths, skips)
    lines, places = np.arange(len(texts)), np.array([2 * len(text) for text in texts])
    places -= scores[lines, np.maximum(0, places - 1)] > scores[lines, places]
    peaks = np.full(ids.shape, -np.inf)
    for t in range(emitted.shape[1] - 1, -1, -1):
        now = np.where(t < frame_lengths, emitted[lines, t, places], -np.inf)
        peaks[lines, places] = np.maximum(peaks[lines, places], now)
        places = places - steps[lines, t, places]
    return [
        tuple(np.exp(peak[1 : 2 * len(text) : 2]).tolist())
        for peak, text in zip(peaks, texts, strict=True)
    ]


def _best_steps(
    emitted: np.ndarray, frame_lengths: np.ndarray, skips: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Go through the frames on the best way to each place.

    Args:
        emitted: (B, T, P) log probability of each place's symbol in each frame.
        frame_lengths: (B,).
        skips: (B, P) whether a place may follow the one before the last.

    Returns:
        The last scores (B, P), and how many places each way went on in each frame (B, T, P).
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
