"""From a picture of any mode to grey, so that what can be seen is not lost.

Brightness is enough for nearly all pictures. Light ink on transparency vanishes on white paper,
and so does ink as bright as a paper of another colour: only there another way is taken.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from ocrsearch.data.samples import GrayImage

MIN_CONTRAST = 8
"""Grey levels; a picture with fewer between its darkest and its lightest pixel is blank."""

LOW_CONTRAST = 64
"""Grey levels on white paper under which ink on transparency may be seen better on black."""

LOST_CONTRAST = 24
"""Grey levels between most pixels under which colours are looked at."""

COLOUR_GAIN = 3
"""How many times the contrast of brightness the contrast of colours must be to be taken."""

MOST = (1, 99)
"""Percentiles between which most pixels are: edges in a JPEG have colours of their own."""

MAX_SAMPLED = 200_000
"""Pixels of which percentiles and the direction of colours are estimated."""


def gray_of(image: Image.Image) -> GrayImage:
    """Convert a picture to grey.

    Args:
        image: loaded, of any mode.

    Returns:
        (H, W) uint8: brightness, with 16 bits scaled to 8 and transparency on white; as dark ink on
        white where light ink on transparency, or ink as bright as its paper, would vanish.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return _gray_of_numbers(image)
    if not image.has_transparency_data:
        return _brightness_or_colour(image)
    rgba = image.convert("RGBA")
    alpha = np.asarray(rgba.getchannel("A"))
    if not alpha.any() and not is_blank(_brightness(rgba.convert("RGB"))):
        return _brightness_or_colour(rgba.convert("RGB"))  # an alpha that means nothing
    white = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    if alpha.min() == 255 or np.ptp(_brightness(white)) >= LOW_CONTRAST:
        return _brightness_or_colour(white.convert("RGB"))
    black = Image.alpha_composite(Image.new("RGBA", rgba.size, "black"), rgba)
    return _clearer(_brightness_or_colour(white.convert("RGB")), 255 - _brightness(black))


def is_blank(image: GrayImage) -> bool:
    """Whether a picture has no contrast at all."""
    return bool(np.ptp(image) < MIN_CONTRAST)


def _clearer(on_white: GrayImage, on_black: GrayImage) -> GrayImage:
    """Return the picture with more contrast, in doubt the first; both are dark on light."""
    return on_black if np.ptp(on_black) > 2 * int(np.ptp(on_white)) else on_white


def _brightness(image: Image.Image) -> GrayImage:
    return np.asarray(image.convert("L"), dtype=np.uint8).copy()


def _brightness_or_colour(image: Image.Image) -> GrayImage:
    """Return the brightness of an opaque picture, or where that is the same all over, its colour.

    Colour is the projection on the direction in which the colours differ most, with what most of
    the picture has as light.
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
    if high - middle > middle - low:  # ink is what is away from most, and is to be dark
        direction, high = -direction, -low
    projected = colours.convert("L", (*direction, 255 - high))
    return np.asarray(projected, dtype=np.uint8).copy()


def _sampled(pixels: np.ndarray) -> np.ndarray:
    """Return about MAX_SAMPLED pixels of a picture, (N,) or (N, C), evenly spread."""
    flat = pixels.reshape(-1, *pixels.shape[2:])
    return flat[:: max(1, len(flat) // MAX_SAMPLED)]


def _contrast(values: np.ndarray) -> float:
    low, high = np.percentile(values, MOST)
    return float(high - low)


def _gray_of_numbers(image: Image.Image) -> GrayImage:
    """Scale integers of 16 or 32 bits or floats; one value of them may stand for transparency."""
    values = np.array(image, dtype=np.float64)
    key = image.info.get("transparency")
    shown = np.ones(values.shape, bool) if not isinstance(key, int) else values != key
    gray = _scale_to_8_bits(values, shown)
    if shown.all() or not shown.any():
        return gray
    on_white = np.where(shown, gray, np.uint8(255))
    return _clearer(on_white, np.where(shown, 255 - gray, np.uint8(255)))


def _scale_to_8_bits(values: np.ndarray, shown: np.ndarray) -> GrayImage:
    np.nan_to_num(values, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0, where=shown))
    full = 255.0 if top <= 255.0 else 65535.0 if top <= 65535.0 else top
    if 0.0 < top <= 1.0:
        full = 1.0
    elif 255.0 < top < 8192.0:  # 10 or 12 bits in 16
        full = 2.0 ** int(top).bit_length() - 1
    values *= 255.0 / full
    return np.clip(values, 0, 255, out=values).astype(np.uint8)
