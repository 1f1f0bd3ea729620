"""Ruled lines, table frames and field frames on a page, and the typical text height.

Works on connected components and morphology of the ink mask. Masks are 1 for ink and 0 elsewhere.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_FRAMES = 500
"""Maximum number of components considered as frames, those with most ink first."""


MIN_TEXT_HEIGHT = 6.0
"""Minimum text height, in pixels."""


Mask = NDArray[np.uint8]
"""(H, W) uint8, 1 for ink and 0 elsewhere."""


def frames(stats: np.ndarray) -> np.ndarray:
    """Return the ids of field frames: components with little ink that enclose large others.

    Args:
        stats: (N, 5) statistics from OpenCV's connected components; row 0 is the whole page.
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
    """Return the typical text height in pixels: the median over components, weighted by width.

    Frames, specks and components that are large relative to the page (rules, photos) are
    ignored unless there are no others.

    Args:
        stats: (N, 5) statistics from OpenCV's connected components; row 0 is the whole page.
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


MIN_RULE_PX = 25
"""Minimum length of a horizontal rule segment in pixels, above the width of vertical rules."""


def find_rules(ink: Mask, smeared: Mask) -> Mask:
    """Return the mask of ruled lines and of table and field frames.

    A rule is thin, straight and much longer than the text height. A shorter vertical line also
    counts if it ends at horizontal rules, as the side of a field.

    Args:
        ink: (H, W) mask.
        smeared: (H, W) mask smeared along rows to close faint rules, but not the gaps of words.
    """
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    text_height = typical_height(stats)
    is_frame = np.zeros(len(stats), np.uint8)
    is_frame[frames(stats)] = 1
    level = _level_runs(ink, 4 * text_height) | _level_runs(smeared, 12 * text_height)
    if is_frame.any():
        level = level | _level_runs(is_frame[labels], 1.5 * text_height)
    level = _level_rules(ink, level, max(4.0, 0.25 * text_height))
    return level | _upright_rules(ink, level, text_height)


def rule_boxes(rules: Mask) -> np.ndarray:
    """Return the boxes of horizontal rules, (N, 4): left, top, right, bottom.

    Args:
        rules: (H, W) mask of rules in all directions; see ``find_rules``.
    """
    if not rules.any():
        return np.empty((0, 4), np.int64)
    level = cv2.morphologyEx(rules, cv2.MORPH_OPEN, np.ones((1, MIN_RULE_PX), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(level, connectivity=8)
    left, top, width, height, _ = stats[1:].T
    return np.stack([left, top, left + width, top + height], axis=1)


def _level_runs(ink: Mask, length: float) -> Mask:
    """Return the ink in horizontal runs of a minimum length, which may step by a pixel."""
    thick = cv2.dilate(ink, np.ones((3, 1), np.uint8))
    kernel = np.ones((1, max(12, round(length))), np.uint8)
    return np.asarray(cv2.morphologyEx(thick, cv2.MORPH_OPEN, kernel), dtype=np.uint8) & ink


def _level_rules(ink: Mask, runs: Mask, max_thickness: float) -> Mask:
    """Return the thin ink in the rows of runs that are thin along most of their length.

    Text may stand on parts of a rule, and parts of a rule may be too faint for a run.
    """
    _, labels, stats, centres = cv2.connectedComponentsWithStats(runs, connectivity=8)
    thickness = np.array([_usual_thickness(labels, i, stats[i]) for i in range(1, len(stats))])
    ids = np.flatnonzero(thickness <= max_thickness) + 1
    if len(ids) == 0:
        return np.zeros_like(ink)
    is_rule = np.zeros(len(stats), bool)
    is_rule[ids] = True
    y, x = np.nonzero(is_rule[labels])
    apart, rise = np.stack([x, y]) - centres[labels[y, x]].T
    slope = (apart * rise).sum() / max(1.0, (apart**2).sum())
    bands = _bands(ink.shape, stats[ids], centres[ids], float(slope))
    kernel = np.ones((math.ceil(thickness[ids - 1].max()) + 3, 1), np.uint8)
    thin = cv2.subtract(ink, cv2.morphologyEx(ink, cv2.MORPH_OPEN, kernel))
    return np.asarray(thin & (bands | is_rule[labels]), dtype=np.uint8)


def _bands(shape: tuple[int, ...], stats: np.ndarray, centres: np.ndarray, slope: float) -> Mask:
    """Return a mask of the rows of rules, extended on each side by the length of the rule."""
    bands = np.zeros(shape, np.uint8)
    for (left, _, width, _, area), (x, y) in zip(stats, centres, strict=True):
        columns = np.arange(max(0, left - width), min(shape[1], left + 2 * width))
        reach = math.ceil(area / width / 2) + 1
        for offset in range(-reach, reach + 1):
            rows = np.rint(y + slope * (columns - x) + offset).astype(np.int64)
            inside = (rows >= 0) & (rows < shape[0])
            bands[rows[inside], columns[inside]] = 1
    return bands


def _usual_thickness(labels: np.ndarray, i: int, stats: np.ndarray) -> float:
    left, top, width, height, _ = stats
    own = labels[top : top + height, left : left + width] == i
    return float(np.median(own.sum(0)))


def _upright_rules(ink: Mask, level: Mask, text_height: float) -> Mask:
    """Return thin vertical lines that are long, or that start and end at horizontal rules."""
    runs = _level_runs(ink.T, (0.9 if level.any() else 4) * text_height).T
    if not runs.any():
        return runs
    _, labels, stats, _ = cv2.connectedComponentsWithStats(runs, connectivity=8)
    left, top, width, height, area = stats.T
    near = cv2.dilate(level, np.ones((7, 7), np.uint8))
    middle, bottom = left + width // 2, top + height - 1
    ends = (near[top, middle] & near[bottom, middle]) > 0
    is_rule = (area <= max(4.0, 0.25 * text_height) * height) & (ends | (height > 4 * text_height))
    is_rule[0] = False
    return np.asarray(is_rule.astype(np.uint8)[labels])
