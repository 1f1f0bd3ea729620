"""CTC output heads, which train on a sample of a large charset.

The probabilities at a time step need the sum over all characters. In training, the characters of
the batch's labels and the blank are summed exactly. A random sample of the others, drawn for each
batch, represents the rest: each logit is raised by the logarithm of the number of characters it
represents. The expected sum is exact (importance sampling: Bengio and Senecal, 2003; Jean et al.,
2015, arXiv:1412.2007), and time and memory do not depend on the charset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from ocrsearch.data import Batch

MAX_EXACT = 512
"""Largest charset whose characters are all computed; of a larger one, about this number."""

MIN_OTHERS = 256
"""Smallest sample of the characters that no label of the batch has."""


@dataclass(frozen=True)
class Outputs:
    """A selection of the outputs of a CTC head.

    Attributes:
        ids: (n,) int64, ascending, the blank last.
        shifts: (n,) float32, added to their logits.
    """

    ids: Tensor
    shifts: Tensor


def sample_outputs(batch: Batch, blank_id: int) -> tuple[Batch, Outputs | None]:
    """Choose the outputs to train on for a batch.

    Draws from the global random state of the CPU, as dropout does, unless all are chosen.

    Args:
        batch: images and labels.
        blank_id: id of the blank, which follows all symbols.

    Returns:
        The batch, its targets as positions in the outputs, and the outputs; None for all.
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
    """Return weight and bias of the selected outputs of a head, the bias with their shifts."""
    assert layer.bias is not None
    ids = outputs.ids
    return layer.weight.index_select(0, ids), layer.bias.index_select(0, ids) + outputs.shifts


class ColumnHead(nn.Module):
    """CTC head on the encoder's feature columns: a convolution over three columns."""

    def __init__(self, linear_width: int, n_outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(linear_width, n_outputs, 3, padding=1)

    def forward(self, columns: Tensor, outputs: Outputs | None = None) -> Tensor:
        """Return (B, T, V) log probabilities.

        Args:
            columns: (B, T, linear_width) feature columns.
            outputs: selection of V outputs; None for all.
        """
        inputs = columns.transpose(1, 2)
        if outputs is None:
            logits = self.conv(inputs)
        else:
            logits = functional.conv1d(inputs, *rows_of(self.conv, outputs), padding=1)
        log_probs: Tensor = logits.transpose(1, 2).float().log_softmax(2)
        return log_probs
