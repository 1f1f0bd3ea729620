"""CRNN: the encoder with a CTC head (Shi, Bai and Yao, 2015, arXiv:1507.05717).

In training a second CTC head reads the columns before the RNN. It gives the convolutions a
gradient while the RNN still says nothing, and is not part of recognition.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from ocrsearch.config import CrnnConfig
from ocrsearch.models.encoder import Encoder


class CtcOutput(NamedTuple):
    """Symbol probabilities for each frame.

    Attributes:
        log_probs: (B, T, V) float32, the blank last.
        frame_lengths: (B,) int64, on the CPU.
        aux_log_probs: (B, T, V) from the columns before the RNN; None outside training.
    """

    log_probs: Tensor
    frame_lengths: Tensor
    aux_log_probs: Tensor | None


class ColumnHead(nn.Module):
    """CTC head on the encoder's columns: a convolution over three of them."""

    def __init__(self, linear_width: int, n_outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(linear_width, n_outputs, 3, padding=1)

    def forward(self, columns: Tensor) -> Tensor:
        """Return (B, T, V) log probabilities for (B, T, linear_width) columns."""
        logits: Tensor = self.conv(columns.transpose(1, 2)).transpose(1, 2)
        return logits.float().log_softmax(2)


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
        encoded = self.encoder(images, widths)
        log_probs = self.head(encoded.features).float().log_softmax(2)
        aux = self.column_head(encoded.columns) if self.training else None
        return CtcOutput(log_probs, encoded.frame_lengths, aux)
