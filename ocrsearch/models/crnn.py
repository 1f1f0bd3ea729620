"""CRNN: the encoder with a CTC head (Shi, Bai and Yao, 2015, arXiv:1507.05717).

In training a second CTC head reads the columns before the RNN. It gives the convolutions a
gradient while the RNN still says nothing, and is not part of recognition. The loss computes both
heads, of a large charset for a part of the characters.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from ocrsearch.config import CrnnConfig
from ocrsearch.models.encoder import Encoded, Encoder
from ocrsearch.models.sampled import Outputs, rows_of


class CtcOutput(NamedTuple):
    """Symbol probabilities for each frame.

    Attributes:
        log_probs: (B, T, V) float32, the blank last.
        frame_lengths: (B,) int64, on the CPU.
    """

    log_probs: Tensor
    frame_lengths: Tensor


class ColumnHead(nn.Module):
    """CTC head on the encoder's columns: a convolution over three of them."""

    def __init__(self, linear_width: int, n_outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(linear_width, n_outputs, 3, padding=1)

    def forward(self, columns: Tensor, outputs: Outputs | None = None) -> Tensor:
        """Return (B, T, V) log probabilities for (B, T, linear_width) columns."""
        inputs = columns.transpose(1, 2)
        if outputs is None:
            logits = self.conv(inputs)
        else:
            logits = functional.conv1d(inputs, *rows_of(self.conv, outputs), padding=1)
        log_probs: Tensor = logits.transpose(1, 2).float().log_softmax(2)
        return log_probs


class Crnn(nn.Module):
    """Conv tower, linear, bidirectional RNN, CTC."""

    def __init__(self, config: CrnnConfig, height: int, n_symbols: int) -> None:
        super().__init__()
        self.encoder = Encoder(config.encoder, height)
        self.head = nn.Linear(self.encoder.feature_size, n_symbols + 1)
        self.column_head = ColumnHead(config.encoder.linear_width, n_symbols + 1)
        self.blank_id = n_symbols

    def forward(self, images: Tensor, widths: Tensor) -> CtcOutput:
        """Read (B, 1, H, W) float32 pictures of the given widths in pixels (on the CPU)."""
        encoded: Encoded = self.encoder(images, widths)
        return CtcOutput(self.read(encoded), encoded.frame_lengths)

    def read(self, encoded: Encoded, outputs: Outputs | None = None) -> Tensor:
        """Return the head's (B, T, V) log probabilities."""
        if outputs is None:
            logits = self.head(encoded.features)
        else:
            logits = functional.linear(encoded.features, *rows_of(self.head, outputs))
        log_probs: Tensor = logits.float().log_softmax(2)
        return log_probs
