"""Rows of items of lines."""

from __future__ import annotations

import torch

from ocrsearch.models.attention import Rows


def test_rows_are_padded_and_found_again() -> None:
    rows = Rows(torch.tensor([0, 0, 2, 2, 2, 3]), 5)
    values = torch.arange(12.0).view(6, 2)
    padded = rows.pad(values, -1.0)
    assert padded.shape == (5, 3, 2)
    assert torch.equal(padded[rows.lines, rows.places], values)
    assert int((padded == -1.0).sum()) == padded.numel() - values.numel()


def test_lines_without_rows() -> None:
    rows = Rows(torch.zeros(0, dtype=torch.int64), 3)
    assert rows.pad(torch.zeros(0, 4), 0.0).shape == (3, 0, 4)
