"""Features of images: what the convolutions of a recogniser see, averaged over the width."""

from __future__ import annotations

from torch import Tensor

from ocrsearch.core import FRAME_STRIDE
from ocrsearch.models.encoder import ConvTower, Encoder
from ocrsearch.models.recogniser import Recogniser


def image_features(network: Recogniser, images: Tensor, widths: Tensor) -> Tensor | None:
    """Return the mean feature column of each image; None for a network without a conv tower.

    Args:
        network: network in evaluation mode.
        images: (B, 1, H, W) float32, zero to the right of each image.
        widths: (B,) int64 in pixels, on the CPU.

    Returns:
        (B, D) float32.
    """
    encoder, tower = getattr(network, "encoder", None), getattr(network, "tower", None)
    if isinstance(encoder, Encoder):
        columns: Tensor = encoder(images, widths).columns  # (B, T, D), zero in the padding
    elif isinstance(tower, ConvTower):
        columns = tower(images, widths)
    else:
        return None
    lengths = (widths // FRAME_STRIDE).to(columns)[:, None]
    return columns.sum(1) / lengths
