"""The profile of an image: a few numbers that tell text on its paper from anything else.

They describe shape, grey levels, edges at three scales, and how ink is spread over rows and
columns. ``evaluation/familiarity.py`` compares them with those of training images, and
``deployment/page/profile.js`` computes the same in the browser.
"""

from __future__ import annotations

import numpy as np

from ocrsearch.core import ImageConfig
from ocrsearch.data.images.reading import scale_image, shrink_line
from ocrsearch.data.samples import GrayImage

N_VALUES = 15
"""Number of values in a profile."""

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SCALES = (1, 2, 4)
"""Sizes of the blocks whose means are compared with those of their neighbours."""

OFFSET = 1e-3
"""Added before a logarithm."""

_SIZE = ImageConfig(height=32)


def image_profile(image: GrayImage) -> np.ndarray:
    """Return the profile of an image as it was read, before any preprocessing.

    Args:
        image: (H, W) uint8.

    Returns:
        (N_VALUES,) float64: logarithm of width by height; quantiles of the grey levels in [0, 1];
        logarithms of their standard deviation, of the mean vertical and horizontal difference of
        neighbouring blocks at each scale, and of the standard deviation of the means of columns
        and of rows.
    """
    shrunk = shrink_line(image)
    pixels = scale_image(shrunk, _SIZE)
    gray = pixels / 255
    height, width = gray.shape
    spreads = [gray.std()]
    for size in SCALES:
        blocks = gray.reshape(height // size, size, width // size, size).mean((1, 3))
        spreads += [np.abs(np.diff(blocks, axis=axis)).mean() for axis in (0, 1)]
    spreads += [gray.mean(0).std(), gray.mean(1).std()]
    ratio = np.log(shrunk.shape[1] / shrunk.shape[0])
    last = gray.size - 1
    places, levels = np.multiply(QUANTILES, last), np.sort(pixels, axis=None)
    quantiles = np.interp(places, np.arange(last + 1), levels) / 255  # np.quantile is slower
    return np.array([ratio, *quantiles, *np.log(np.array(spreads) + OFFSET)])
