"""Average of the weights over an epoch.

With a constant learning rate the weights move around a minimum. Their mean is closer to it, about
as if the learning rate had decayed (Izmailov et al., 2018, "Averaging Weights Leads to Wider Optima
and Better Generalization").
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class WeightAverage:
    """Mean of the weights and norm statistics of a network after each batch."""

    def __init__(self, network: nn.Module) -> None:
        """Begin without any weights.

        Args:
            network: network whose weights are averaged.
        """
        self._network = network
        self.clear()

    def clear(self) -> None:
        """Forget all weights."""
        tensors = [*self._network.parameters(), *self._network.buffers()]
        self._tensors = [tensor.detach() for tensor in tensors if tensor.is_floating_point()]
        self._sums: list[torch.Tensor] = []
        self._n = 0

    def add(self) -> None:
        """Add the present weights."""
        if self._n:
            torch._foreach_add_(self._sums, self._tensors)
        else:
            self._sums = [tensor.clone() for tensor in self._tensors]
        self._n += 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the mean in place of the weights; without any weights, change nothing."""
        if not self._n:
            yield
            return
        own = [tensor.clone() for tensor in self._tensors]
        torch._foreach_copy_(self._tensors, torch._foreach_div(self._sums, self._n))
        try:
            yield
        finally:
            torch._foreach_copy_(self._tensors, own)
