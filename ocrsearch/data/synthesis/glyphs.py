"""Glyphs: the ink of single symbols, cut out of their pictures once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from ocrsearch.data.samples import GrayImage
from ocrsearch.errors import DataError

MIN_CONTRAST = 24
"""Grey levels between the paper and the darkest ink, below which a picture is blank."""

MIN_HEIGHT_PX, MAX_HEIGHT_PX = 20, 64
"""Cut-outs are kept at heights between these, so that drawing need only scale a little."""


@dataclass(frozen=True)
class Glyphs:
    """Cut-outs of single symbols.

    Attributes:
        ink: of each, (h, w) uint8 with 0 for no ink.
        heights: (N,) float64; of each, where 1 is that of a usual one.
        by_symbol: the indices of the cut-outs of each symbol, in code point order.
    """

    ink: list[GrayImage]
    heights: np.ndarray
    by_symbol: dict[str, np.ndarray]


def cut_glyphs(images: Iterable[GrayImage], texts: Iterable[str]) -> Glyphs:
    """Cut symbols out of pictures, dark on light or light on dark; blank ones are left out.

    Raises:
        DataError: a label is not one symbol.
    """
    ink, heights, symbols = [], [], []
    for image, text in zip(images, texts, strict=True):
        if len(text) != 1:
            raise DataError(
                f"label {text!r} of the source: strings are composed of single symbols, "
                "so each of its pictures must show one"
            )
        crop = _cut(image)
        if crop is not None:
            ink.append(_to_working_height(crop))
            heights.append(crop.shape[0] / image.shape[0])
            symbols.append(text)
    relative = np.array(heights)
    by_symbol = {
        symbol: np.flatnonzero(np.array(symbols) == symbol) for symbol in sorted(set(symbols))
    }
    return Glyphs(ink, relative / np.median(relative) if symbols else relative, by_symbol)


def _cut(image: GrayImage) -> GrayImage | None:
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    paper = float(np.median(edge))
    ink = np.abs(image.astype(np.float32) - np.float32(paper))
    darkest = float(ink.max())
    if darkest < MIN_CONTRAST:
        return None
    ink = np.clip(ink * (280 / darkest) - 25, 0, 255)  # a tenth is paper that is not quite even
    rows, columns = np.flatnonzero(ink.max(1) > 64), np.flatnonzero(ink.max(0) > 64)
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(crop, dtype=np.uint8)


def _to_working_height(crop: GrayImage) -> GrayImage:
    height, width = crop.shape
    if MIN_HEIGHT_PX <= height <= MAX_HEIGHT_PX:
        return crop
    factor = (MIN_HEIGHT_PX if height < MIN_HEIGHT_PX else MAX_HEIGHT_PX) / height
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(crop, size, interpolation=method), dtype=np.uint8)
