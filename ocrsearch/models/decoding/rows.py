"""Rows of items that belong to lines: the unfinished texts of a beam search."""

from __future__ import annotations

import numpy as np

from ocrsearch.models.decoding.automata import Ints


class Rows:
    """N rows of items that belong to B lines, sorted by line: each line has any number of them.

    Attributes:
        lines: (N,) int64 line of each row, ascending.
        places: (N,) int64 position of each row among the rows of its line.
        n_lines: number of lines, B.
        n_places: largest number of rows of a line, M.
    """

    def __init__(self, lines: Ints, n_lines: int) -> None:
        counts = np.bincount(lines, minlength=n_lines)
        self.lines, self.n_lines = lines, n_lines
        self.places = np.arange(len(lines)) - (np.cumsum(counts) - counts)[lines]
        self.n_places = int(counts.max(initial=0))

    @classmethod
    def one_each(cls, n_lines: int) -> Rows:
        """Return one row for each line."""
        return cls(np.arange(n_lines), n_lines)

    def pad(self, values: np.ndarray, fill: float) -> np.ndarray:
        """Return (N, ...) rows as (B, M, ...)."""
        padded = np.full((self.n_lines, self.n_places, *values.shape[1:]), fill, values.dtype)
        padded[self.lines, self.places] = values
        return padded
