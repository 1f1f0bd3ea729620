"""Rows of items of lines."""

from __future__ import annotations

import numpy as np

from ocrsearch.models.decoding.rows import Rows


def test_rows_are_padded_and_found_again() -> None:
    rows = Rows(np.array([0, 0, 2, 2, 2, 3]), 5)
    values = np.arange(12.0).reshape(6, 2)
    padded = rows.pad(values, -1.0)
    assert padded.shape == (5, 3, 2)
    assert rows.n_places == 3
    np.testing.assert_array_equal(padded[rows.lines, rows.places], values)
    assert np.count_nonzero(padded == -1.0) == padded.size - values.size


def test_lines_without_rows() -> None:
    rows = Rows(np.zeros(0, np.int64), 3)
    assert rows.pad(np.zeros((0, 4)), 0.0).shape == (3, 0, 4)
