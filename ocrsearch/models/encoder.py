"""The encoder that the architectures share: conv tower, linear layer, bidirectional RNN.

The conv tower turns an image into a sequence of feature columns, one for each ``FRAME_STRIDE``
pixels of its width. For the RNN, and for all that follows it, each column is a time step;
identifiers call both frames. Values to the right of an image's own width are set to zero, so in
evaluation a result does not depend on the padding or on the other images of the batch; in
training, the images of a batch share its statistics.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ocrsearch.core import FRAME_STRIDE, EncoderConfig, TowerConfig
from ocrsearch.models.layers import conv_channels, pool_sizes

STEPS = 256
"""A byte decides about a value, so the dropped fraction is a multiple of 1 / STEPS."""


class Dropout(nn.Module):
    """Dropout that draws eight values with each random number on a CPU.

    PyTorch draws a number for each value, which takes longer than the rest of dropout.
    """

    def __init__(self, p: float) -> None:
        """Drop the fraction ``p``, below 1; on a CPU the nearest multiple of 1 / 256 below 1."""
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop values of a tensor of any shape in training; return it unchanged in evaluation."""
        if x.device.type != "cpu" or not self.training:
            return nn.functional.dropout(x, self.p, self.training)
        n_dropped = min(round(self.p * STEPS), STEPS - 1)
        if n_dropped == 0:
            return x
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        bytes_ = draws.view(torch.uint8)[: x.numel()].view(x.shape)
        return x * ((bytes_ >= n_dropped) * (STEPS / (STEPS - n_dropped))).to(x.dtype)

    def extra_repr(self) -> str:
        """Return the fraction."""
        return f"p={self.p}"


class Encoded(NamedTuple):
    """The encoder's output for a batch.

    Attributes:
        features: (B, T, 2 * hidden_size) output of the RNN, zero in the padding.
        columns: (B, T, linear_width) feature columns before the RNN.
        frame_lengths: (B,) int64, on the CPU: number of time steps of each image.
    """

    features: Tensor
    columns: Tensor
    frame_lengths: Tensor


def zero_padding(values: Tensor, lengths: Tensor, dim: int) -> Tensor:
    """Return a tensor with zeros after each item's length along a dimension.

    Args:
        values: (B, ...) values.
        lengths: (B,) int64 on the CPU.
        dim: dimension to which the lengths refer.
    """
    size = values.shape[dim]
    if int(lengths.min()) >= size:
        return values
    mask = torch.arange(size) < lengths[:, None]
    shape = [len(lengths)] + [1] * (values.dim() - 1)
    shape[dim] = size
    return values * mask.view(shape).to(values.device, values.dtype)


class ConvTower(nn.Module):
    """3 x 3 convolutions, each followed by optional max pooling, batch norm and ReLU.

    Norm and ReLU come after the pooling, where there are fewer values to compute.
    """

    def __init__(self, config: TowerConfig, height: int) -> None:
        super().__init__()
        channels = conv_channels(config)
        self.pools = pool_sizes(config, height)
        self.convs = nn.ModuleList(
            nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
            for c_in, c_out in zip([1, *channels], channels, strict=False)
        )
        self.pooled_norms = nn.ModuleList(nn.BatchNorm2d(c) for c in channels)
        rows = height
        for pool_rows, _ in self.pools:
            rows //= pool_rows
        self.column_size = channels[-1] * rows
        self.dropout = nn.Dropout2d(config.conv_dropout)
        self.compute_dtype: torch.dtype | None = None

    def forward(self, images: Tensor, widths: Tensor) -> Tensor:
        """Return the feature columns.

        Args:
            images: (B, 1, H, W) float32.
            widths: (B,) int64 in pixels, on the CPU.

        Returns:
            (B, T, column_size) with T = W / FRAME_STRIDE.
        """
        dtype = self.compute_dtype
        with torch.autocast(images.device.type, dtype=dtype, enabled=dtype is not None):
            x = self._convolve(images, widths)
        return x.float().permute(0, 3, 1, 2).flatten(2)  # (B, T, C * H)

    def _convolve(self, x: Tensor, widths: Tensor) -> Tensor:
        for i, (conv, norm, pool) in enumerate(
            zip(self.convs, self.pooled_norms, self.pools, strict=True)
        ):
            x = self.dropout(x) if i else x
            x = conv(x)  # (B, C, H, W)
            if pool != (1, 1):
                x = nn.functional.max_pool2d(x, pool)
            x = torch.relu(norm(x))
            widths = widths // pool[1]
            x = zero_padding(x, widths, dim=3)
        return x


class FrameNorm(nn.Module):
    """Batch norm of time steps whose statistics ignore the padding."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size)

    def forward(self, frames: Tensor, frame_lengths: Tensor) -> Tensor:
        """Return normalised (B, T, D) time steps, zero in the padding."""
        if int(frame_lengths.min()) >= frames.shape[1]:
            normed: Tensor = self.norm(frames.flatten(0, 1))
            return normed.view_as(frames)
        rows = frames.flatten(0, 1)
        mask = torch.arange(frames.shape[1]) < frame_lengths[:, None]
        ids = mask.flatten().nonzero().squeeze(1).to(frames.device)
        normed = self.norm(rows.index_select(0, ids)).to(rows.dtype)
        return torch.zeros_like(rows).index_copy(0, ids, normed).view_as(frames)


class BiRnn(nn.Module):
    """Bidirectional LSTM or GRU over sequences of unequal lengths, with optional batch norms.

    Each direction is a recurrent layer of its own. Forwards, the padding comes last and has no
    effect; backwards, each sequence is reversed within its own length. So no packed sequences are
    needed, for which PyTorch has only slow recurrent kernels on a CPU.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[config.rnn_cell]
        sizes = [config.linear_width] + [2 * config.hidden_size] * (config.rnn_layers - 1)
        self.forwards, self.backwards = (
            nn.ModuleList(cell(size, config.hidden_size, batch_first=True) for size in sizes)
            for _ in range(2)
        )
        normed = sizes if config.rnn_batch_norm else []
        self.norms = nn.ModuleList(FrameNorm(2 * config.hidden_size) for _ in normed)
        self.dropout = Dropout(config.dropout)
        self.compute_dtype: torch.dtype | None = None

    def forward(self, frames: Tensor, frame_lengths: Tensor) -> Tensor:
        """Return (B, T, 2 * hidden_size) features, zero in the padding.

        Args:
            frames: (B, T, linear_width) feature columns.
            frame_lengths: (B,) int64, on the CPU.
        """
        reversal = reversing_index(frame_lengths, frames.shape[1]).to(frames.device)
        dtype = self.compute_dtype
        with torch.autocast(frames.device.type, dtype=dtype, enabled=dtype is not None):
            x = self._both_ways(frames, reversal, frame_lengths)
        return zero_padding(x.float(), frame_lengths, dim=1)

    def _both_ways(self, x: Tensor, reversal: Tensor, frame_lengths: Tensor) -> Tensor:
        for i, (ahead, back) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            x = self.dropout(x) if i else x
            x = torch.cat([ahead(x)[0], reorder(back(reorder(x, reversal))[0], reversal)], dim=2)
            x = self.norms[i](x.float(), frame_lengths) if self.norms else x
        return x


def reversing_index(frame_lengths: Tensor, n_frames: int) -> Tensor:
    """Return the index that reverses each sequence of a batch and leaves its padding at the end.

    Args:
        frame_lengths: (B,) int64, on the CPU.
        n_frames: number of time steps of the padded batch, T.

    Returns:
        (B * T,) int64 positions among the time steps of the whole batch.
    """
    positions = torch.arange(n_frames)
    lengths = frame_lengths[:, None]
    reversed_ = torch.where(positions < lengths, lengths - 1 - positions, positions)
    return (reversed_ + n_frames * torch.arange(len(frame_lengths))[:, None]).flatten()


def reorder(frames: Tensor, index: Tensor) -> Tensor:
    """Return (B, T, D) time steps in the order of a (B * T,) index."""
    return frames.flatten(0, 1).index_select(0, index).view(frames.shape)


class Encoder(nn.Module):
    """Conv tower, linear layer, batch norm of the feature columns, bidirectional RNN.

    No ReLU follows the batch norm. Without the norm, or with a ReLU after it, most configurations
    stay much longer on the CTC plateau, where a network outputs only blanks.
    """

    def __init__(self, config: EncoderConfig, height: int) -> None:
        super().__init__()
        self.tower = ConvTower(config, height)
        self.linear = nn.Linear(self.tower.column_size, config.linear_width, bias=False)
        self.norm = FrameNorm(config.linear_width)
        self.dropout = Dropout(config.dropout)
        self.rnn = BiRnn(config)
        self.feature_size = 2 * config.hidden_size

    def forward(self, images: Tensor, widths: Tensor) -> Encoded:
        """Encode images.

        Args:
            images: (B, 1, H, W) float32, zero to the right of each image.
            widths: (B,) int64 in pixels, on the CPU.
        """
        frame_lengths = widths // FRAME_STRIDE
        columns = self.norm(self.linear(self.tower(images, widths)), frame_lengths)
        features = self.rnn(self.dropout(columns), frame_lengths)
        return Encoded(self.dropout(features), columns, frame_lengths)
