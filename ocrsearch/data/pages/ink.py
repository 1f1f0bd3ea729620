"""Find the ink of a page: separate writing from paper, shadows, skew, ruled lines and frames.

Classical image processing of grey pages at about 150 to 300 dpi, with connected components and
morphology. Text lines are found in ``lines.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrsearch.data.samples import GrayImage

MAX_SKEW_DEGREES = 20.0
"""Maximum skew that is detected."""

MIN_SKEW_CHARACTERS = 10
"""Minimum number of characters to estimate the skew of a page."""

MAX_SKEW_POINTS = 60_000
"""Number of ink pixels used to estimate the skew."""

COARSE_SKEW_POINTS = 15_000
"""Number of ink pixels used to estimate the skew to half a degree."""

DARK_SHARE = 0.65
"""Brightness of dark areas, relative to the brightness of the page."""

MIN_DARK_EDGE = 0.9
"""Minimum fraction of dark pixels along the edge of a dark area. Blocks of text have fewer."""

MIN_CONTRAST = 18.0
"""Minimum difference between ink and paper out of 255, regardless of noise."""

MIN_TEXT_HEIGHT = 6.0
"""Minimum text height, in pixels."""

MAX_FRAMES = 500
"""Maximum number of components considered as frames, those with most ink first."""

MIN_RULE_PX = 25
"""Minimum length of a horizontal rule segment in pixels, above the width of vertical rules."""

_PAPER_CELLS = 256
"""Approximate size in pixels of the copy on which the paper brightness is estimated."""

Mask = NDArray[np.uint8]
"""(H, W) uint8, 1 for ink and 0 elsewhere."""


@dataclass(frozen=True)
class Page:
    """Upright page with dark ink on light paper.

    Attributes:
        gray: (H, W) uint8, inverted where the writing is light on dark.
        paper: (H, W) uint8, estimated brightness without ink.
        ink: (H, W) mask of the ink, without ruled lines and frames.
        rules: (H, W) mask of ruled lines and frames.
        light: (H, W) mask of the areas with light ink in the source.
        skew_degrees: Rise of the text to the right before rotation (negative: fall).
        to_source: (2, 3) float64 affine matrix from page to source pixels.
    """

    gray: GrayImage
    paper: GrayImage
    ink: Mask
    rules: Mask
    light: Mask
    skew_degrees: float
    to_source: np.ndarray


def upright_page(source: GrayImage) -> Page:
    """Find the ink of a page and rotate the page so that its lines are horizontal.

    Args:
        source: (H, W) uint8, either polarity.
    """
    factor = max(1, round(max(source.shape) / 1000))
    has_dark_ink = float(_skewness(source[::factor, ::factor]).sum()) <= 0.0
    gray = source if has_dark_ink else 255 - source
    light = _light_areas(gray)
    if light.any():
        side = 5 + 2 * round(max(gray.shape) / 1000)
        kernel = np.ones((side, side), np.uint8)
        edges = cv2.morphologyEx(light, cv2.MORPH_GRADIENT, kernel) > 0
        inverted = np.where(light > 0, 255 - gray, gray)
        # edges of the areas would be taken for ink: both sides become paper
        gray = np.asarray(np.where(edges, np.maximum(gray, 255 - gray), inverted), np.uint8)
    paper = _paper(gray)
    contrast = _contrast(paper, gray)
    limit = _ink_limit(contrast)
    skew = estimate_skew(_above(contrast, limit))
    to_source: np.ndarray = np.eye(2, 3)
    if skew != 0.0:
        matrix, size = _turn(source.shape, skew)
        gray, paper = (
            np.asarray(cv2.warpAffine(x, matrix, size, borderMode=cv2.BORDER_REPLICATE), np.uint8)
            for x in (gray, paper)
        )
        contrast = np.asarray(cv2.warpAffine(contrast, matrix, size), dtype=np.uint8)
        light = np.asarray(cv2.warpAffine(light, matrix, size, flags=cv2.INTER_NEAREST), np.uint8)
        to_source = cv2.invertAffineTransform(matrix)
    ink = _above(contrast, limit)
    smeared = cv2.blur(np.minimum(contrast, min(255, round(limit))), (15, 1))
    rules = find_rules(ink, _above(smeared, 0.6 * limit))
    if rules.any():  # remove them, but keep strokes that cross them
        cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
        rest = np.asarray(cv2.subtract(ink, cv2.dilate(rules, cross)), dtype=np.uint8)
        closed = cv2.morphologyEx(rest, cv2.MORPH_CLOSE, np.ones((13, 3), np.uint8))
        ink = rest | (np.asarray(closed, dtype=np.uint8) & ink)
    return Page(gray, paper, ink, rules, light if has_dark_ink else 1 - light, skew, to_source)


def _skewness(gray: GrayImage, area: Mask | None = None) -> np.ndarray:
    """Return for each pixel whether it is lighter (positive) or darker than its surroundings.

    The rarer brightness in a neighbourhood is ink, so the sum over an area gives the polarity.
    Values are relative to the local deviation, which reduces the weight of shadows and of the
    table around a page.

    Args:
        gray: (H, W) uint8.
        area: (H, W) mask of the pixels to use; by default all.
    """
    weights = np.ones(gray.shape, np.float32) if area is None else area.astype(np.float32)
    side = max(3, max(gray.shape) // 12)
    n = np.maximum(cv2.blur(weights, (side, side)), 1e-6)
    apart = (gray - cv2.blur(gray * weights, (side, side)) / n) * weights
    variance = np.maximum(cv2.blur(apart**2, (side, side)) / n, 0)  # rounding may go below 0
    deviation = np.sqrt(variance) + MIN_CONTRAST / 2
    return np.asarray((apart / deviation) ** 3)


def _light_areas(gray: GrayImage) -> Mask:
    """Return the mask of solid dark areas with light writing, such as the bar of a heading.

    Shaded text is darker than its paper; photos and the table around a page have no writing.
    They are not included.
    """
    factor = max(1, round(max(gray.shape) / 600))
    small = np.ascontiguousarray(gray[::factor, ::factor])
    dark = _above(255 - small, 255 - DARK_SHARE * float(np.percentile(small[::2, ::2], 90)))
    filled = cv2.morphologyEx(dark, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    solid = cv2.morphologyEx(filled, cv2.MORPH_OPEN, np.ones((9, 25), np.uint8))
    n, labels = cv2.connectedComponents(solid, connectivity=4)
    inner = np.asarray(cv2.erode(solid, np.ones((7, 7), np.uint8)), dtype=np.uint8)
    edge = np.asarray(cv2.subtract(solid, inner), dtype=np.uint8)
    n_edge = np.bincount(labels[edge > 0], minlength=n)
    n_dark = np.bincount(labels[(edge & dark) > 0], minlength=n)
    has_dark_edge = (n_dark > MIN_DARK_EDGE * n_edge) & (n_edge > 0)
    if not has_dark_edge.any():
        return np.zeros_like(gray)
    skewness = np.bincount(labels.ravel(), _skewness(small, inner).ravel(), minlength=n)
    is_light = has_dark_edge & (skewness > 0.1 * np.bincount(labels.ravel(), minlength=n))
    is_light[0] = False  # the rest of the page
    areas = is_light[labels].astype(np.uint8)
    size = (gray.shape[1], gray.shape[0])
    return np.asarray(cv2.resize(areas, size, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)


def _paper(gray: GrayImage) -> GrayImage:
    """Return the brightness of the paper: morphological closing on a small copy."""
    height, width = gray.shape
    factor = max(1, math.ceil(max(height, width) / _PAPER_CELLS))
    size = (max(1, width // factor), max(1, height // factor))
    small = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15))
    closed = cv2.morphologyEx(small, cv2.MORPH_CLOSE, kernel)
    smooth = cv2.GaussianBlur(closed, (0, 0), 2)
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR))


def _contrast(paper: GrayImage, gray: GrayImage) -> GrayImage:
    """Return how much darker than the paper each pixel is, 0 to 255, amplified in shade."""
    factors = np.clip(64 * 200 / np.maximum(np.arange(256), 1), None, 160).astype(np.uint8)
    weighted = cv2.multiply(cv2.subtract(paper, gray), cv2.LUT(paper, factors), scale=1 / 64)
    return np.asarray(cv2.GaussianBlur(weighted, (3, 3), 0), dtype=np.uint8)


def _ink_limit(contrast: GrayImage) -> float:
    """Return the contrast above which a pixel is ink.

    This is Otsu's threshold, at least the paper noise, and limited to keep pencil beside print.
    """
    sample = contrast[::2, ::2]
    middle = float(np.median(sample))
    noise = 1.4826 * float(np.median(np.abs(sample.astype(np.float32) - middle)))
    otsu, _ = cv2.threshold(contrast, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return max(middle + MIN_CONTRAST, middle + 5 * noise, min(otsu, 60.0))


def _above(values: np.ndarray, limit: float) -> Mask:
    return np.asarray(cv2.threshold(values, limit, 1, cv2.THRESH_BINARY)[1], dtype=np.uint8)


def estimate_skew(ink: Mask) -> float:
    """Return the angle in degrees by which the text rises to the right, 0.0 if it is unclear.

    At the skew angle the ink is distributed most unevenly over rows, measured by the sum of
    squared differences of neighbouring rows (Postl, 1986). The angle is searched in steps of
    0.5, then 0.05 degrees. Rows are counted per string of characters, because scattered strings
    share no rows.
    """
    factor = max(1, round(max(ink.shape) / 1200))
    size = (max(1, ink.shape[1] // factor), max(1, ink.shape[0] // factor))
    shares = cv2.resize(ink * 255, size, interpolation=cv2.INTER_AREA)
    x, y, n_characters = _string_points(_above(shares, 63))
    if n_characters < MIN_SKEW_CHARACTERS:
        return 0.0

    def unevenness(degrees: float, n: int = MAX_SKEW_POINTS) -> float:
        rows = np.rint(y[:n] + x[:n] * math.tan(math.radians(degrees))).astype(np.int64)
        counts = np.bincount(rows - rows.min())
        return float((np.diff(counts).astype(np.float64) ** 2).sum())

    coarse = np.arange(-MAX_SKEW_DEGREES, MAX_SKEW_DEGREES + 0.1, 0.5)
    best = coarse[np.argmax([unevenness(angle, COARSE_SKEW_POINTS) for angle in coarse])]
    fine = best + np.arange(-0.5, 0.51, 0.05)
    scores = [unevenness(angle) for angle in fine]
    angle = round(float(fine[int(np.argmax(scores))]), 2)
    clear = max(scores) > 1.1 * unevenness(0.0) and 0.1 <= abs(angle) <= MAX_SKEW_DEGREES
    return angle if clear else 0.0


def _string_points(ink: Mask) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the ink pixels of strings of adjacent characters.

    Returns:
        (N,) columns relative to the centre of the string, and (N,) rows as if all strings were
        stacked vertically, of some ink pixels; and the approximate number of characters.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    text_height = typical_height(stats)
    kernel = np.ones((1, round(1.5 * text_height)), np.uint8)
    joined = cv2.morphologyEx(ink, cv2.MORPH_CLOSE, kernel)
    _, labels, stats, centres = cv2.connectedComponentsWithStats(joined, connectivity=8)
    y, x = np.nonzero(ink)
    some = np.random.default_rng(0).permutation(len(x))[:MAX_SKEW_POINTS]
    x, y = x[some], y[some]
    strings = labels[y, x]
    n_characters = float(stats[1:, cv2.CC_STAT_WIDTH].sum()) / text_height
    _, top, width, height, _ = stats.T
    rooms = height + np.ceil(width * math.tan(math.radians(MAX_SKEW_DEGREES + 1))) + 2
    apart = np.floor(np.cumsum(rooms) - rooms / 2 - top - height / 2)
    return x - centres[strings, 0], y + apart[strings], n_characters


def _turn(shape: tuple[int, ...], degrees: float) -> tuple[np.ndarray, tuple[int, int]]:
    """Return the matrix and the size (W, H) for rotating a page clockwise without cropping."""
    height, width = shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    new_width, new_height = (
        math.ceil(width * cos + height * sin),
        math.ceil(width * sin + height * cos),
    )
    matrix[:, 2] += (new_width - width) / 2, (new_height - height) / 2
    return matrix, (new_width, new_height)


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
    max_thickness = max(4.0, 0.25 * text_height)
    is_frame = np.zeros(len(stats), np.uint8)
    is_frame[frames(stats)] = 1
    level = _level_runs(ink, 4 * text_height) | _level_runs(smeared, 12 * text_height)
    if is_frame.any():
        level = level | _level_runs(is_frame[labels], 1.5 * text_height)
    level = _level_rules(ink, level, max_thickness)
    upright = _level_runs(ink.T, (0.9 if level.any() else 4) * text_height).T
    if not upright.any():
        return level
    _, labels, stats, _ = cv2.connectedComponentsWithStats(upright, connectivity=8)
    left, top, width, height, area = stats.T
    near = cv2.dilate(level, np.ones((7, 7), np.uint8))
    middle, bottom = left + width // 2, top + height - 1
    has_ends = (near[top, middle] & near[bottom, middle]) > 0
    is_rule = (area <= max_thickness * height) & (has_ends | (height > 4 * text_height))
    is_rule[0] = False
    return np.asarray(level | is_rule.astype(np.uint8)[labels])


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
    thickness = np.zeros(len(stats))
    for i, (left, top, width, height, _) in enumerate(stats[1:], 1):
        own = labels[top : top + height, left : left + width] == i
        thickness[i] = np.median(own.sum(0))
    is_rule = thickness <= max_thickness
    is_rule[0] = False  # the rest of the page
    if not is_rule.any():
        return np.zeros_like(ink)
    y, x = np.nonzero(is_rule[labels])
    apart, rise = np.stack([x, y]) - centres[labels[y, x]].T
    slope = float((apart * rise).sum() / max(1.0, (apart**2).sum()))
    bands = np.zeros(ink.shape, np.uint8)  # rules, extended on each side by their length
    for (left, _, width, _, area), (x, y) in zip(stats[is_rule], centres[is_rule], strict=True):
        columns = np.arange(max(0, left - width), min(ink.shape[1], left + 2 * width))
        reach = math.ceil(area / width / 2) + 1
        for offset in range(-reach, reach + 1):
            rows = np.rint(y + slope * (columns - x) + offset).astype(np.int64)
            inside = (rows >= 0) & (rows < ink.shape[0])
            bands[rows[inside], columns[inside]] = 1
    kernel = np.ones((math.ceil(thickness[is_rule].max()) + 3, 1), np.uint8)
    thin = cv2.subtract(ink, cv2.morphologyEx(ink, cv2.MORPH_OPEN, kernel))
    return np.asarray(thin & (bands | is_rule[labels]), dtype=np.uint8)


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
