"""Classifier: the conv tower and linear layers, one symbol a picture.

The columns of the feature map are averaged into a fixed number of bins across each picture's
own width, so that pictures of any width have features of one size that still tell left from
right.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ocrsearch.core import FRAME_STRIDE, ClassifierConfig
from ocrsearch.models.encoder import ConvTower, Dropout
from ocrsearch.models.layers import N_BINS


def bin_weights(frame_lengths: Tensor, n_frames: int) -> Tensor:
    """Return the share of each frame in each bin, as PyTorch's adaptive average pooling has it.

    Args:
        frame_lengths: (B,) int64, at least 1.
        n_frames: of the padded batch.

    Returns:
        (B, N_BINS, n_frames) float32; each bin's shares add up to 1.
    """
    bins, lengths = torch.arange(N_BINS), frame_lengths[:, None]
    starts, ends = bins * lengths // N_BINS, -(-(bins + 1) * lengths // N_BINS)  # (B, N_BINS)
    frames = torch.arange(n_frames)
    within = (frames >= starts[..., None]) & (frames < ends[..., None])
    return within / (ends - starts)[..., None]


class Classifier(nn.Module):
    """Conv tower, bins across the width, linear, one symbol."""

    def __init__(self, config: ClassifierConfig, height: int, n_symbols: int) -> None:
        super().__init__()
        width = config.encoder.linear_width
        self.tower = ConvTower(config.encoder, height)
        self.linear = nn.Linear(N_BINS * self.tower.column_size, width, bias=False)
        self.norm = nn.LayerNorm(width)  # a batch may be of one picture
        self.dropout = Dropout(config.encoder.dropout)
        self.head = nn.Linear(width, n_symbols)

    def forward(self, images: Tensor, widths: Tensor) -> Tensor:
        """Return (B, V) log probabilities of (B, 1, H, W) pictures of widths in pixels."""
        columns = self.tower(images, widths)  # (B, T, C * H)
        weights = bin_weights(widths // FRAME_STRIDE, columns.shape[1]).to(columns)
        features = torch.bmm(weights, columns).flatten(1)  # (B, N_BINS * C * H)
        features = self.dropout(torch.relu(self.norm(self.linear(features))))
        return self.head(features).float().log_softmax(1)  # type: ignore[no-any-return]
