"""Attention maps: a line as the network reads it, and below it where the decoder looked.

A row is a symbol that was written, a column a frame: they stand below the part of the picture
from which the frame comes.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ocrsearch.config import FRAME_STRIDE
from ocrsearch.data.batches import collate
from ocrsearch.data.preprocess import prepare_image
from ocrsearch.data.samples import GrayImage
from ocrsearch.deploy.bundle import Bundle
from ocrsearch.deploy.pictures import png_url
from ocrsearch.models.decoding import seq2seq_attention
from ocrsearch.models.seq2seq import Seq2Seq

END = "end"
"""Name of the row of the end symbol."""

MAX_ROWS = 100
"""Rows of a drawing; what runs on for longer is cut off."""

COLOR = (0xD6, 0x7F, 0x3F)
"""Blue, green, red of the weights; how much of it is seen is the weight."""

MARGIN_PX, ROW_PX, GAP_PX = 44, 16, 6
LOW_PX = 48
"""Pictures that are no higher are drawn at twice their size."""


@dataclass(frozen=True)
class AttentionMap:
    """Where a decoder looked in a line.

    Attributes:
        image: (H, W) uint8, as the network reads it.
        symbols: L + 1 that it wrote, the last the end.
        weights: (L + 1, T) float32, T = W / FRAME_STRIDE.
    """

    image: GrayImage
    symbols: Sequence[str]
    weights: np.ndarray


def has_attention(bundle: Bundle) -> bool:
    """Return whether there is a map to draw."""
    model = bundle.config.model
    return model.architecture == "seq2seq" and model.decoder.attention != "none"


@torch.inference_mode()
def attention_maps(bundle: Bundle, lines: Sequence[tuple[GrayImage, str]]) -> list[AttentionMap]:
    """Return a map for each line; computed on the CPU.

    Args:
        bundle: a model with attention.
        lines: pictures, (H, W) uint8, and what was read in them.

    Raises:
        DataError: a text with symbols that the model does not know.
    """
    network = bundle.build_network()
    assert isinstance(network, Seq2Seq)
    maps = []
    for picture, text in lines:
        image = prepare_image(picture, bundle.config.images)
        batch = collate([image], [()])
        encoded = network.encoder(batch.images, batch.widths)
        weights = seq2seq_attention(network, encoded, bundle.charset.encode(text))
        maps.append(AttentionMap(image, [*bundle.charset.visual(text), END], weights.numpy()))
    return maps


def draw_attention(drawn: AttentionMap) -> str:
    """Return a map as SVG for a page: the picture, and below it a row for each symbol."""
    height, width = drawn.image.shape
    zoom = 2 if height <= LOW_PX else 1
    n_rows, n_frames = min(len(drawn.symbols), MAX_ROWS), drawn.weights.shape[1]
    top = zoom * height + GAP_PX
    size = (MARGIN_PX + zoom * width, top + n_rows * ROW_PX)
    labels = [
        f"<text x='{MARGIN_PX - 8}' y='{top + i * ROW_PX + 12}'>{_label(symbol)}</text>"
        for i, symbol in enumerate(drawn.symbols[:n_rows])
    ]
    heat_size = (zoom * n_frames * FRAME_STRIDE, n_rows * ROW_PX)
    return (
        f"<svg width='{size[0]}' height='{size[1]}' viewBox='0 0 {size[0]} {size[1]}' role='img' "
        "aria-label='attention'>"
        f"{_image(drawn.image, 0, (zoom * width, zoom * height))}"
        f"{_image(_heat(drawn.weights[:n_rows]), top, heat_size)}{''.join(labels)}</svg>"
    )


def _heat(weights: np.ndarray) -> np.ndarray:
    """Return (L, T, 4) uint8 BGRA, opaque at the highest weight of all."""
    pixels = np.empty((*weights.shape, 4), np.uint8)
    pixels[..., :3] = COLOR
    pixels[..., 3] = np.rint(255 * weights / weights.max())
    return pixels


def _image(pixels: np.ndarray, top: int, size: tuple[int, int]) -> str:
    return (
        f"<image x='{MARGIN_PX}' y='{top}' width='{size[0]}' height='{size[1]}' "
        f"preserveAspectRatio='none' href='{png_url(pixels)}'/>"
    )


def _label(symbol: str) -> str:
    return "space" if symbol == " " else html.escape(symbol)
