"""Ink and paper: which of two greys is ink, where it is, and ruling lines among it.

All but ``ink_is_light`` take dark ink on light paper. Nothing here depends on the absolute
brightness or contrast of a picture.
"""

from __future__ import annotations

import cv2
import numpy as np

from ocrsearch.data.samples import GrayImage

SATURATED_SHARE = 0.005
"""Share of the pixels at either end that may go to black or white when contrast is stretched."""

MIN_RANGE = 8
"""Grey levels between those ends below which a picture is taken as blank."""

SAUVOLA_K = 0.2
SAUVOLA_R = 128.0
"""Sauvola's constants: how far below the local mean ink lies, and the largest deviation."""

MIN_RULE_SHARE = 0.6
"""Share of the width of a picture that a ruling line covers at the least."""


def gray_ends(image: GrayImage) -> tuple[int, int, int]:
    """Return the lowest and highest grey but for SATURATED_SHARE on either side, and the median."""
    counts = np.cumsum(np.bincount(image.ravel(), minlength=256))
    shares = np.array([SATURATED_SHARE, 1 - SATURATED_SHARE, 0.5]) * counts[-1]
    low, high, median = np.searchsorted(counts, shares)
    return int(low), int(high), int(median)


def stretch_contrast(image: GrayImage) -> GrayImage:
    """Map the darkest and lightest greys to 0 and 255; a blank picture stays as it is."""
    low, high, _ = gray_ends(image)
    if high - low < MIN_RANGE:
        return image
    levels = (np.arange(256) - low) * (255 / (high - low))
    return np.asarray(cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8)), dtype=np.uint8)


def ink_is_light(image: GrayImage) -> bool:
    """Whether a picture has light ink on dark paper: most of it is paper, so the median is."""
    low, high, median = gray_ends(image)
    return high - low >= MIN_RANGE and 2 * median < low + high


def ink_mask(image: GrayImage) -> GrayImage:
    """Find the ink by Sauvola's local threshold on the stretched picture.

    J. Sauvola, M. Pietikäinen: Adaptive document image binarization, 2000.

    Returns:
        (H, W) uint8, 255 where there is ink and 0 elsewhere.
    """
    pixels = stretch_contrast(image).astype(np.float32)
    side = max(15, image.shape[0] // 2) | 1
    border = cv2.BORDER_REPLICATE
    mean = cv2.boxFilter(pixels, -1, (side, side), borderType=border)
    square = cv2.sqrBoxFilter(pixels, -1, (side, side), borderType=border)
    deviation = np.sqrt(np.maximum(square - mean * mean, 0.0))
    threshold = mean * (1 + SAUVOLA_K * (deviation / SAUVOLA_R - 1))
    return np.where(pixels < threshold, np.uint8(255), np.uint8(0))


def ink_box(image: GrayImage) -> tuple[slice, slice]:
    """Return the rows and columns that hold all ink but specks; all of them if there is none.

    A speck is smaller than a full stop, that is than the square of a thin stroke's width.
    """
    height, width = image.shape
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink_mask(image), connectivity=8)
    parts = stats[1:]
    parts = parts[parts[:, cv2.CC_STAT_AREA] >= max(3.0, (height / 24) ** 2)]
    if not len(parts):
        return slice(0, height), slice(0, width)
    left, top, across, down = parts[:, :4].T
    return slice(top.min(), (top + down).max()), slice(left.min(), (left + across).max())


def remove_ruling(image: GrayImage) -> GrayImage:
    """Paint ruling lines over with the paper above and below; strokes that cross them are kept."""
    ink = ink_mask(image)
    rules, thickness = _find_rules(ink)
    if not thickness:
        return image
    strokes = _open(ink, (2 * thickness + 2, 1))
    fringed = _thicken(rules)  # scanned lines have soft edges
    paper = cv2.morphologyEx(image, cv2.MORPH_CLOSE, np.ones((2 * thickness + 5, 1), np.uint8))
    return np.where((fringed > 0) & (strokes == 0), paper, image)


def has_ruling(image: GrayImage) -> bool:
    """Whether a picture of dark ink has a ruling line."""
    return _find_rules(ink_mask(image))[1] > 0


def _find_rules(ink: GrayImage) -> tuple[GrayImage, int]:
    """Return the ink of ruling lines as a mask, and the thickness of the thickest, 0 if none.

    Pieces of line, two thirds as long as the picture is high, are joined over gaps as long;
    what is then thin, straight and covers most of the picture's width is a rule. Ink is thickened
    by a pixel up and down first: a thin line that is not quite level is made of short steps.
    """
    height, width = ink.shape
    length = max(12, 2 * height // 3) | 1
    pieces = _open(_thicken(ink), (1, length))
    joined = cv2.dilate(pieces, np.ones((1, length), np.uint8))
    n, labels, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    rules, thickest = np.zeros_like(ink), 0
    for i in range(1, n):
        if stats[i, cv2.CC_STAT_WIDTH] < MIN_RULE_SHARE * width:
            continue
        line = np.where((labels == i) & (pieces > 0), ink, np.uint8(0))
        thickness, middles = _fit_rule(line)
        if 0 < thickness <= max(3, height // 8):
            off = np.abs(np.arange(height)[:, None] - middles)
            ends = np.where(off <= 1 + thickness / 2, ink, np.uint8(0))  # shorter than a piece
            rules, thickest = rules | line | ends, max(thickest, thickness)
    return rules, thickest


def _fit_rule(line: GrayImage) -> tuple[int, np.ndarray]:
    """Return how thick a line is and its middle in each column.

    The thickness is 0 if the line is not straight or does not go through most of the picture.
    """
    height, width = line.shape
    counts = np.count_nonzero(line, axis=0)
    columns = np.flatnonzero(counts)
    if len(columns) < max(MIN_RULE_SHARE * width, height):
        return 0, np.zeros(width)
    middles = (np.arange(height) @ (line > 0))[columns] / counts[columns]
    thickness = int(np.median(counts[columns]))
    fitted = np.polyval(np.polyfit(columns, middles, 1), np.arange(width))
    off = np.abs(middles - fitted[columns])
    return (thickness if np.quantile(off, 0.9) <= 1 + thickness / 2 else 0), fitted


def _thicken(mask: GrayImage) -> GrayImage:
    """Add a pixel above and below."""
    return np.asarray(cv2.dilate(mask, np.ones((3, 1), np.uint8)), dtype=np.uint8)


def _open(mask: GrayImage, shape: tuple[int, int]) -> GrayImage:
    """Keep what a rectangle of a shape (H, W) fits into; outside of the picture is no ink."""
    kernel = np.ones(shape, np.uint8)
    opened = cv2.morphologyEx(
        mask, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0.0
    )
    return np.asarray(opened, dtype=np.uint8)
