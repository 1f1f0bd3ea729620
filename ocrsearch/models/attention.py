"""Attention: the weights with which a decoder reads the time steps of an encoded image.

Additive attention is that of Bahdanau, Cho and Bengio, 2014 (arXiv:1409.0473). Location-aware
attention adds convolutions over the weights of the last step (Chorowski et al., 2015,
arXiv:1506.07503) and over the sum of all steps (Tacotron 2: Shen et al., 2017, arXiv:1712.05884),
which distinguishes a symbol that was read from an equal symbol further on.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from typing_extensions import override

from ocrsearch.models.decoding import Rows
from ocrsearch.models.layers import LOCATION_FILTERS, LOCATION_WIDTH


class Memory(NamedTuple):
    """The encoded images as a decoder reads them.

    Attributes:
        values: (B, T, D) with attention, (B, 1, D) without.
        keys: (B, T, hidden_size) projected values; unused without attention.
        mask: (B, T) bool, True for the time steps of the image, False for its padding.
        lines: (N,) image of each row, if N decoders read the images, with several for an image;
            keys and mask are then (N, T, ...), the values still (B, T, D). None for one decoder
            for each image.
        places: (N,) position of each row among the rows of its image, or None.
        n_places: largest number of rows of an image.
    """

    values: Tensor
    keys: Tensor
    mask: Tensor
    lines: Tensor | None = None
    places: Tensor | None = None
    n_places: int = 1

    def for_rows(self, rows: Rows) -> Memory:
        """Return the memory of N decoders that read these images."""
        lines, places = (
            torch.from_numpy(ids).to(self.values.device) for ids in (rows.lines, rows.places)
        )
        return Memory(self.values, self.keys[lines], self.mask[lines], lines, places, rows.n_places)

    def read(self, weights: Tensor) -> Tensor:
        """Return the (N, D) means of the values under (N, T) weights."""
        if self.lines is None:
            return torch.bmm(weights[:, None], self.values)[:, 0]
        padded = weights.new_zeros((len(self.values), self.n_places, weights.shape[1]))
        padded[self.lines, self.places] = weights
        return torch.bmm(padded, self.values)[self.lines, self.places]


State = tuple[Tensor, Tensor, Tensor]
"""State of a decoder: hidden state and cell state, (B, hidden_size) each, and the past of its
attention, (B, n_past, T), whose first row are the weights of the last step.

A GRU does not change the cell state. In a beam search the first dimension is N texts instead of B.
"""


class AdditiveAttention(nn.Module):
    """Weights the time steps by ``v . tanh(W query + U frame)``."""

    n_past = 1
    """Number of rows of the past: the weights of the last step."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.query = nn.Linear(hidden_size, hidden_size)
        self.score = nn.Linear(hidden_size, 1, bias=False)

    @override
    def forward(self, hidden: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Read the memory for a hidden state.

        Args:
            hidden: (B, hidden_size); B is the number of rows if the memory has rows.
            past: (B, n_past, T), the past that the last step returned; zeros before the first
                step, since a weight of 1 on the first time step would mean that it was read.
            memory: encoded images.

        Returns:
            The context (B, D), and the new past, whose first row are the weights of this step:
            at least 0, with a sum of 1 for each image, and 0 in its padding.
        """
        weights = self._weights(self.query(hidden)[:, None] + memory.keys, memory)
        return memory.read(weights), weights[:, None]

    def _weights(self, sums: Tensor, memory: Memory) -> Tensor:
        """Return (B, T) weights for the (B, T, hidden_size) sums, which are overwritten.

        ``tanh(x)`` is ``2 sigmoid(2 x) - 1``, and a constant added to all energies does not
        change the softmax. A sigmoid takes a tenth of the time.
        """
        energies: Tensor = 2.0 * self.score(sums.mul_(2.0).sigmoid_())[..., 0]
        return energies.masked_fill(~memory.mask, float("-inf")).softmax(1)


class LocationAttention(AdditiveAttention):
    """Adds a term for the weights so far: ``v . tanh(W query + U frame + P (filters * past))``."""

    n_past = 2
    """The weights of the last step, and the sum of the weights of all steps."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__(hidden_size)
        self.filters = nn.Conv1d(
            self.n_past, LOCATION_FILTERS, LOCATION_WIDTH, padding=LOCATION_WIDTH // 2, bias=False
        )
        self.location = nn.Linear(LOCATION_FILTERS, hidden_size, bias=False)

    @override
    def forward(self, hidden: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Read the memory as additive attention does, given the past."""
        located = self.location(self.filters(past).transpose(1, 2))  # (B, T, hidden_size)
        sums = located.add_(self.query(hidden)[:, None]).add_(memory.keys)  # in place: 1/6 faster
        weights = self._weights(sums, memory)
        return memory.read(weights), torch.stack([weights, past[:, 1] + weights], dim=1)


class LastState(nn.Module):
    """No attention: the context is the same at every step."""

    n_past = 1

    @override
    def forward(self, hidden: Tensor, past: Tensor, memory: Memory) -> tuple[Tensor, Tensor]:
        """Return the single value (B, D) in memory, and the past unchanged."""
        values = memory.values[:, 0]
        return (values if memory.lines is None else values[memory.lines]), past


ATTENTIONS: dict[str, type[AdditiveAttention]] = {
    "additive": AdditiveAttention,
    "location_aware": LocationAttention,
}
"""The kinds of attention; a decoder without attention has ``LastState``."""
