"""Dropout that draws its randomness in bulk.

On a CPU PyTorch draws a number for each value, which takes longer than all else about dropout;
here eight values share the 64 bits of one draw.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STEPS = 256
"""A byte decides about a value, so the share that is dropped is a multiple of 1 / STEPS."""


class Dropout(nn.Module):
    """Set values to zero at random in training and raise the others, so that the mean stays."""

    def __init__(self, p: float) -> None:
        """Drop the share ``p``, below 1; on a CPU the nearest multiple of 1 / 256 below 1."""
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of any shape, in evaluation as it is."""
        if x.device.type != "cpu" or not self.training:
            return nn.functional.dropout(x, self.p, self.training)
        n_dropped = min(round(self.p * STEPS), STEPS - 1)
        if n_dropped == 0:
            return x
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        bytes_ = draws.view(torch.uint8)[: x.numel()].view(x.shape)
        return x * ((bytes_ >= n_dropped) * (STEPS / (STEPS - n_dropped))).to(x.dtype)

    def extra_repr(self) -> str:
        """Name the share."""
        return f"p={self.p}"
