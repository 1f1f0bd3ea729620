"""Contact sheets: pictures with their labels under them, as one picture.

Labels are drawn in OpenCV's built-in Unicode font, which has the accents of all Latin scripts,
Greek, Cyrillic, and the signs of East Asia.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from ocrsearch.data.samples import GrayImage
from ocrsearch.files import replacing

SHEET_WIDTH_PX = 1200
PICTURE_HEIGHT_PX = 48
GAP_PX = 10
TEXT_HEIGHT_PX = 26
TEXT_SIZE_PX = 16
BASELINE_PX = 18
"""Of a label, below the picture."""

PAPER = 225
MAX_TEXT = 300
"""Symbols of a label that are tried; none has room for more."""


def contact_sheet(pictures: Sequence[tuple[GrayImage, str]]) -> GrayImage:
    """Draw pictures and their labels in rows.

    Args:
        pictures: (H, W) uint8 of any size, and the label of each; at least one.

    Returns:
        (rows, SHEET_WIDTH_PX) uint8. A picture is PICTURE_HEIGHT_PX high, or lower if it were
        too wide; a label that is too long ends in "…".
    """
    rows: list[GrayImage] = []
    x = SHEET_WIDTH_PX
    for cell in (_cell(image, text) for image, text in pictures):
        if x + cell.shape[1] + GAP_PX > SHEET_WIDTH_PX:
            rows.append(np.full((cell.shape[0] + GAP_PX, SHEET_WIDTH_PX), PAPER, np.uint8))
            x = GAP_PX
        rows[-1][GAP_PX:, x : x + cell.shape[1]] = cell
        x += cell.shape[1] + GAP_PX
    return np.concatenate(rows)


def draw_label(text: str, room: int) -> GrayImage:
    """Return (TEXT_HEIGHT_PX, W) uint8 with a label on one line, W at most so many pixels."""
    font = cv2.FontFace("uni")
    text = _fitting(text, font, room)
    strip = np.full((TEXT_HEIGHT_PX, min(room, _text_width(text, font))), PAPER, np.uint8)
    cv2.putText(strip, text, (0, BASELINE_PX), (0,), font, TEXT_SIZE_PX)
    return strip


def write_sheet(sheet: GrayImage, path: Path) -> None:
    """Write a picture as PNG, whole or not at all."""
    content = cv2.imencode(".png", sheet)[1].tobytes()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _cell(image: GrayImage, text: str) -> GrayImage:
    room = SHEET_WIDTH_PX - 2 * GAP_PX
    height, width = image.shape
    scale = min(PICTURE_HEIGHT_PX / height, room / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    label = draw_label(text, room)
    cell_width = max(size[0], label.shape[1])
    cell = np.full((PICTURE_HEIGHT_PX + TEXT_HEIGHT_PX, cell_width), PAPER, np.uint8)
    cell[: size[1], : size[0]] = cv2.resize(image, size, interpolation=method)
    cell[PICTURE_HEIGHT_PX:, : label.shape[1]] = label
    return cell


def _fitting(text: str, font: cv2.FontFace, room: int) -> str:
    """Return a label as one line of so many pixels, what cannot be drawn as a question mark."""
    kept = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text[:MAX_TEXT])
    shown = kept if len(text) <= MAX_TEXT else f"{kept}…"
    while _text_width(shown, font) > room:
        kept = kept[: len(kept) * 9 // 10]
        shown = f"{kept}…"
    return shown


def _text_width(text: str, font: cv2.FontFace) -> int:
    x, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, TEXT_SIZE_PX)
    return x + width + 1
