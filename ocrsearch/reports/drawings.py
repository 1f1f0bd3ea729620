"""Drawings in SVG: the layers of a network, and attention maps.

An attention map is drawn below the image of the line. It has a row for each character of the output
and a column for each time step, aligned with the image. Colours follow the viewer's light or dark
scheme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np

from ocrsearch.core import FRAME_STRIDE, printable
from ocrsearch.data import GrayImage
from ocrsearch.data.images import prepare_image
from ocrsearch.models import Layer
from ocrsearch.reports.html import png_url

if TYPE_CHECKING:
    from ocrsearch.training import Bundle

WIDTH, MARGIN = 600, 20
TITLE_HEIGHT, BOX_HEIGHT, GAP = 66, 48, 24

STYLE = """
text { font: 14px system-ui, sans-serif; fill: #1b1f24 }
.title { font-size: 17px; font-weight: 600 }
.name { font-weight: 600 }
.small { font-size: 12px; fill: #57606a }
.right { text-anchor: end }
.page { fill: #ffffff }
.box { fill: #eaf2fb; stroke: #4a7fb5 }
.end { fill: #f0f0f0; stroke: #8c959f }
.training { fill: none; stroke: #8c959f; stroke-dasharray: 5 4 }
.arrow { stroke: #57606a; stroke-width: 1.5; marker-end: url(#head) }
.head { fill: #57606a }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .small { fill: #9aa4af }
  .page { fill: #0d1117 }
  .box { fill: #14263a; stroke: #5b94cf }
  .end { fill: #21262d; stroke: #6e7681 }
  .arrow { stroke: #9aa4af }
  .head { fill: #9aa4af }
}
"""


def draw_layers(layers: Sequence[Layer], title: str, subtitle: str, image: str) -> str:
    """Draw the layers of a network as an SVG document.

    Args:
        layers: layers in order of computation.
        title: title in large letters.
        subtitle: line below the title.
        image: shape of the input image.
    """
    used = [layer for layer in layers if not layer.training_only]
    others = [layer for layer in layers if layer.training_only]
    parts = _box(0, "end", (29, "image", "name"), (29, image, "right"))
    for i, layer in enumerate([*used, *others], start=1):
        use = "training only" if layer.training_only else f"{layer.n_multiply_adds:,} multiply-adds"
        parts += _box(
            *(i, "training" if layer.training_only else "box"),
            (20, layer.name, "name"),
            (38, layer.kind, "small"),
            (20, format_shape(layer.output), "right"),
            (38, f"{layer.n_parameters:,} weights, {use}", "small right"),
        )
    for i in range(len(used)):  # an arrow from each box to the next
        bottom, x = _top(i) + BOX_HEIGHT, WIDTH // 2
        parts.append(
            f'<line class="arrow" x1="{x}" y1="{bottom + 2}" x2="{x}" y2="{bottom + GAP - 2}"/>'
        )
    height = _top(len(layers) + 1) - GAP + MARGIN
    title = printable(title)  # XML has no control characters
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">',
            f"<style>{STYLE}</style>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
            'markerHeight="7" orient="auto"><path class="head" d="M0 0 L8 4 L0 8 z"/></marker>'
            "</defs>",
            f'<rect class="page" width="{WIDTH}" height="{height}"/>',
            _text(MARGIN, 30, title, "title"),
            _text(MARGIN, 52, subtitle, "small"),
            *parts,
            "</svg>\n",
        ]
    )


def format_shape(shape: Sequence[int]) -> str:
    """Return ``16 x 8 x 64``."""
    return " x ".join(map(str, shape))


def _box(i: int, style: str, *texts: tuple[int, str, str]) -> list[str]:
    """Return the i-th box with its texts, each with its baseline below the top and its style."""
    top = _top(i)
    rectangle = (
        f'<rect class="{style}" x="{MARGIN}" y="{top}" width="{WIDTH - 2 * MARGIN}" '
        f'height="{BOX_HEIGHT}" rx="6"/>'
    )
    left, right = MARGIN + 12, WIDTH - MARGIN - 12
    return [
        rectangle,
        *(_text(right if "right" in s else left, top + y, text, s) for y, text, s in texts),
    ]


def _text(x: int, y: int, text: str, style: str) -> str:
    return f'<text class="{style}" x="{x}" y="{y}">{escape(text)}</text>'


def _top(i: int) -> int:
    """Return the upper edge of the i-th box."""
    return TITLE_HEIGHT + i * (BOX_HEIGHT + GAP)


END = "end"
"""Label for the row of the end symbol."""

MAX_ROWS = 100
"""Maximum number of rows in a drawing; longer outputs are truncated."""

COLOR = (0xD6, 0x7F, 0x3F)
"""Colour of the attention weights as BGR; the opacity is the weight."""

MARGIN_PX, ROW_PX, GAP_PX = 44, 16, 6
LOW_PX = 48
"""Maximum height of images that are drawn at twice their size."""


@dataclass(frozen=True)
class AttentionMap:
    """Attention weights of a decoder for a line.

    Attributes:
        image: input of the network, (H, W) uint8.
        symbols: output characters and the end symbol, L + 1 in all.
        weights: attention weights, (L + 1, T) float32 with T = W / FRAME_STRIDE.
    """

    image: GrayImage
    symbols: Sequence[str]
    weights: np.ndarray


def attention_maps(bundle: Bundle, lines: Sequence[tuple[GrayImage, str]]) -> list[AttentionMap]:
    """Compute an attention map for each line, on the CPU.

    Args:
        bundle: model with attention.
        lines: images, (H, W) uint8, and their predicted texts.

    Raises:
        DataError: a text has characters outside the charset of the model.
    """
    import torch  # drawings of layers need none

    from ocrsearch.data import collate
    from ocrsearch.models import Seq2Seq

    network = bundle.build_network()
    assert isinstance(network, Seq2Seq)
    maps = []
    for line, text in lines:
        image = prepare_image(line, bundle.config.images)
        batch = collate([image], [()])
        with torch.inference_mode():
            encoded = network.encoder(batch.images, batch.widths)
            weights = network.attention_weights(encoded, bundle.charset.encode(text))
        maps.append(AttentionMap(image, [*bundle.charset.visual(text), END], weights.numpy()))
    return maps


def draw_attention(drawn: AttentionMap) -> str:
    """Draw a map as SVG: the image, and below it a row for each character."""
    height, width = drawn.image.shape
    zoom = 2 if height <= LOW_PX else 1
    n_rows, n_frames = min(len(drawn.symbols), MAX_ROWS), drawn.weights.shape[1]
    top = zoom * height + GAP_PX
    size = (MARGIN_PX + zoom * width, top + n_rows * ROW_PX)
    labels = [
        f"<text x='{MARGIN_PX - 8}' y='{top + i * ROW_PX + 12}'>"
        f"{'space' if character == ' ' else escape(character)}</text>"
        for i, character in enumerate(drawn.symbols[:n_rows])
    ]
    weights = drawn.weights[:n_rows]
    heat = np.empty((*weights.shape, 4), np.uint8)  # BGRA; the highest weight is opaque
    heat[..., :3] = COLOR
    heat[..., 3] = np.rint(255 * weights / weights.max())
    heat_size = (zoom * n_frames * FRAME_STRIDE, n_rows * ROW_PX)
    return (
        f"<svg width='{size[0]}' height='{size[1]}' viewBox='0 0 {size[0]} {size[1]}' role='img' "
        "aria-label='attention'>"
        f"{_image(drawn.image, 0, (zoom * width, zoom * height))}"
        f"{_image(heat, top, heat_size)}{''.join(labels)}</svg>"
    )


def _image(pixels: np.ndarray, top: int, size: tuple[int, int]) -> str:
    """Return an image in a drawing, (H, W) or (H, W, 4: BGRA) uint8, stretched to a size."""
    return (
        f"<image x='{MARGIN_PX}' y='{top}' width='{size[0]}' height='{size[1]}' "
        f"preserveAspectRatio='none' href='{png_url(pixels)}'/>"
    )
