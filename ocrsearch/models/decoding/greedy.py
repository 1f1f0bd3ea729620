"""Greedy decoding: from a network's output to symbol ids with confidences.

How probable given texts are under CTC, as a whole and symbol by symbol.

Decoding: from a network's output to symbol ids with confidences.

Whole batches at a time; no Python loop runs over frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from ocrsearch.models.classifier import Classifier
from ocrsearch.models.crnn import Crnn, CtcOutput
from ocrsearch.models.encoder import Encoded
from ocrsearch.models.seq2seq import Seq2Seq


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


@dataclass(frozen=True)
class Hypothesis:
    """What was read in one picture.

    Attributes:
        ids: symbol ids.
        confidence: probability of the text, over all alignments where there are any, 0 to 1.
        symbol_confidences: for each symbol, 0 to 1.
    """

    ids: tuple[int, ...]
    confidence: float
    symbol_confidences: tuple[float, ...]


def ctc_best_path(output: CtcOutput, blank_id: int) -> list[Hypothesis]:
    """Take the best symbol of each frame, merge repeats, drop blanks (Graves et al., 2006).

    A symbol's confidence is the highest probability among its frames.
    """
    best = output.log_probs.max(2)
    ids, maxima = best.indices.cpu().numpy(), best.values.double().cpu().numpy()
    valid = np.arange(ids.shape[1]) < output.frame_lengths.numpy()[:, None]
    previous = np.pad(ids, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    starts = valid & (ids != blank_id) & (ids != previous)
    runs = np.where(valid, np.cumsum(ids != previous, axis=1), 0)  # 0 is the padding
    texts = [ids[b, starts[b]] for b in range(len(ids))]
    totals = np.exp(ctc_log_probs(texts, output, blank_id))
    found = []
    for b, text in enumerate(texts):
        peaks = _peaks(maxima[b], starts[b], runs[b])
        found.append(Hypothesis(tuple(text.tolist()), float(totals[b]), peaks))
    return found


def ctc_log_probs(texts: Sequence[Sequence[int]], output: CtcOutput, blank_id: int) -> np.ndarray:
    """Return (B,) log probabilities of texts; only the symbols in them are looked at."""
    places, columns = _of_texts(texts, output.log_probs, blank_id)
    return text_log_probs(places, columns, output.frame_lengths, columns.shape[2] - 1)


def _of_texts(
    texts: Sequence[Sequence[int]], log_probs: Tensor, blank_id: int
) -> tuple[list[list[int]], Tensor]:
    """Return the log probabilities of the symbols in some texts, and their places among these.

    The blank is the last. A large charset has many more symbols than a batch of texts.
    """
    symbols = np.unique([i for text in texts for i in text] + [blank_id])
    columns = log_probs[..., torch.from_numpy(symbols).to(log_probs.device)]
    return [np.searchsorted(symbols, text).tolist() for text in texts], columns.cpu()


def ctc_confidences(
    texts: Sequence[Sequence[int]], log_probs: Tensor, frame_lengths: Tensor, blank_id: int
) -> list[Hypothesis]:
    """Give texts their confidences under CTC; see ``text_log_probs`` for the arguments.

    A symbol's is the highest probability among its frames on the text's best alignment.
    """
    places, columns = _of_texts(texts, log_probs, blank_id)
    columns, blank_id = columns.double(), columns.shape[2] - 1
    totals = np.exp(text_log_probs(places, columns, frame_lengths, blank_id))
    peaks = symbol_peaks(places, columns.numpy(), frame_lengths.numpy(), blank_id)
    return [
        Hypothesis(tuple(text), float(total), peak)
        for text, total, peak in zip(texts, totals, peaks, strict=True)
    ]


def crnn_rate(model: Crnn, output: CtcOutput, texts: Sequence[Sequence[int]]) -> list[Hypothesis]:
    """Give a text for each picture the confidences that it has by CTC."""
    return ctc_confidences(texts, output.log_probs, output.frame_lengths, model.blank_id)


def crnn_score(
    model: Crnn,
    output: CtcOutput,
    texts: Sequence[Sequence[int]],
    ctc_weight: float,  # noqa: ARG001
) -> np.ndarray:
    """Return the log probability of a text for each picture."""
    return ctc_log_probs(texts, output, model.blank_id)


def crnn_greedy(model: Crnn, output: CtcOutput) -> list[Hypothesis]:
    """Read a batch by the best path."""
    return ctc_best_path(output, model.blank_id)


def classifier_greedy(model: Classifier, log_probs: Tensor) -> list[Hypothesis]:  # noqa: ARG001
    """Take the best symbol of each picture: (B, V) log probabilities."""
    best = log_probs.double().exp().max(1)
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [Hypothesis((symbol,), p, (p,)) for symbol, p in pairs]


def classifier_rate(
    model: Classifier,  # noqa: ARG001
    log_probs: Tensor,
    texts: Sequence[Sequence[int]],
) -> list[Hypothesis]:
    """Give a text for each picture its confidences: 0 where it is not one symbol."""
    rows = log_probs.double().exp().tolist()
    found = []
    for row, text in zip(rows, texts, strict=True):
        symbols = tuple(row[symbol] for symbol in text)
        found.append(Hypothesis(tuple(text), row[text[0]] if len(text) == 1 else 0.0, symbols))
    return found


def classifier_score(
    model: Classifier,  # noqa: ARG001
    log_probs: Tensor,
    texts: Sequence[Sequence[int]],
    ctc_weight: float,  # noqa: ARG001
) -> np.ndarray:
    """Return the log probability of a text for each picture; only one symbol has any."""
    rows = log_probs.double().cpu().numpy()
    return np.array(
        [row[t[0]] if len(t) == 1 else -np.inf for row, t in zip(rows, texts, strict=True)]
    )


def seq2seq_greedy(model: Seq2Seq, encoded: Encoded) -> list[Hypothesis]:
    """Write the best symbol at each step until the end symbol.

    A label cannot be longer than its picture has frames: that bounds runaway output.
    """
    memory, state, ids = model.start(encoded)
    limits = encoded.frame_lengths.to(ids.device)
    done = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    steps: list[Tensor] = []
    scores: list[Tensor] = []
    for i in range(int(limits.max()) + 1):
        log_probs, state = model.step(ids, state, memory)
        best = log_probs.max(1)
        ids = best.indices.masked_fill(done | (limits <= i), model.eos_id)
        steps.append(ids)
        scores.append(log_probs.gather(1, ids[:, None])[:, 0].masked_fill(done, 0.0))
        done = done | (ids == model.eos_id)
        if bool(done.all()):
            break
    all_ids, all_scores = torch.stack(steps, 1).cpu(), torch.stack(scores, 1).double().cpu()
    return [
        _until_end(row, score, model.eos_id)
        for row, score in zip(all_ids.tolist(), all_scores.tolist(), strict=True)
    ]


def seq2seq_rate(
    model: Seq2Seq, encoded: Encoded, texts: Sequence[Sequence[int]]
) -> list[Hypothesis]:
    """Give a text for each picture the confidences that it has when the decoder writes it."""
    return [
        _until_end([*text, model.eos_id], scores[: len(text) + 1].tolist(), model.eos_id)
        for text, scores in zip(texts, _step_log_probs(model, encoded, texts), strict=True)
    ]


def seq2seq_score(
    model: Seq2Seq, encoded: Encoded, texts: Sequence[Sequence[int]], ctc_weight: float
) -> np.ndarray:
    """Return the log probability of a text for each picture, and that of the CTC head, weighted."""
    steps = _step_log_probs(model, encoded, texts)
    totals = np.array(
        [scores[: len(text) + 1].sum() for text, scores in zip(texts, steps, strict=True)]
    )
    if ctc_weight == 0.0:
        return totals
    columns = CtcOutput(model.column_head(encoded.columns), encoded.frame_lengths)
    return totals + ctc_weight * ctc_log_probs(texts, columns, model.blank_id)


def _step_log_probs(model: Seq2Seq, encoded: Encoded, texts: Sequence[Sequence[int]]) -> np.ndarray:
    """Return (B, L + 1) log probabilities of the symbols and the end; behind it anything."""
    rows = [torch.tensor([*text, model.eos_id]) for text in texts]
    targets = pad_sequence(rows, batch_first=True, padding_value=model.eos_id)
    targets = targets.to(encoded.features.device)
    log_probs = model.teach(encoded, targets[:, :-1]).log_probs
    scores: np.ndarray = log_probs.gather(2, targets[..., None])[..., 0].double().cpu().numpy()
    return scores


def seq2seq_steps(model: Seq2Seq, encoded: Encoded, n_written: int) -> None:
    """Take the steps in which a decoder writes so many symbols and an end, whatever they are."""
    memory, state, ids = model.start(encoded)
    for _ in range(n_written + 1):
        log_probs, state = model.step(ids, state, memory)
        ids = log_probs.max(1).indices


def seq2seq_attention(model: Seq2Seq, encoded: Encoded, ids: Sequence[int]) -> Tensor:
    """Return where the decoder looks when it writes a label, however that was found.

    Args:
        model: one with attention.
        encoded: one picture.
        ids: L symbol ids.

    Returns:
        (L + 1, T) weights: a row for each symbol and one for the end, each at least 0 and 1 in
        all.
    """
    memory, state, begin = model.start(encoded)
    rows = []
    for symbol in [*begin.tolist(), *ids]:
        _, state = model.step(torch.full_like(begin, symbol), state, memory)
        rows.append(state[2][0, 0])
    return torch.stack(rows)


def _peaks(maxima: np.ndarray, starts: np.ndarray, runs: np.ndarray) -> tuple[float, ...]:
    firsts = np.flatnonzero(starts)
    return tuple(float(np.exp(maxima[runs == runs[i]].max())) for i in firsts)


def _until_end(ids: list[int], scores: list[float], eos_id: int) -> Hypothesis:
    length = ids.index(eos_id) if eos_id in ids else len(ids)
    confidences = np.exp(scores[: length + 1])
    symbols = tuple(float(c) for c in confidences[:length])
    return Hypothesis(tuple(ids[:length]), float(np.prod(confidences)), symbols)
