"""Rows of items that belong to lines, each line with as many as it has."""

from __future__ import annotations

import torch
from torch import Tensor


class Rows:
    """N rows of items of B lines, the lines one after the other.

    Attributes:
        lines: (N,) the line of each row, rising.
        places: (N,) which item of its line each row is.
    """

    def __init__(self, lines: Tensor, n_lines: int) -> None:
        counts = lines.bincount(minlength=n_lines)
        firsts = counts.cumsum(0) - counts
        self.lines = lines
        self.places = torch.arange(len(lines), device=lines.device) - firsts[lines]
        self._shape = (n_lines, int(counts.max()))

    def pad(self, values: Tensor, fill: float) -> Tensor:
        """Return the (N, ...) rows as (B, M, ...), where M is the most that a line has."""
        padded = values.new_full((*self._shape, *values.shape[1:]), fill)
        padded[self.lines, self.places] = values
        return padded
