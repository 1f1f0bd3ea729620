"""Ruled lines and frames on a page, and connected components of ink.

Connected components of ink on a page: frames of fields, and the height of most text.

Ruled lines on a page, and the frames of tables and fields.
"""

from __future__ import annotations

import math

import cv2
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


MIN_RULE_PX = 25
"""Least length of a piece of a level rule, in pixels, so that upright rules are no part of it."""


def find_rules(ink: Mask, smeared: Mask) -> Mask:
    """Return the mask of ruled lines and of the frames of tables and fields.

    A rule is thin, straight and much longer than characters are high. An upright line counts
    too where it is shorter but ends at level rules: the side of a field.

    Args:
        ink: (H, W) mask.
        smeared: the same along rows, so that faint rules are whole; words stay apart.
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
    """Return the boxes of level rules (N, 4): left, top, right, bottom.

    Args:
        rules: (H, W) mask of rules of all directions, see ``find_rules``.
    """
    if not rules.any():
        return np.empty((0, 4), np.int64)
    level = cv2.morphologyEx(rules, cv2.MORPH_OPEN, np.ones((1, MIN_RULE_PX), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(level, connectivity=8)
    left, top, width, height, _ = stats[1:].T
    return np.stack([left, top, left + width, top + height], axis=1)


def _level_runs(ink: Mask, length: float) -> Mask:
    """Return the ink in level runs of at least a length; they may step by a pixel."""
    thick = cv2.dilate(ink, np.ones((3, 1), np.uint8))
    kernel = np.ones((1, max(12, round(length))), np.uint8)
    return np.asarray(cv2.morphologyEx(thick, cv2.MORPH_OPEN, kernel), dtype=np.uint8) & ink


def _level_rules(ink: Mask, runs: Mask, max_thickness: float) -> Mask:
    """Return the thin ink in the rows in which there are runs that are mostly thin.

    Mostly, as text may stand on a rule; in their rows, as a rule may be faint in places.
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
    """Return a mask of the rows of rules, to the sides by as much again as the rules are long."""
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
    """Return the thin upright lines that are long, or that begin and end at level rules."""
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
