"""CRNN: the encoder with a CTC head (Shi, Bai and Yao, 2015, arXiv:1507.05717).

Sampled softmax: with a large charset, a batch is trained on some of the characters only.

Each frame's probabilities need the sum over all characters. Here the characters of the batch's
labels and the blank are summed as they are, and some of the others, drawn at random for each
batch, stand for the rest: the logit of each is raised by the logarithm of how many it stands for.
So the sum is right on average (importance sampling: Bengio and Senecal, 2003; Jean et al., 2015,
arXiv:1412.2007), and time and memory do not depend on the charset.

CRNN: the encoder with a CTC head (Shi, Bai and Yao, 2015, arXiv:1507.05717).

In training a second CTC head reads the columns before the RNN. It gives the convolutions a
gradient while the RNN still says nothing, and is not part of recognition. The loss computes both
heads, of a large charset for a part of the characters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ocrsearch.core import CrnnConfig
from ocrsearch.data import Batch
from ocrsearch.models.encoder import Encoded, Encoder

MAX_EXACT = 512
"""Characters up to which all are computed; of more, about as many."""

MIN_OTHERS = 256
"""Other characters beside those of the labels, at the least."""


@dataclass(frozen=True)
class Outputs:
    """Outputs of a CTC head.

    Attributes:
        ids: (n,) int64, rising, the blank last.
        shifts: (n,) float32, added to their logits.
    """

    ids: Tensor
    shifts: Tensor


def sample_outputs(batch: Batch, blank_id: int) -> tuple[Batch, Outputs | None]:
    """Choose the outputs that a batch is trained on.

    Draws from the global random state of the CPU, as dropout does, unless all are chosen.

    Args:
        batch: pictures and labels.
        blank_id: the id of the blank, behind all symbols.

    Returns:
        The batch with its targets numbered as the outputs are, and the outputs; None for all.
    """
    if blank_id <= MAX_EXACT:
        return batch, None
    device = batch.targets.device
    positions = torch.arange(batch.targets.shape[1], device=device)
    inside = positions < batch.target_lengths[:, None]
    is_chosen = torch.zeros(blank_id + 1, dtype=torch.bool, device=device)
    is_chosen[batch.targets[inside]] = True
    is_chosen[blank_id] = True
    others = (~is_chosen).nonzero().squeeze(1)
    n_drawn = max(MIN_OTHERS, MAX_EXACT - (blank_id + 1 - len(others)))
    drawn = others[torch.randperm(len(others))[:n_drawn].to(device)]
    shifts = torch.zeros(blank_id + 1, device=device)
    shifts[drawn] = math.log(max(1, len(others)) / max(1, len(drawn)))
    is_chosen[drawn] = True
    ids = is_chosen.nonzero().squeeze(1)
    targets = torch.searchsorted(ids, batch.targets.masked_fill(~inside, 0))
    return replace(batch, targets=targets), Outputs(ids, shifts[ids])


def rows_of(layer: nn.Linear | nn.Conv1d, outputs: Outputs) -> tuple[Tensor, Tensor]:
    """Return weight and bias of some outputs of a head, the bias with their shifts."""
    assert layer.bias is not None
    ids = outputs.ids
    return layer.weight.index_select(0, ids), layer.bias.index_select(0, ids) + outputs.shifts


class CtcOutput(NamedTuple):
    """Symbol probabilities for each frame.

    Attributes:
        log_probs: (B, T, V) float32, the blank last.
        frame_lengths: (B,) int64, on the CPU.
    """

    log_probs: Tensor
    frame_lengths: Tensor


class ColumnHead(nn.Module):
    """CTC head on the encoder's columns: a convolution over three of them."""

    def __init__(self, linear_width: int, n_outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(linear_width, n_outputs, 3, padding=1)

    def forward(self, columns: Tensor, outputs: Outputs | None = None) -> Tensor:
        """Return (B, T, V) log probabilities for (B, T, linear_width) columns."""
        inputs = columns.transpose(1, 2)
        if outputs is None:
            logits = self.conv(inputs)
        else:
            logits = functional.conv1d(inputs, *rows_of(self.conv, outputs), padding=1)
        log_probs: Tensor = logits.transpose(1, 2).float().log_softmax(2)
        return log_probs


class Crnn(nn.Module):
    """Conv tower, linear, bidirectional RNN, CTC."""

    def __init__(self, config: CrnnConfig, height: int, n_symbols: int) -> None:
        super().__init__()
        self.encoder = Encoder(config.encoder, height)
        self.head = nn.Linear(self.encoder.feature_size, n_symbols + 1)
        self.column_head = ColumnHead(config.encoder.linear_width, n_symbols + 1)
        self.blank_id = n_symbols

    def forward(self, images: Tensor, widths: Tensor) -> CtcOutput:
        """Read (B, 1, H, W) float32 pictures of the given widths in pixels (on the CPU)."""
        encoded: Encoded = self.encoder(images, widths)
        return CtcOutput(self.read(encoded), encoded.frame_lengths)

    def read(self, encoded: Encoded, outputs: Outputs | None = None) -> Tensor:
        """Return the head's (B, T, V) log probabilities."""
        if outputs is None:
            logits = self.head(encoded.features)
        else:
            logits = functional.linear(encoded.features, *rows_of(self.head, outputs))
        log_probs: Tensor = logits.float().log_softmax(2)
        return log_probs
