"""Training losses of the architectures, for each symbol."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ocrsearch.config import FRAME_STRIDE
from ocrsearch.data.batches import Batch
from ocrsearch.models.classifier import Classifier
from ocrsearch.models.crnn import Crnn, CtcOutput
from ocrsearch.models.encoder import Encoded
from ocrsearch.models.flat_start import flat_start_loss, suppress_blank
from ocrsearch.models.sampled import sample_outputs
from ocrsearch.models.seq2seq import Seq2Seq

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
