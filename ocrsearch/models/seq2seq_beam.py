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

from ocrsearch.models.beam import BeamSearch
from ocrsearch.models.ctc_prefix import CtcPrefixes
from ocrsearch.models.decoding import Hypothesis
from ocrsearch.models.encoder import Encoded
from ocrsearch.models.seq2seq import Memory, Seq2Seq, State


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
    memory, state, ids = model.start(encoded)
    beam, n_lines, device = search.beam, len(ids), ids.device
    memory = Memory(*(part.repeat_interleave(beam, 0) for part in memory))
    state, ids = _repeat(state, beam), ids.repeat_interleave(beam)
    ctc = None
    if search.ctc_weight > 0:
        ctc = CtcPrefixes(model.column_head(encoded.columns), encoded.frame_lengths, beam)
    limits = encoded.frame_lengths.to(device)
    states = search.fusion.start((n_lines, beam))
    own = torch.full((n_lines, beam), -torch.inf, dtype=torch.float64, device=device)
    own[:, 0] = 0.0  # the empty text; the other places are unused
    extra, scores = torch.zeros_like(own), own.clone()
    done = torch.zeros_like(own, dtype=torch.bool)
    firsts = torch.arange(n_lines, device=device)[:, None] * beam
    steps: list[_Step] = []
    for n_written in range(int(limits.max()) + 1):
        log_probs, state = model.step(ids, state, memory)
        log_probs = log_probs.double().view(n_lines, beam, -1)
        is_full = (limits <= n_written)[:, None, None]
        log_probs[..., : model.eos_id].masked_fill_(is_full, -torch.inf)
        gains = search.fusion.all_gains(states, model.eos_id)
        more = extra[..., None] + torch.from_numpy(gains).to(device)
        total = own[..., None] + log_probs + more
        if ctc is not None:
            total += search.ctc_weight * ctc.scores()
        total.masked_fill_(done[..., None], -torch.inf)
        total[..., model.eos_id] = torch.where(done, scores, total[..., model.eos_id])
        log_probs.masked_fill_(done[..., None], 0.0)
        scores, chosen = total.flatten(1).topk(beam, dim=1)
        parents, symbols = chosen // total.shape[2], chosen % total.shape[2]
        added = log_probs.flatten(1).gather(1, chosen)
        was_done = done.gather(1, parents)
        own = own.gather(1, parents) + added
        extra = torch.where(was_done, extra.gather(1, parents), more.flatten(1).gather(1, chosen))
        done = was_done | ((symbols == model.eos_id) & scores.isfinite())
        steps.append(_Step(*(part.cpu().numpy() for part in (parents, symbols, added))))
        room = (limits - n_written).clamp(min=0)
        if _is_over(scores, done, room * max(0.0, search.fusion.length_bonus)):
            break
        is_symbol = (symbols != model.eos_id) & ~done
        following = torch.where(is_symbol, symbols, -1).cpu().numpy()
        states = search.fusion.follow(states, steps[-1].parents, following)
        if ctc is not None:
            ctc.follow(parents, symbols)
        rows = (firsts + parents).flatten()
        state, ids = (state[0][rows], state[1][rows]), symbols.flatten()
    best = scores.masked_fill(~done, -torch.inf).argmax(1).cpu().numpy()
    return _write_out(steps, best, model.eos_id)


def _repeat(state: State, beam: int) -> State:
    return state[0].repeat_interleave(beam, 0), state[1].repeat_interleave(beam, 0)


def _is_over(scores: Tensor, done: Tensor, most_to_gain: Tensor) -> bool:
    """Whether in each line no text that goes on can become better than the best that ended.

    Nothing but the bonus can raise a score.

    Args:
        scores: (B, K).
        done: (B, K).
        most_to_gain: (B,).
    """
    best_done = scores.masked_fill(~done, -torch.inf).amax(1)
    best_open = scores.masked_fill(done, -torch.inf).amax(1)
    return bool((best_done >= best_open + most_to_gain).all())


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
