"""Connected components of ink on a page: frames of fields, and the height of most text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_FRAMES = 500
"""Components that are looked at as frames of fields, those with most ink first."""


MIN_TEXT_HEIGHT = 6.0
"""Least height of text in pixels."""


Mask = NDArray[np.uint8]
"""(H, W) uint8, 1 where there is ink and 0 elsewhere."""


def frames(stats: np.ndarray) -> np.ndarray:
    """Return the components that hold others of some size, and little ink: frames of fields.

    Args:
        stats: of OpenCV's connected components, the first one the whole page.
    """
    left, top, width, height, area = stats.T
    hollow = np.flatnonzero((area < 0.3 * width * height) & (height > 2 * MIN_TEXT_HEIGHT))
    hollow = hollow[hollow > 0]
    found = []
    for i in hollow[np.argsort(-area[hollow])][:MAX_FRAMES]:
        inside = (left > left[i]) & (left + width < left[i] + width[i])
        inside &= (top > top[i]) & (top + height < top[i] + height[i])
        if (height[inside] > 0.3 * height[i]).any():
            found.append(i)
    return np.array(found, np.int64)


def typical_height(stats: np.ndarray) -> float:
    """Return the height of most text in pixels: the median over components, weighted by width.

    Components that are long or large against the page (rules, pictures), frames and specks do
    not count, unless there are no others.

    Args:
        stats: of OpenCV's connected components, the first one the whole page.
    """
    _, _, page_width, page_height, _ = stats[0]
    _, _, width, height, _ = stats[1:].T
    fits = (width < 0.4 * page_width) & (height < 0.25 * page_height) & (width <= 8 * height)
    fits &= height >= MIN_TEXT_HEIGHT
    fits[frames(stats) - 1] = False
    if fits.any():
        height, width = height[fits], width[fits]
    if len(height) == 0:
        return MIN_TEXT_HEIGHT
    order = np.argsort(height)
    weight = np.cumsum(width[order].astype(np.float64))
    middle = order[np.searchsorted(weight, weight[-1] / 2)]
    return max(float(height[middle]), MIN_TEXT_HEIGHT)
