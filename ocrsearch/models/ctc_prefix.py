"""CTC scores of the beginnings of texts, for decoding together with an encoder-decoder.

Watanabe et al., 2017 (Hybrid CTC/attention architecture, IEEE JSTSP 11(8), algorithm 2). Its
recursions over frames are linear, so sums over frames and cumulative sums take their place; no
Python loop runs over frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ocrsearch.models.rows import Rows

LOG_ZERO = -1e30
"""Stands for the logarithm of zero; infinities would make NaN of their differences."""

LEAST_LOG_PROB = -1e3
"""Less than this in a frame is taken for this; the sums over frames stay exact."""


class CtcPrefixes:
    """The probability, of N texts, that their lines begin with them.

    All tensors are float64. ``symbol`` and ``blank`` are (N, T + 1): the log probability that
    the first t frames show the text and end in its last symbol, or in a blank.
    """

    def __init__(self, log_probs: Tensor, frame_lengths: Tensor) -> None:
        """Begin with an empty text for each line.

        Args:
            log_probs: (B, T, V) of a CTC head, the blank last.
            frame_lengths: (B,) int64, on the CPU.
        """
        log_probs = log_probs.double()
        n_lines, n_frames, _ = log_probs.shape
        mask = torch.arange(n_frames) < frame_lengths[:, None]
        self._mask = mask.to(log_probs.device)
        self._probs = log_probs.exp() * self._mask[..., None]
        self._log_probs = log_probs.clamp(min=LEAST_LOG_PROB).transpose(1, 2).contiguous()
        self._ends = frame_lengths.to(log_probs.device)[:, None]
        self._blank_sums = torch.nn.functional.pad(self._log_probs[:, -1].cumsum(1), (1, 0))
        self._blank = self._blank_sums
        self._symbol = torch.full_like(self._blank, LOG_ZERO)
        self._last = torch.full((n_lines,), -1, device=log_probs.device)

    def scores(self, rows: Rows) -> Tensor:
        """Return (N, V) log probabilities that a line begins with a text and a symbol.

        In the blank's place stands the log probability of the text as it is.
        """
        before = torch.logaddexp(self._blank, self._symbol)
        whole = before.gather(1, self._ends[rows.lines])
        mask = self._mask[rows.lines]
        weights, top = _weigh(before[:, :-1], mask)
        products = torch.bmm(rows.pad(weights, 0.0), self._probs)
        prefix = products[rows.lines, rows.places].log() + top
        is_empty = (self._last < 0)[:, None]
        last = self._last.clamp(min=0)
        weights, top = _weigh(self._blank[:, :-1], mask)  # a repeat needs a blank in between
        shown = self._log_probs[rows.lines, last].exp()
        repeated = (weights * shown).sum(1, keepdim=True).log() + top
        last = last[:, None]
        prefix.scatter_(1, last, torch.where(is_empty, prefix.gather(1, last), repeated))
        prefix[:, -1:] = whole
        return prefix.clamp(min=LOG_ZERO)

    def follow(self, parents: Tensor, ids: Tensor, lines: Tensor) -> None:
        """Go on with other texts.

        Args:
            parents: (N,) rows of those before.
            ids: (N,) the symbol that each adds.
            lines: (N,) to which they belong.
        """
        blank, symbol = self._blank[parents], self._symbol[parents]
        repeats = (ids == self._last[parents])[:, None]
        entry = torch.where(repeats, blank, torch.logaddexp(blank, symbol))[:, :-1]
        sums = torch.nn.functional.pad(self._log_probs[lines, ids].cumsum(1), (1, 0))
        self._symbol = _recur(entry, sums)
        self._blank = _recur(self._symbol[:, :-1], self._blank_sums[lines])
        self._last = ids


def _weigh(before: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (N, T) probabilities, scaled and without padding, and the log of the scale."""
    before = before.masked_fill(~mask, LOG_ZERO)
    top = before.amax(1, keepdim=True)
    return (before - top).exp() * mask, top


def _recur(entry: Tensor, sums: Tensor) -> Tensor:
    """Solve ``out[t] = p[t] * (out[t - 1] + entry[t - 1])``, with ``out[0] = 0``, in logarithms.

    Args:
        entry: (N, T).
        sums: (N, T + 1) cumulative sums of ``log p``, from 0.

    Returns:
        (N, T + 1).
    """
    entered = torch.logcumsumexp((entry - sums[..., :-1]).clamp(min=LOG_ZERO), dim=1)
    out = (entered + sums[..., 1:]).clamp(min=LOG_ZERO)
    return torch.nn.functional.pad(out, (1, 0), value=LOG_ZERO)
