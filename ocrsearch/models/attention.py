"""Attention: which frames a decoder reads at each step.

Additive attention follows Bahdanau, Cho and Bengio, 2014 (arXiv:1409.0473). Location-aware
attention adds what was read so far: convolutions over the weights of the last step (Chorowski
et al., 2015, arXiv:1506.07503) and over the sum of all steps (as in Tacotron 2, Shen et al.,
2017, arXiv:1712.05884), which tells a symbol that was read from its like further on. Nothing is
read before the first step, so all these weights begin as zeros: one on the first frame would
say that it was.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ocrsearch.models.layers import LOCATION_FILTERS, LOCATION_WIDTH
from ocrsearch.models.rows import Rows


class Memory(NamedTuple):
    """The encoded pictures as the decoder reads them.

    Attributes:
        values: (B, T, D) with attention, (B, 1, D) without.
        keys: (B, T, hidden_size) projected values; unused without attention.
        mask: (B, T) bool, True where a frame belongs to the picture.
        rows: of N decoders, perhaps several for a picture; keys and mask are then those of the
            rows, the values still those of the pictures. None: a decoder for each picture.
    """

    values: Tensor
    keys: Tensor
    mask: Tensor
    rows: Rows | None = None

    def for_rows(self, rows: Rows) -> Memory:
        """Return what rows of decoders read of these pictures."""
        return Memory(self.values, self.keys[rows.lines], self.mask[rows.lines], rows)

    def read(self, weights: Tensor) -> Tensor:
        """Return the (N, D) means of the values under (N, T) weights."""
        if self.rows is None:
            return torch.bmm(weights[:, None], self.values)[:, 0]
        means = torch.bmm(self.rows.pad(weights, 0.0), self.values)
        return means[self.rows.lines, self.rows.places]


class AdditiveAttention(nn.Module):
    """Weights the frames by ``v . tanh(W query + U frame)``."""

    n_past = 1
    """Rows of weights in the decoder's state: those of the last step."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_size, hidden_size)
        self.score = nn.Linear(hidden_size, 1, bias=False)

    def forward(self, hidden: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Read the frames that a hidden state asks for; B are the rows where the memory has some.

        Args:
            hidden: (B, hidden_size).
            past: (B, n_past, T), what it returned at the step before, at first zeros.
            memory: what is read.

        Returns:
            The context (B, D), and the new past, its first row the weights of this step: at
            least 0, 1 in all for each picture, 0 in its padding.
        """
        weights = self._weights(self.query(hidden)[:, None] + memory.keys, memory)
        return memory.read(weights), weights[:, None]

    def _weights(self, sums: Tensor, memory: Memory) -> Tensor:
        """Return (B, T) weights for the (B, T, hidden_size) sums, which are overwritten.

        ``tanh(x)`` is ``2 sigmoid(2 x) - 1``, and what is the same for all frames changes no
        weight; a sigmoid is computed in a tenth of the time.
        """
        energies: Tensor = 2.0 * self.score(sums.mul_(2.0).sigmoid_())[..., 0]
        return energies.masked_fill(~memory.mask, float("-inf")).softmax(1)


class LocationAttention(AdditiveAttention):
    """Adds a term for the weights so far: ``v . tanh(W query + U frame + P (filters * past))``."""

    n_past = 2
    """The weights of the last step, and the sum of those of all steps."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size)
        self.filters = nn.Conv1d(
            self.n_past, LOCATION_FILTERS, LOCATION_WIDTH, padding=LOCATION_WIDTH // 2, bias=False
        )
        self.location = nn.Linear(LOCATION_FILTERS, hidden_size, bias=False)

    def forward(self, hidden: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Do as additive attention does, with the past in view."""
        located = self.location(self.filters(past).transpose(1, 2))  # (B, T, hidden_size)
        sums = located.add_(self.query(hidden)[:, None]).add_(memory.keys)  # in place: a sixth less
        weights = self._weights(sums, memory)
        return memory.read(weights), torch.stack([weights, past[:, 1] + weights], dim=1)


class LastState(nn.Module):
    """No attention: the context is the same at every step."""

    n_past = 1

    def forward(self, hidden: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Return the one value (B, D) in memory, and the past as it is."""
        values = memory.values[:, 0]
        return (values if memory.rows is None else values[memory.rows.lines]), past


ATTENTIONS: dict[str, type[AdditiveAttention]] = {
    "additive": AdditiveAttention,
    "location": LocationAttention,
}
"""The kinds of attention; without any there is ``LastState``."""
