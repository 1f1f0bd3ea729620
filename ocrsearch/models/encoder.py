"""The encoder that the architectures share: conv tower, linear layers, bidirectional RNN.

Dropout that draws its randomness in bulk.

On a CPU PyTorch draws a number for each value, which takes longer than all else about dropout;
here eight values share the 64 bits of one draw.

The encoder that the architectures share: conv tower, linear, bidirectional RNN.

The features of each column are batch-normalised before they enter the RNN, and no ReLU follows:
without the norm, or with a ReLU behind it, most configurations stay much longer on the CTC
plateau, where a network reads nothing yet. Everything right of a picture's own
width is kept at zero, so in evaluation its result does not depend on the padding or on its
neighbours; in training they share the statistics of the batch.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ocrsearch.core import FRAME_STRIDE, EncoderConfig, TowerConfig
from ocrsearch.models.layers import conv_channels, pool_sizes

STEPS = 256
"""A byte decides about a value, so the share that is dropped is a multiple of 1 / STEPS."""


class Dropout(nn.Module):
    """Set values to zero at random in training and raise the others, so that the mean stays."""

    def __init__(self, p: float) -> None:
        """Drop the share ``p``, below 1; on a CPU the nearest multiple of 1 / 256 below 1."""
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Return a tensor of any shape, in evaluation as it is."""
        if x.device.type != "cpu" or not self.training:
            return nn.functional.dropout(x, self.p, self.training)
        n_dropped = min(round(self.p * STEPS), STEPS - 1)
        if n_dropped == 0:
            return x
        draws = torch.empty(-(-x.numel() // 8), dtype=torch.int64).random_(-(2**63), None)
        bytes_ = draws.view(torch.uint8)[: x.numel()].view(x.shape)
        return x * ((bytes_ >= n_dropped) * (STEPS / (STEPS - n_dropped))).to(x.dtype)

    def extra_repr(self) -> str:
        """Name the share."""
        return f"p={self.p}"


class Encoded(NamedTuple):
    """What the encoder makes of a batch.

    Attributes:
        features: (B, T, 2 * hidden_size), zero behind each picture's frames.
        columns: (B, T, linear_width), the features that entered the RNN.
        frame_lengths: (B,) int64, on the CPU.
    """

    features: Tensor
    columns: Tensor
    frame_lengths: Tensor


def zero_padding(values: Tensor, lengths: Tensor, dim: int) -> Tensor:
    """Return the tensor with zeros behind each item's length along a dimension.

    Args:
        values: (B, ...).
        lengths: (B,) int64 on the CPU.
        dim: the dimension that the lengths count.
    """
    size = values.shape[dim]
    if int(lengths.min()) >= size:
        return values
    mask = torch.arange(size) < lengths[:, None]
    shape = [len(lengths)] + [1] * (values.dim() - 1)
    shape[dim] = size
    return values * mask.view(shape).to(values.device, values.dtype)


class ConvTower(nn.Module):
    """3 x 3 convolutions, each with perhaps max pooling, batch norm, and ReLU.

    Norm and ReLU come behind the pooling, where there are fewer values to compute.
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
        """Return the columns of the feature map.

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
    """Batch norm of frame features whose statistics leave out the padding."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(size)

    def forward(self, frames: Tensor, frame_lengths: Tensor) -> Tensor:
        """Normalise (B, T, D) frames; the padding comes out as zero."""
        if int(frame_lengths.min()) >= frames.shape[1]:
            normed: Tensor = self.norm(frames.flatten(0, 1))
            return normed.view_as(frames)
        rows = frames.flatten(0, 1)
        mask = torch.arange(frames.shape[1]) < frame_lengths[:, None]
        ids = mask.flatten().nonzero().squeeze(1).to(frames.device)
        normed = self.norm(rows.index_select(0, ids)).to(rows.dtype)
        return torch.zeros_like(rows).index_copy(0, ids, normed).view_as(frames)


class BiRnn(nn.Module):
    """Bidirectional LSTM or GRU over frames of unequal lengths, perhaps a norm behind each layer.

    Each direction is a recurrent layer of its own: forwards the padding comes last and changes
    nothing before it, backwards each line is turned round within its own length. So no packed
    sequences are needed, for which PyTorch has only its slow recurrent kernels on a CPU.
    """

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        cell = {"lstm": nn.LSTM, "gru": nn.GRU}[config.rnn_cell]
        sizes = [config.linear_width] + [2 * config.hidden_size] * (config.rnn_layers - 1)
        self.forwards, self.backwards = (
            nn.ModuleList(cell(size, config.hidden_size, batch_first=True) for size in sizes)
            for _ in range(2)
        )
        normed = sizes if config.rnn_norm else []
        self.norms = nn.ModuleList(FrameNorm(2 * config.hidden_size) for _ in normed)
        self.dropout = Dropout(config.dropout)
        self.compute_dtype: torch.dtype | None = None

    def forward(self, frames: Tensor, frame_lengths: Tensor) -> Tensor:
        """Return (B, T, 2 * hidden_size) for (B, T, linear_width); zero in the padding."""
        turned = turning_index(frame_lengths, frames.shape[1]).to(frames.device)
        dtype = self.compute_dtype
        with torch.autocast(frames.device.type, dtype=dtype, enabled=dtype is not None):
            x = self._both_ways(frames, turned, frame_lengths)
        return zero_padding(x.float(), frame_lengths, dim=1)

    def _both_ways(self, x: Tensor, turned: Tensor, frame_lengths: Tensor) -> Tensor:
        for i, (ahead, back) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            x = self.dropout(x) if i else x
            x = torch.cat([ahead(x)[0], turn(back(turn(x, turned))[0], turned)], dim=2)
            x = self.norms[i](x.float(), frame_lengths) if self.norms else x
        return x


def turning_index(frame_lengths: Tensor, n_frames: int) -> Tensor:
    """Return where each frame of a turned batch comes from.

    Returns:
        (B * T,) int64 rows of the batch's frames: those of each line from its last to its first,
        then its padding.
    """
    positions = torch.arange(n_frames)
    lengths = frame_lengths[:, None]
    turned = torch.where(positions < lengths, lengths - 1 - positions, positions)
    return (turned + n_frames * torch.arange(len(frame_lengths))[:, None]).flatten()


def turn(frames: Tensor, turned: Tensor) -> Tensor:
    """Return (B, T, D) frames in the order that ``turning_index`` gives."""
    return frames.flatten(0, 1).index_select(0, turned).view(frames.shape)


class Encoder(nn.Module):
    """Conv tower, linear, batch norm of the columns, bidirectional RNN."""

    def __init__(self, config: EncoderConfig, height: int) -> None:
        super().__init__()
        self.tower = ConvTower(config, height)
        self.linear = nn.Linear(self.tower.column_size, config.linear_width, bias=False)
        self.norm = FrameNorm(config.linear_width)
        self.dropout = Dropout(config.dropout)
        self.rnn = BiRnn(config)
        self.feature_size = 2 * config.hidden_size

    def forward(self, images: Tensor, widths: Tensor) -> Encoded:
        """Encode (B, 1, H, W) float32 pictures of the given widths in pixels (on the CPU)."""
        frame_lengths = widths // FRAME_STRIDE
        columns = self.norm(self.linear(self.tower(images, widths)), frame_lengths)
        features = self.rnn(self.dropout(columns), frame_lengths)
        return Encoded(self.dropout(features), columns, frame_lengths)
