"""Beam search for the encoder-decoder, alone or together with its CTC head.

The score of a text is ``log P_attention(text) + ctc_weight * log P_ctc(text) + fusion``, after
Watanabe et al., 2017 (IEEE JSTSP 11(8)); before its end, the CTC part is the probability that the
line begins like this. Attention alone may repeat or leave out parts of a line; what CTC finds
impossible in that many frames is never written.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ocrsearch.models.attention import Memory
from ocrsearch.models.beam import BeamSearch
from ocrsearch.models.ctc_prefix import CtcPrefixes
from ocrsearch.models.decoding import Hypothesis
from ocrsearch.models.encoder import Encoded
from ocrsearch.models.seq2seq import Seq2Seq, State

CPU_ROWS = 128
"""Texts of all lines that are prolonged at a time on a CPU."""


class _Step(NamedTuple):
    """What was chosen in a step: (B, K) parents in the step before, symbols or the end, log P."""

    parents: np.ndarray
    ids: np.ndarray
    log_probs: np.ndarray


def seq2seq_beam_search(model: Seq2Seq, encoded: Encoded, search: BeamSearch) -> list[Hypothesis]:
    """Read a batch by the text that scores best.

    A text has at most as many symbols as its picture has frames. A text that is at its end keeps
    its place in the beam; a line is done when none of its others can become better.

    Args:
        model: in evaluation mode.
        encoded: its encoder's output.
        search: beam, fusion and weight of the CTC head.

    Returns:
        The best text of each line. Confidences are the decoder's own, as of ``seq2seq_greedy``;
        neither CTC nor fusion is in them.
    """
    if encoded.features.device.type == "cpu":  # what fits its cache is read twice as fast
        n_lines = max(1, CPU_ROWS // search.beam)
        parts = zip(*(torch.split(part, n_lines) for part in encoded), strict=True)
        return [found for part in parts for found in _search(model, Encoded(*part), search)]
    return _search(model, encoded, search)


def _search(model: Seq2Seq, encoded: Encoded, search: BeamSearch) -> list[Hypothesis]:
    memory, state, ids = model.start(encoded)
    texts = _Texts(model, encoded, search)
    every = torch.arange(len(ids), device=ids.device).repeat_interleave(search.beam)
    memory = Memory(*(part[every] for part in memory))
    state, ids = _take(state, every), ids[every]
    firsts = torch.arange(len(encoded.features), device=ids.device)[:, None] * search.beam
    steps: list[_Step] = []
    for n_written in range(int(encoded.frame_lengths.max()) + 1):
        log_probs, state = model.step(ids, state, memory)
        parents, chosen, added = texts.grow(log_probs, n_written)
        steps.append(_Step(*(part.cpu().numpy() for part in (parents, chosen, added))))
        if texts.are_decided(n_written):
            break
        rows = (firsts + parents).flatten()
        state, ids = _take(state, rows), chosen.flatten()
    return _write_out(steps, texts.best(), model.eos_id)


def _take(state: State, rows: Tensor) -> State:
    hidden, cell, past = state
    return hidden[rows], cell[rows], past[rows]


class _Texts:
    """The K texts that are kept for each of B lines, the best first."""

    def __init__(self, model: Seq2Seq, encoded: Encoded, search: BeamSearch) -> None:
        shape, device = (len(encoded.features), search.beam), encoded.features.device
        self._end, self._search = model.eos_id, search
        self._limits = encoded.frame_lengths.to(device)
        self._states = search.fusion.start(shape)
        self._own = torch.full(shape, -torch.inf, dtype=torch.float64, device=device)
        self._own[:, 0] = 0.0  # the empty text; the other places are unused
        self._extra, self._scores = torch.zeros_like(self._own), self._own
        self._done = torch.zeros_like(self._own, dtype=torch.bool)
        self._ctc: CtcPrefixes | None = None
        if search.ctc_weight > 0:
            log_probs = model.column_head(encoded.columns)
            self._ctc = CtcPrefixes(log_probs, encoded.frame_lengths, search.beam)

    def grow(self, log_probs: Tensor, n_written: int) -> tuple[Tensor, Tensor, Tensor]:
        """Add a symbol, or the end, to each text, and keep the best.

        Args:
            log_probs: (B * K, V) of what follows each text; changed.
            n_written: length of the texts that are not at their end.

        Returns:
            (B, K) each: which text it was, what was added, and the log probability of that.
        """
        log_probs = log_probs.double().view(*self._own.shape, -1)
        is_full = (self._limits <= n_written)[:, None, None]
        log_probs[..., : self._end].masked_fill_(is_full, -torch.inf)
        log_probs.masked_fill_(self._done[..., None], 0.0)
        gains = self._search.fusion.all_gains(self._states, self._end)
        extra = self._extra[..., None] + torch.from_numpy(gains).to(log_probs.device)
        total = self._own[..., None] + log_probs + extra
        if self._ctc is not None:
            total += self._search.ctc_weight * self._ctc.scores()
        total.masked_fill_(self._done[..., None], -torch.inf)
        total[..., self._end] = torch.where(self._done, self._scores, total[..., self._end])
        self._scores, chosen = total.flatten(1).topk(self._search.beam, dim=1)
        parents, ids = chosen // total.shape[2], chosen % total.shape[2]
        added = log_probs.flatten(1).gather(1, chosen)
        self._own = self._own.gather(1, parents) + added
        self._extra = extra.flatten(1).gather(1, chosen)  # of no more use where a text has ended
        is_end = (ids == self._end) & self._scores.isfinite()
        self._done = self._done.gather(1, parents) | is_end
        following = torch.where(ids == self._end, -1, ids).cpu().numpy()
        places = parents.cpu().numpy()
        self._states = self._search.fusion.follow(self._states, places, following)
        if self._ctc is not None:
            self._ctc.follow(parents, ids)
        return parents, ids, added

    def are_decided(self, n_written: int) -> bool:
        """Whether no text that goes on can become better than the best that ended.

        Nothing but the bonus can raise a score.
        """
        room = (self._limits - n_written).clamp(min=0)
        most = room * max(0.0, self._search.fusion.length_bonus)
        best_done = self._scores.masked_fill(~self._done, -torch.inf).amax(1)
        best_open = self._scores.masked_fill(self._done, -torch.inf).amax(1)
        return bool((best_done >= best_open + most).all())

    def best(self) -> np.ndarray:
        """Return which text of each line scores best, among those at their end."""
        return self._scores.masked_fill(~self._done, -torch.inf).argmax(1).cpu().numpy()


def _write_out(steps: list[_Step], best: np.ndarray, eos_id: int) -> list[Hypothesis]:
    """Follow the chosen texts (B,) of the last step back to their beginning."""
    lines = np.arange(len(best))
    ids, log_probs = [], []
    for step in reversed(steps):
        ids.append(step.ids[lines, best])
        log_probs.append(step.log_probs[lines, best])
        best = step.parents[lines, best]
    all_ids, all_log_probs = np.array(ids[::-1]).T, np.array(log_probs[::-1]).T
    found = []
    for row, values in zip(all_ids.tolist(), all_log_probs, strict=True):
        length = row.index(eos_id)
        confidences = np.exp(values[: length + 1])
        symbols = tuple(confidences[:length].tolist())
        found.append(Hypothesis(tuple(row[:length]), float(np.prod(confidences)), symbols))
    return found
