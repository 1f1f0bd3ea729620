"""The classifier's bins across the width."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from ocrsearch.models.classifier import bin_weights
from ocrsearch.models.layers import N_BINS


@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("n_frames", [1, 2, 3, 4, 5, 7, 8, 9, 100])
def test_bins_are_adaptive_average_pooling(n_frames: int, padding: int) -> None:
    columns = torch.randn(1, n_frames + padding, 5, generator=torch.Generator().manual_seed(0))
    columns = columns.double()
    weights = bin_weights(torch.tensor([n_frames]), n_frames + padding)
    own = columns[:, :n_frames].transpose(1, 2)
    expected = functional.adaptive_avg_pool1d(own, N_BINS).transpose(1, 2)
    found = torch.bmm(weights.double(), columns)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_each_picture_has_bins_of_its_own_width() -> None:
    together = bin_weights(torch.tensor([2, 9, 4]), 9)
    for row, n_frames in zip(together, (2, 9, 4), strict=True):
        torch.testing.assert_close(row, bin_weights(torch.tensor([n_frames]), 9)[0])
        assert row[:, n_frames:].sum() == 0
    torch.testing.assert_close(together.sum(2), torch.ones(3, N_BINS))
