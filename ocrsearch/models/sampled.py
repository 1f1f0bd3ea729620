"""Sampled softmax: with a large charset, a batch is trained on some of the characters only.

Each frame's probabilities need the sum over all characters. Here the characters of the batch's
labels and the blank are summed as they are, and some of the others, drawn at random for each
batch, stand for the rest: the logit of each is raised by the logarithm of how many it stands for.
So the sum is right on average (importance sampling: Bengio and Senecal, 2003; Jean et al., 2015,
arXiv:1412.2007), and time and memory do not depend on the charset.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ocrsearch.data.batches import Batch

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
