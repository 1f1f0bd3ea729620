"""Beam search for an encoder-decoder, alone or together with its CTC head.

The score of a text is ``log P_attention(text) + ctc_weight * log P_ctc(text) + fusion`` (Watanabe
et al., 2017, Hybrid CTC/attention architecture, IEEE JSTSP 11(8), algorithm 2); before the end of
a text, the CTC part is the probability that the line begins with it. Attention alone may repeat or
skip parts of a line; CTC excludes texts that do not fit the time steps. A step of the decoder is
the expensive part, so only texts that can still win take it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ocrsearch.models.attention import Memory, Rows, State
from ocrsearch.models.decoding.ctc import Hypothesis
from ocrsearch.models.decoding.ctc_beam import BeamSearch
from ocrsearch.models.encoder import Encoded

LOG_ZERO = -1e30
"""Used as the logarithm of zero: differences of infinities would be NaN."""

LEAST_LOG_PROB = -1e3
"""Lower limit of log probabilities at a time step; sums over time steps stay exact."""


class StepDecoder(Protocol):
    """An encoder-decoder that writes symbol by symbol, as ``Seq2Seq`` does."""

    eos_id: int

    def start(self, encoded: Encoded) -> tuple[Memory, State, Tensor]:
        """Return memory, first state and first ids (B,)."""

    def step(self, ids: Tensor, state: State, memory: Memory) -> tuple[Tensor, State]:
        """Return the log probabilities (N, V) of the next symbols and the state, given (N,) ids."""

    def ctc_log_probs(self, output: Encoded) -> Tensor:
        """Return the (B, T, V) log probabilities of the CTC head, the blank last."""


class CtcPrefixes:
    """The probabilities that lines begin with N texts.

    All tensors are float64. ``symbol`` and ``blank`` are (N, T + 1): the log probability that
    the first t time steps contain the text and end in its last symbol, or in a blank. The
    recursions over time steps are linear, so sums and cumulative sums replace Python loops.
    """

    def __init__(self, log_probs: Tensor, frame_lengths: Tensor) -> None:
        """Begin with an empty text for each line.

        Args:
            log_probs: (B, T, V) log probabilities of a CTC head, the blank last.
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

        In the place of the blank is the log probability of the complete text.
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
        """Continue with N extended texts.

        Args:
            parents: (N,) rows of the texts before.
            ids: (N,) symbols added to them.
            lines: (N,) lines of the texts.
        """
        blank, symbol = self._blank[parents], self._symbol[parents]
        repeats = (ids == self._last[parents])[:, None]
        entry = torch.where(repeats, blank, torch.logaddexp(blank, symbol))[:, :-1]
        sums = torch.nn.functional.pad(self._log_probs[lines, ids].cumsum(1), (1, 0))
        self._symbol = _recur(entry, sums)
        self._blank = _recur(self._symbol[:, :-1], self._blank_sums[lines])
        self._last = ids


def _weigh(before: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return (N, T) scaled probabilities, 0 in the padding, and the log of the scale."""
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


CPU_ROWS = 320
"""Number of texts, of all lines together, that a step on a CPU extends."""


def seq2seq_beam_search(
    model: StepDecoder, encoded: Encoded, search: BeamSearch
) -> list[Hypothesis]:
    """Return the text with the best score for each line.

    A text has at most as many symbols as its image has time steps. Finished texts keep their
    place in the beam. An unfinished text is dropped if it can no longer be better than a finished
    text, or if it is worse than the best unfinished text by more than the margin.

    Args:
        model: network in evaluation mode.
        encoded: output of its encoder.
        search: beam, margin, fusion and weight of the CTC head.

    Returns:
        The best text of each line. Confidences are those of the decoder, as in greedy decoding;
        CTC and fusion do not change them.
    """
    if encoded.features.device.type == "cpu":  # small batches fit its cache and are faster
        n_lines = max(1, CPU_ROWS // search.beam)
        parts = zip(*(torch.split(part, n_lines) for part in encoded), strict=True)
        return [found for part in parts for found in _search(model, Encoded(*part), search)]
    return _search(model, encoded, search)


def _search(model: StepDecoder, encoded: Encoded, search: BeamSearch) -> list[Hypothesis]:
    memory, state, ids = model.start(encoded)
    texts = _Texts(model, encoded, search)
    for n_written in range(int(encoded.frame_lengths.max()) + 1):
        log_probs, (hidden, cell, past) = model.step(ids, state, memory.for_rows(texts.rows))
        parents, ids = texts.grow(log_probs, n_written)
        if not len(ids):
            break
        state = hidden[parents], cell[parents], past[parents]
    return texts.write_out()


class _Chosen(NamedTuple):
    """The beam after a step, (B, K) each, the best first.

    Attributes:
        scores: scores of the texts; minus infinity in an unused place.
        ended: place among the texts finished before; -1 for a text that is extended.
        parents: row of the text that is extended.
        ids: symbol or end that is added to it.
    """

    scores: Tensor
    ended: Tensor
    parents: Tensor
    ids: Tensor


class _Texts:
    """The beam: N unfinished texts, and up to K finished texts for each of B lines.

    A text is a node: a symbol or the end, and the node of the text before it.
    """

    def __init__(self, model: StepDecoder, encoded: Encoded, search: BeamSearch) -> None:
        n_lines, device = len(encoded.features), encoded.features.device
        self._end, self._search = model.eos_id, search
        self._limits = encoded.frame_lengths.to(device)
        self.rows = Rows(torch.arange(n_lines, device=device), n_lines)  # an empty text each
        self._own = torch.zeros(n_lines, dtype=torch.float64, device=device)
        self._extra = torch.zeros_like(self._own)
        self._nodes = torch.full_like(self.rows.lines, -1)
        self._states = search.fusion.start((1, n_lines))
        self._ended = self._own.new_full((n_lines, search.beam), -torch.inf)
        self._ended_nodes = self._nodes.new_full((n_lines, search.beam), -1)
        self._history: list[tuple[Tensor, Tensor, Tensor]] = []
        self._ctc: CtcPrefixes | None = None
        if search.ctc_weight > 0:
            self._ctc = CtcPrefixes(model.ctc_log_probs(encoded), encoded.frame_lengths)

    def grow(self, log_probs: Tensor, n_written: int) -> tuple[Tensor, Tensor]:
        """Add a symbol or the end to each unfinished text, and keep the best.

        Args:
            log_probs: (N, V) log probabilities of the symbol that follows each text; modified.
            n_written: number of symbols of the unfinished texts.

        Returns:
            The rows of the texts that are extended, and the symbols added to them.
        """
        log_probs = log_probs.double()
        is_full = self._limits[self.rows.lines] <= n_written
        log_probs[:, : self._end].masked_fill_(is_full[:, None], -torch.inf)
        gains = self._search.fusion.all_gains(self._states, self._end)[0]
        extra = self._extra[:, None] + torch.from_numpy(gains).to(log_probs.device)
        total = self._own[:, None] + log_probs + extra
        if self._ctc is not None:
            total += self._search.ctc_weight * self._ctc.scores(self.rows)
        chosen = self._choose(total)
        added = log_probs[chosen.parents, chosen.ids]
        first = len(self._history) * chosen.ids.numel()
        new = torch.arange(first, first + chosen.ids.numel(), device=added.device)
        self._history.append((chosen.ids, added, self._nodes[chosen.parents]))
        nodes = self._ended_nodes.gather(1, chosen.ended.clamp(min=0))
        nodes = torch.where(chosen.ended >= 0, nodes, new.view_as(nodes))  # (B, K)
        has_ended = (chosen.ended >= 0) | (chosen.ids == self._end)
        self._ended = chosen.scores.masked_fill(~has_ended, -torch.inf)
        self._ended_nodes = nodes
        lines, places = self._candidates(chosen.scores, has_ended, n_written)
        parents, ids = chosen.parents[lines, places], chosen.ids[lines, places]
        self.rows = Rows(lines, len(self._limits))
        self._own = self._own[parents] + added[lines, places]
        self._extra, self._nodes = extra[parents, ids], nodes[lines, places]
        self._states = self._search.fusion.follow(
            self._states, parents.cpu().numpy()[None], ids.cpu().numpy()[None]
        )
        if self._ctc is not None:
            self._ctc.follow(parents, ids, lines)
        return parents, ids

    def _choose(self, total: Tensor) -> _Chosen:
        """Return the best of the finished texts and of all extensions, given (N, V) scores."""
        beam, n_added = self._search.beam, total.shape[1]
        extended = self.rows.pad(total, -torch.inf).flatten(1)
        scores, chosen = torch.cat([self._ended, extended], dim=1).topk(beam, dim=1)
        ended = torch.where(chosen < beam, chosen, -1)
        place = (chosen - beam).clamp(min=0)
        rows = self.rows.pad(torch.arange(len(total), device=total.device), 0)
        return _Chosen(scores, ended, rows.gather(1, place // n_added), place % n_added)

    def _candidates(self, scores: Tensor, has_ended: Tensor, n_written: int) -> tuple[Tensor, ...]:
        """Return line and place of unfinished texts that can win: only the bonus raises a score."""
        scores = scores.masked_fill(has_ended, -torch.inf)
        room = (self._limits - n_written - 1).clamp(min=0)
        most = room * max(0.0, self._search.fusion.length_bonus)
        may_win = scores > (self._ended.amax(1) - most)[:, None]
        is_near = scores >= scores.amax(1, keepdim=True) - self._search.margin
        return (may_win & is_near).nonzero().unbind(1)

    def write_out(self) -> list[Hypothesis]:
        """Return the best finished text of each line."""
        ids, log_probs, before = (
            torch.cat([part.flatten() for part in parts]).cpu().numpy()
            for parts in zip(*self._history, strict=True)
        )
        best = self._ended_nodes.gather(1, self._ended.argmax(1, keepdim=True))[:, 0]
        found = []
        for node in best.tolist():
            path = [node]
            while (node := int(before[node])) >= 0:
                path.append(node)
            path = path[::-1]
            found.append(Hypothesis.from_log_probs(ids[path[:-1]].tolist(), log_probs[path]))
        return found
