"""Classifier: the conv tower and linear layers, which read one symbol in each image.

The feature columns are averaged into a fixed number of bins across each image's own width. So
images of any width have features of one size, which still distinguish left from right.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from typing_extensions import override

from ocrsearch.core import FRAME_STRIDE, ClassifierConfig
from ocrsearch.data import Batch
from ocrsearch.models.decoding import SymbolReadout
from ocrsearch.models.encoder import ConvTower, Dropout
from ocrsearch.models.layers import N_BINS
from ocrsearch.models.recogniser import Recogniser


def bin_weights(frame_lengths: Tensor, n_frames: int) -> Tensor:
    """Return the weight of each feature column in each bin, as in adaptive average pooling.

    Args:
        frame_lengths: (B,) int64, at least 1.
        n_frames: number of columns of the padded batch.

    Returns:
        (B, N_BINS, n_frames) float32; the weights of a bin sum to 1.
    """
    bins, lengths = torch.arange(N_BINS), frame_lengths[:, None]
    starts, ends = bins * lengths // N_BINS, -(-(bins + 1) * lengths // N_BINS)  # (B, N_BINS)
    frames = torch.arange(n_frames)
    within = (frames >= starts[..., None]) & (frames < ends[..., None])
    return within / (ends - starts)[..., None]


class Classifier(Recogniser[Tensor]):
    """Conv tower, bins across the width, linear layer, one symbol.

    The output is (B, V) float32 log probabilities, without a blank.
    """

    def __init__(self, config: ClassifierConfig, height: int, n_symbols: int) -> None:
        super().__init__(config, height, n_symbols)
        width = config.encoder.linear_width
        self.tower = ConvTower(config.encoder, height)
        self.linear = nn.Linear(N_BINS * self.tower.column_size, width, bias=False)
        self.norm = nn.LayerNorm(width)  # not a batch norm: a batch may have one image
        self.dropout = Dropout(config.encoder.dropout)
        self.head = nn.Linear(width, n_symbols)

    def forward(self, images: Tensor, widths: Tensor) -> Tensor:
        """Return (B, V) log probabilities; the arguments are those of ``encode``."""
        columns = self.tower(images, widths)  # (B, T, C * H)
        weights = bin_weights(widths // FRAME_STRIDE, columns.shape[1]).to(columns)
        features = torch.bmm(weights, columns).flatten(1)  # (B, N_BINS * C * H)
        features = self.dropout(torch.relu(self.norm(self.linear(features))))
        return self.head(features).float().log_softmax(1)  # type: ignore[no-any-return]

    @override
    def encode(self, images: Tensor, widths: Tensor) -> Tensor:
        output: Tensor = self(images, widths)
        return output

    @override
    def loss(self, output: Tensor, batch: Batch, step: int, *, flat: bool = False) -> Tensor:
        """Return the cross-entropy of the symbol; the few longer labels are ignored."""
        single = batch.target_lengths == 1
        losses = functional.nll_loss(output, batch.targets[:, 0], reduction="none")
        return losses.where(single, 0.0).sum() / single.sum().clamp(min=1)

    @override
    def readout(self, output: Tensor) -> SymbolReadout:
        return SymbolReadout(output.detach().cpu().numpy())
