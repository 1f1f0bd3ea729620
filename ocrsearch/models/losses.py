"""Training losses of the architectures, for each symbol.

In the first batches the blank is made less likely, by an offset that falls to nothing: a CTC
network that answers blank everywhere is on the plateau, and this keeps it from going there.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ocrsearch.config import FRAME_STRIDE
from ocrsearch.data.batches import Batch
from ocrsearch.models.classifier import Classifier
from ocrsearch.models.crnn import Crnn, CtcOutput
from ocrsearch.models.encoder import Encoded
from ocrsearch.models.seq2seq import Seq2Seq

COLUMN_HEAD_WEIGHT = 0.3
"""Weight of the CTC loss on the columns before the RNN."""

BLANK_OFFSET = 3.0
"""What is taken from the blank's log probability at the first batch."""

BLANK_OFFSET_STEPS = 300
"""Batches over which it falls to zero."""

SAMPLING_STEPS = 500
"""Batches over which the share of own readings rises: at first they are nothing to go on from."""


def suppress_blank(log_probs: Tensor, blank_id: int, step: int) -> Tensor:
    """Return (B, T, V) log probabilities as they enter the loss at a batch, counted from 0."""
    offset = BLANK_OFFSET * (1.0 - step / BLANK_OFFSET_STEPS)
    if offset <= 0:
        return log_probs
    shift = torch.zeros(log_probs.shape[2], device=log_probs.device)
    shift[blank_id] = -offset
    return (log_probs + shift).log_softmax(2)


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


def crnn_loss(model: Crnn, output: CtcOutput, batch: Batch, step: int) -> Tensor:
    """CTC, and in training CTC of the columns before the RNN."""
    if output.aux_log_probs is None:
        return ctc_loss(output.log_probs, batch, model.blank_id)
    main, aux = (
        ctc_loss(suppress_blank(log_probs, model.blank_id, step), batch, model.blank_id)
        for log_probs in (output.log_probs, output.aux_log_probs)
    )
    return main + COLUMN_HEAD_WEIGHT * aux


def seq2seq_loss(model: Seq2Seq, encoded: Encoded, batch: Batch, step: int) -> Tensor:
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
    if output.ctc_log_probs is None or model.ctc_weight == 0.0:
        return loss
    log_probs = suppress_blank(output.ctc_log_probs, model.blank_id, step)
    return loss + model.ctc_weight * ctc_loss(log_probs, batch, model.blank_id)


def classifier_loss(
    model: Classifier,  # noqa: ARG001
    log_probs: Tensor,
    batch: Batch,
    step: int,  # noqa: ARG001
) -> Tensor:
    """Cross-entropy of the symbol; labels of more than one, which are few, are left out.

    Args:
        model: gave the log probabilities.
        log_probs: (B, V) float32.
        batch: its labels.
        step: has no effect.
    """
    single = batch.target_lengths == 1
    losses = functional.nll_loss(log_probs, batch.targets[:, 0], reduction="none")
    return losses.where(single, 0.0).sum() / single.sum().clamp(min=1)
