"""CTC scores of the beginnings of texts, for decoding together with an encoder-decoder.

Watanabe et al., 2017 (Hybrid CTC/attention architecture, IEEE JSTSP 11(8), algorithm 2). Its
recursions over frames are linear, so sums over frames and cumulative sums take their place; no
Python loop runs over frames.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOG_ZERO = -1e30
"""Stands for the logarithm of zero; infinities would make NaN of their differences."""

LEAST_LOG_PROB = -1e3
"""Less than this in a frame is taken for this; the sums over frames stay exact."""


class CtcPrefixes:
    """The probability, of texts in a beam, that a line begins with them.

    All tensors are float64. ``symbol`` and ``blank`` are (B, K, T + 1): the log probability that
    the first t frames show the text and end in its last symbol, or in a blank.
    """

    def __init__(self, log_probs: Tensor, frame_lengths: Tensor, beam: int) -> None:
        """Begin with empty texts.

        Args:
            log_probs: (B, T, V) of a CTC head, the blank last.
            frame_lengths: (B,) int64, on the CPU.
            beam: texts of each line, K.
        """
        log_probs = log_probs.double()
        n_lines, n_frames, _ = log_probs.shape
        mask = torch.arange(n_frames) < frame_lengths[:, None]
        self._mask = mask.to(log_probs.device)
        self._probs = log_probs.exp() * self._mask[..., None]
        self._log_probs = log_probs.clamp(min=LEAST_LOG_PROB).transpose(1, 2).contiguous()
        self._ends = frame_lengths.to(log_probs.device)[:, None, None].expand(-1, beam, 1)
        blank_sums = torch.nn.functional.pad(self._log_probs[:, -1].cumsum(1), (1, 0))
        self._blank = blank_sums[:, None].repeat(1, beam, 1)
        self._symbol = torch.full_like(self._blank, LOG_ZERO)
        self._last = torch.full((n_lines, beam), -1, device=log_probs.device)
        self._blank_sums = blank_sums[:, None]

    def scores(self) -> Tensor:
        """Return (B, K, V) log probabilities that a line begins with a text and a symbol.

        In the blank's place stands the log probability of the text as it is.
        """
        before = torch.logaddexp(self._blank, self._symbol)
        whole = before.gather(2, self._ends)
        weights, top = self._weigh(before[..., :-1])
        prefix = torch.bmm(weights, self._probs).log() + top
        is_empty = (self._last < 0)[..., None]
        last = self._last.clamp(min=0)
        weights, top = self._weigh(self._blank[..., :-1])  # a repeat needs a blank in between
        repeated = (weights * self._of_symbols(last).exp()).sum(2, keepdim=True).log() + top
        last = last[..., None]
        prefix.scatter_(2, last, torch.where(is_empty, prefix.gather(2, last), repeated))
        prefix[..., -1:] = whole
        return prefix.clamp(min=LOG_ZERO)

    def follow(self, parents: Tensor, ids: Tensor) -> None:
        """Take (B, K) texts, indices into those before, with a symbol more each.

        A blank in the place of a symbol leaves the text as it is.
        """
        index = parents[..., None].expand_as(self._blank)
        blank, symbol = self._blank.gather(1, index), self._symbol.gather(1, index)
        last = self._last.gather(1, parents)
        is_end = ids == self._log_probs.shape[1] - 1
        either = torch.logaddexp(blank, symbol)
        entry = torch.where((ids == last)[..., None], blank, either)[..., :-1]
        sums = torch.nn.functional.pad(self._of_symbols(ids).cumsum(2), (1, 0))
        new_symbol = _recur(entry, sums)
        new_blank = _recur(new_symbol[..., :-1], self._blank_sums.expand_as(sums))
        self._symbol = torch.where(is_end[..., None], symbol, new_symbol)
        self._blank = torch.where(is_end[..., None], blank, new_blank)
        self._last = torch.where(is_end, last, ids)

    def _of_symbols(self, ids: Tensor) -> Tensor:
        """Return (B, K, T) log probabilities of a symbol (B, K) each."""
        return self._log_probs.gather(1, ids[..., None].expand(-1, -1, self._log_probs.shape[2]))

    def _weigh(self, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return (B, K, T) probabilities, scaled and without padding, and the log of the scale."""
        before = before.masked_fill(~self._mask[:, None], LOG_ZERO)
        top = before.amax(2, keepdim=True)
        return (before - top).exp() * self._mask[:, None], top


def _recur(entry: Tensor, sums: Tensor) -> Tensor:
    """Solve ``out[t] = p[t] * (out[t - 1] + entry[t - 1])``, with ``out[0] = 0``, in logarithms.

    Args:
        entry: (B, K, T).
        sums: (B, K, T + 1) cumulative sums of ``log p``, from 0.

    Returns:
        (B, K, T + 1).
    """
    entered = torch.logcumsumexp((entry - sums[..., :-1]).clamp(min=LOG_ZERO), dim=2)
    out = (entered + sums[..., 1:]).clamp(min=LOG_ZERO)
    return torch.nn.functional.pad(out, (1, 0), value=LOG_ZERO)
