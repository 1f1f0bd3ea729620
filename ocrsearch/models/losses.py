"""Training losses of the architectures, and the flat start of CTC.

Flat start: the symbols of a label are spread evenly over the frames until the network reads.

A CTC network that has learned nothing yet answers blank in every frame, and may stay there for
many epochs. Speech recognisers begin with an even segmentation for the same reason: the flat start
of HTK (Young et al., "The HTK Book"). In the first batches the blank is made less likely as well.
Real symbols are not spaced evenly, so all of this ends as soon as the network reads.

Training losses of the architectures, for each symbol.
"""

from __future__ import annotations

import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor
from torch.nn import functional

from ocrsearch.core import FRAME_STRIDE
from ocrsearch.data import Batch
from ocrsearch.models.classifier import Classifier
from ocrsearch.models.crnn import Crnn, CtcOutput, sample_outputs
from ocrsearch.models.encoder import Encoded
from ocrsearch.models.seq2seq import Seq2Seq

EDGE_SHARE = 0.15
"""Share of a symbol's frames, at either end, that may belong to its neighbour: left out."""


BLANK_OFFSET = 3.0
"""Subtracted from the log probability of the blank in the first batch."""

BLANK_OFFSET_STEPS = 300
"""Batches in which this falls to zero."""

INK_SHARE = 0.3
"""A column holds ink if its grey levels vary by at least this share of the liveliest column's."""


def suppress_blank(log_probs: Tensor, blank_id: int, step: int) -> Tensor:
    """Return (B, T, V) log probabilities with a less likely blank.

    Args:
        log_probs: (B, T, V) float32.
        blank_id: id of the blank.
        step: number of batches trained before.
    """
    offset = BLANK_OFFSET * (1.0 - step / BLANK_OFFSET_STEPS)
    if offset <= 0:
        return log_probs
    shift = torch.zeros(log_probs.shape[2], device=log_probs.device)
    shift[blank_id] = -offset
    return (log_probs + shift).log_softmax(2)


def flat_start_loss(log_probs: Tensor, batch: Batch, blank_id: int) -> Tensor:
    """Return the mean cross-entropy of frames against evenly spread symbols.

    It does not depend on the probability of the blank: CTC decides where a symbol ends.

    Args:
        log_probs: (B, T, V) float32.
        batch: its labels; symbols without a frame of their own are left out.
        blank_id: id of the blank, the last of the V outputs.
    """
    ids = spread_evenly(batch, log_probs.shape[1]).to(log_probs.device)
    symbols = log_probs[..., :blank_id].transpose(1, 2)  # (B, V - 1, T)
    total = functional.cross_entropy(symbols, ids, ignore_index=-1, reduction="sum")
    return total / (ids >= 0).sum().clamp(min=1)


def spread_evenly(batch: Batch, n_frames: int) -> Tensor:
    """Return the symbol of each frame as (B, T) int64 ids on the CPU; -1 for no symbol."""
    targets, lengths = batch.targets.cpu(), batch.target_lengths.cpu()[:, None]
    begins, ends = (edges[:, None] for edges in ink_span(batch))
    frames = torch.arange(n_frames) + 0.5
    places = (frames - begins) * lengths / (ends - begins)  # in symbols from the first
    index, share = places.floor().long(), places - places.floor()
    inside = (index >= 0) & (index < lengths)
    has_symbol = inside & (share >= EDGE_SHARE) & (share <= 1 - EDGE_SHARE)
    ids = targets.gather(1, index.clamp(0, targets.shape[1] - 1))
    return torch.where(has_symbol, ids, -1)


def ink_span(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the first frame with ink and the frame behind the last, as (B,) int64 on the CPU.

    Where there is less ink than the label needs, the span is the whole line.
    """
    n_frames = batch.widths // FRAME_STRIDE
    variation = batch.images[:, 0].std(1).cpu()  # (B, W)
    frames = variation.unfold(1, FRAME_STRIDE, FRAME_STRIDE).amax(2)
    ids = torch.arange(frames.shape[1])
    frames = frames.masked_fill(ids >= n_frames[:, None], 0.0)
    has_ink = frames >= INK_SHARE * frames.amax(1, keepdim=True).clamp(min=1e-6)
    begins = torch.where(has_ink, ids, len(ids)).amin(1)
    ends = torch.where(has_ink, ids + 1, 0).amax(1)
    too_little = ends - begins < batch.target_lengths.cpu()
    return torch.where(too_little, 0, begins), torch.where(too_little, n_frames, ends)


def best_path_error(log_probs: Tensor, batch: Batch, blank_id: int) -> float:
    """Return the character error rate of the best paths of a batch; see ``flat_start_loss``."""
    paths = log_probs.detach().argmax(2).cpu()
    n_frames = (batch.widths // FRAME_STRIDE).tolist()
    lengths = batch.target_lengths.tolist()
    n_edits = 0
    for i, (path, target) in enumerate(zip(paths, batch.targets.cpu(), strict=True)):
        ids = torch.unique_consecutive(path[: n_frames[i]])
        n_edits += Levenshtein.distance(
            ids[ids != blank_id].tolist(), target[: lengths[i]].tolist()
        )
    return float(n_edits / max(1, sum(lengths)))


COLUMN_HEAD_WEIGHT = 0.3
"""Weight of the CTC loss on the columns before the RNN."""

SAMPLING_STEPS = 500
"""Batches over which the share of own readings rises: at first they are nothing to go on from."""


def ctc_loss(log_probs: Tensor, batch: Batch, blank_id: int) -> Tensor:
    """Return the CTC loss per symbol of each line, as the mean over the lines.

    Args:
        log_probs: (B, T, V) float32.
        batch: its labels; one that does not fit its frames counts as zero, not as infinite.
        blank_id: the id of the blank.
    """
    return functional.ctc_loss(
        log_probs.transpose(0, 1),
        batch.targets,
        batch.widths // FRAME_STRIDE,
        batch.target_lengths.cpu(),
        blank=blank_id,
        zero_infinity=True,
    )


def _aligning_loss(log_probs: Tensor, batch: Batch, step: int, *, flat: bool) -> Tensor:
    """Return the CTC loss; in the flat start with a less likely blank and evenly spread symbols."""
    blank_id = log_probs.shape[2] - 1
    if not flat:
        return ctc_loss(log_probs, batch, blank_id)
    ctc = ctc_loss(suppress_blank(log_probs, blank_id, step), batch, blank_id)
    return ctc + flat_start_loss(log_probs, batch, blank_id)


def crnn_loss(
    model: Crnn, output: CtcOutput | Encoded, batch: Batch, step: int, *, flat: bool = False
) -> Tensor:
    """CTC; in training of both heads, which are computed here."""
    if isinstance(output, CtcOutput):
        return ctc_loss(output.log_probs, batch, model.blank_id)
    batch, outputs = sample_outputs(batch, model.blank_id)
    main = _aligning_loss(model.read(output, outputs), batch, step, flat=flat)
    aux = _aligning_loss(model.column_head(output.columns, outputs), batch, step, flat=flat)
    return main + COLUMN_HEAD_WEIGHT * aux


def seq2seq_loss(
    model: Seq2Seq, encoded: Encoded, batch: Batch, step: int, *, flat: bool = False
) -> Tensor:
    """Cross-entropy of each symbol and the end, and in training CTC of the encoder.

    In training the share of own readings rises in a straight line: it follows from the batch's
    number alone, so that a training that was stopped goes on with the same.
    """
    sampling = model.sampling * min(1.0, step / SAMPLING_STEPS) if model.training else 0.0
    output = model.teach(encoded, batch.targets, sampling)
    positions = torch.arange(output.log_probs.shape[1], device=batch.targets.device)
    lengths = batch.target_lengths[:, None]
    targets = functional.pad(batch.targets, (0, 1))  # (B, L + 1)
    targets = torch.where(positions == lengths, model.eos_id, targets)
    targets = targets.masked_fill(positions > lengths, -100)
    loss = functional.nll_loss(output.log_probs.flatten(0, 1), targets.flatten())
    if not model.training or model.ctc_weight == 0.0:
        return loss
    batch, outputs = sample_outputs(batch, model.blank_id)
    ctc = _aligning_loss(model.column_head(encoded.columns, outputs), batch, step, flat=flat)
    return loss + model.ctc_weight * ctc


def classifier_loss(
    model: Classifier,  # noqa: ARG001
    log_probs: Tensor,
    batch: Batch,
    step: int,  # noqa: ARG001
    *,
    flat: bool = False,  # noqa: ARG001
) -> Tensor:
    """Cross-entropy of the symbol; labels of more than one, which are few, are left out.

    Args:
        model: gave the log probabilities.
        log_probs: (B, V) float32.
        batch: its labels.
        step: has no effect.
        flat: has no effect.
    """
    single = batch.target_lengths == 1
    losses = functional.nll_loss(log_probs, batch.targets[:, 0], reduction="none")
    return losses.where(single, 0.0).sum() / single.sum().clamp(min=1)
