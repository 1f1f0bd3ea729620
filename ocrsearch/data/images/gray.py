"""Conversion of any image to grey, and detection of ink, polarity and ruling lines.

Brightness is sufficient for nearly all images. It fails for light ink on transparency and for ink
as bright as coloured paper; only these are converted differently. Except ``ink_is_light``, the
functions on ink expect dark ink on light paper. None depends on absolute brightness or contrast.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from ocrsearch.data.samples import GrayImage

MIN_CONTRAST = 8
"""Minimum range of grey levels. Images with a smaller range are blank."""

LOW_CONTRAST = 64
"""Range of grey levels on white below which ink on transparency may be clearer on black."""

LOST_CONTRAST = 24
"""Range of most grey levels below which colours are considered."""

COLOUR_GAIN = 3
"""Minimum ratio between the contrast of colours and of brightness to use the colours."""

MOST = (1, 99)
"""Percentiles that bound most pixels. Edges in a JPEG have colours of their own."""

MAX_SAMPLED = 200_000
"""Number of pixels sampled to estimate percentiles and the main colour direction."""

SATURATED_SHARE = 0.005
"""Fraction of the pixels that may saturate at either end when contrast is stretched."""

MIN_RANGE = 8
"""Minimum range of grey levels between these ends. Images with a smaller range are blank."""

SAUVOLA_K = 0.2

SAUVOLA_R = 128.0
"""Sauvola's constants: distance of ink below the local mean, and the maximum deviation."""

MIN_RULE_SHARE = 0.6
"""Minimum fraction of the image width covered by a ruling line."""


def gray_of(image: Image.Image) -> GrayImage:
    """Convert an image to grey.

    Args:
        image: Loaded image of any mode.

    Returns:
        (H, W) uint8 brightness, with 16 bits scaled to 8 and transparency on white. If light
        ink on transparency or ink as bright as its paper would vanish, dark ink on white.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _gray_of_numbers(image)
    if not image.has_transparency_data:
        return _brightness_or_colour(image)
    rgba = image.convert("RGBA")
    alpha = np.asarray(rgba.getchannel("A"))
    if not alpha.any() and not is_blank(_brightness(rgba.convert("RGB"))):
        return _brightness_or_colour(rgba.convert("RGB"))  # a meaningless alpha channel
    white = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    if alpha.min() == 255 or np.ptp(_brightness(white)) >= LOW_CONTRAST:
        return _brightness_or_colour(white.convert("RGB"))
    black = Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba)
    return _clearer(_brightness_or_colour(white.convert("RGB")), 255 - _brightness(black))


def _gray_of_numbers(image: Image.Image) -> GrayImage:
    """Convert 16-bit or 32-bit integers or floats, with an optional transparent value."""
    values = np.array(image, dtype=np.float64)
    key = image.info.get("transparency")
    shown = np.ones(values.shape, bool) if not isinstance(key, int) else values != key
    np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    # white is guessed from the highest value: 1.0, 8 bits, 10 or 12 bits in 16, 16 bits or itself
    top = float(values.max(initial=0.0, where=shown))
    white = 255.0 if top <= 255.0 else 65535.0 if top <= 65535.0 else top
    if 0.0 < top <= 1.0:
        white = 1.0
    elif 255.0 < top < 8192.0:
        white = 2.0 ** int(top).bit_length() - 1
    values *= 255.0 / white
    gray = np.clip(values, 0, 255, out=values).astype(np.uint8)
    if shown.all() or not shown.any():
        return gray
    on_white = np.where(shown, gray, np.uint8(255))
    return _clearer(on_white, np.where(shown, 255 - gray, np.uint8(255)))


def _brightness_or_colour(image: Image.Image) -> GrayImage:
    """Return the brightness of an opaque image or, if it is nearly constant, its colour.

    Colour is projected on the direction of largest variance, oriented so that the majority of
    the pixels become light.
    """
    gray = _brightness(image)
    if image.mode in ("1", "L", "LA", "La") or _contrast(_sampled(gray)) >= LOST_CONTRAST:
        return gray
    colours = image.convert("RGB")
    sample = _sampled(np.asarray(colours)).astype(np.float64)
    direction = np.linalg.eigh(np.cov(sample.T, bias=True))[1][:, -1]
    values = sample @ direction
    if _contrast(values) < COLOUR_GAIN * max(_contrast(_sampled(gray)), MIN_CONTRAST):
        return gray
    low, middle, high = np.percentile(values, (MOST[0], 50, MOST[1]))
    if high - middle > middle - low:  # ink differs from the majority and should become dark
        direction, high = -direction, -low
    projected = colours.convert("L", (*direction, 255 - high))
    return np.asarray(projected, dtype=np.uint8).copy()


def _sampled(pixels: np.ndarray) -> np.ndarray:
    """Return about MAX_SAMPLED evenly spread pixels of an image, (N,) or (N, C)."""
    flat = pixels.reshape(-1, *pixels.shape[2:])
    return flat[:: max(1, len(flat) // MAX_SAMPLED)]


def _contrast(values: np.ndarray) -> float:
    low, high = np.percentile(values, MOST)
    return float(high - low)


def _brightness(image: Image.Image) -> GrayImage:
    return np.asarray(image.convert("L"), dtype=np.uint8).copy()


def _clearer(on_white: GrayImage, on_black: GrayImage) -> GrayImage:
    """Return the image with clearly more contrast, by default the first. Both have dark ink."""
    return on_black if np.ptp(on_black) > 2 * int(np.ptp(on_white)) else on_white


def is_blank(image: GrayImage) -> bool:
    """Return whether an image has no contrast."""
    return bool(np.ptp(image) < MIN_CONTRAST)


def gray_ends(image: GrayImage) -> tuple[int, int, int]:
    """Return the lowest and highest grey level without SATURATED_SHARE, and the median."""
    counts = np.cumsum(np.bincount(image.ravel(), minlength=256))
    shares = np.array([SATURATED_SHARE, 1 - SATURATED_SHARE, 0.5]) * counts[-1]
    low, high, median = np.searchsorted(counts, shares)
    return int(low), int(high), int(median)


def stretch_contrast(image: GrayImage) -> GrayImage:
    """Map the darkest and lightest grey levels to 0 and 255. Blank images are unchanged."""
    low, high, _ = gray_ends(image)
    if high - low < MIN_RANGE:
        return image
    levels = (np.arange(256) - low) * (255 / (high - low))
    return np.asarray(cv2.LUT(image, np.clip(levels, 0, 255).astype(np.uint8)), dtype=np.uint8)


def ink_is_light(image: GrayImage) -> bool:
    """Return whether an image has light ink on dark paper. The median is taken for paper."""
    low, high, median = gray_ends(image)
    return high - low >= MIN_RANGE and 2 * median < low + high


def ink_mask(image: GrayImage) -> GrayImage:
    """Find the ink with Sauvola's local threshold on the contrast-stretched image.

    J. Sauvola, M. Pietikäinen: Adaptive document image binarization, 2000.

    Returns:
        (H, W) uint8, 255 for ink and 0 elsewhere.
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
    """Return the rows and columns that contain all ink except specks, or all if there is none.

    Specks are smaller than a full stop, taken as the square of a thin stroke's width.
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
    """Replace ruling lines by the paper above and below. Strokes that cross them are kept."""
    ink = ink_mask(image)
    rules, thickness = _find_rules(ink)
    if not thickness:
        return image
    strokes = _open(ink, (2 * thickness + 2, 1))
    fringed = cv2.dilate(rules, np.ones((3, 1), np.uint8))  # scanned lines have soft edges
    paper = cv2.morphologyEx(image, cv2.MORPH_CLOSE, np.ones((2 * thickness + 5, 1), np.uint8))
    return np.where((fringed > 0) & (strokes == 0), paper, image)


def has_ruling(image: GrayImage) -> bool:
    """Return whether an image with dark ink has a ruling line."""
    return _find_rules(ink_mask(image))[1] > 0


def _find_rules(ink: GrayImage) -> tuple[GrayImage, int]:
    """Return a mask of the ruling lines and their maximum thickness, 0 if there are none.

    Line segments of two thirds of the image height are joined over gaps of the same length. A
    result that is thin, straight and spans most of the width is a rule. The ink is first
    thickened by a pixel vertically, because a slightly tilted thin line consists of short steps.
    """
    height, width = ink.shape
    length = max(12, 2 * height // 3) | 1
    thick = np.asarray(cv2.dilate(ink, np.ones((3, 1), np.uint8)), dtype=np.uint8)
    pieces = _open(thick, (1, length))
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
            ends = np.where(off <= 1 + thickness / 2, ink, np.uint8(0))  # shorter than a segment
            rules, thickest = rules | line | ends, max(thickest, thickness)
    return rules, thickest


def _fit_rule(line: GrayImage) -> tuple[int, np.ndarray]:
    """Return the thickness of a line and its vertical centre in each column.

    The thickness is 0 if the line is not straight or does not span most of the image.
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


def _open(mask: GrayImage, shape: tuple[int, int]) -> GrayImage:
    """Open a mask with an (H, W) rectangle. Outside of the image there is no ink."""
    kernel = np.ones(shape, np.uint8)
    opened = cv2.morphologyEx(
        mask, cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0.0
    )
    return np.asarray(opened, dtype=np.uint8)
