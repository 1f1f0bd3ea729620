"""Group connected components of ink into text lines.

Components are linked to neighbours of similar height, so lines of different sizes can be found on
the same page. Dots and accents join the nearest compatible line. Touching lines are split at the
row with the least ink between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ocrsearch.data.pages.ink import Mask, typical_height

MAX_GAP = 1.5
"""Maximum gap between components of a line, in heights of the taller component."""

MAX_WORD_GAP = 1.5
"""Maximum gap between parts of a line, in heights of the taller part."""

MIN_SPACE = 0.35
"""Minimum gap between words, in character heights."""

MAX_HEIGHT_RATIO = 3.0
"""Maximum height ratio of neighbours, as between characters with and without ascender."""

MIN_LINE_HEIGHT = 0.6
"""Minimum height of lines that are split, relative to the typical text height."""

MAX_TEXT_HEIGHTS = 8
"""Maximum height of a component, in typical text heights. Taller ones are photos or frames."""

MAX_PARTS = 5000
"""Maximum number of grouped components, those with most ink first. The rest is noise."""


@dataclass(frozen=True)
class Parts:
    """Connected components of ink.

    Attributes:
        labels: (H, W) int32, 0 for paper and n + 1 for component n.
        boxes: (N, 4) int64 left, top, right, bottom; right and bottom are exclusive.
        text_height: Typical text height, in pixels.
    """

    labels: np.ndarray
    boxes: np.ndarray
    text_height: float

    @property
    def heights(self) -> np.ndarray:
        """Height of each component, (N,) int64 in pixels."""
        return np.asarray(self.boxes[:, 3] - self.boxes[:, 1])

    def own(self, ids: np.ndarray) -> np.ndarray:
        """Return (N + 1,) uint8, 1 for the labels of the given components."""
        own = np.zeros(len(self.boxes) + 1, np.uint8)
        own[ids + 1] = 1
        return own


def group_ink(ink: Mask) -> tuple[Parts, list[np.ndarray]]:
    """Return the components of ink, and the component ids of each line, in no order."""
    parts = _find_parts(ink)
    groups = _group(parts)
    cut = _cut_at_seams(ink, parts, groups)
    if cut is not None:
        parts = _find_parts(cut)
        groups = _group(parts)
    pieces: list[np.ndarray] = []
    for ids in groups:
        middles = parts.boxes[ids][:, [1, 3]].mean(1)
        between = np.searchsorted(_seams(parts, ids), middles)
        pieces += [ids[between == n] for n in np.unique(between)]
    # join the pieces of a line whose words are far apart relative to their height
    boxes = np.array([bounds(parts.boxes[ids]) for ids in pieces]).reshape(-1, 4)
    lines = []
    for group in _connected(len(boxes), _links(boxes, parts.text_height, MAX_WORD_GAP)):
        ids = np.concatenate([pieces[i] for i in group])
        left, top, right, bottom = bounds(parts.boxes[ids])
        least = 0.35 if right - left < 3 * parts.text_height else 0.3
        if bottom - top >= least * parts.text_height:  # lower: specks or the remains of a rule
            lines.append(ids)
    return parts, lines


def _find_parts(ink: Mask) -> Parts:
    """Label the components that can be text: not too small, too large or remains of rules."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    text_height = typical_height(stats)
    _, _, width, height, area = stats.T
    flat = (height <= max(4.0, 0.2 * text_height)) & (width >= 1.2 * text_height)
    small = area < max(4.0, (0.08 * text_height) ** 2)
    large = height > MAX_TEXT_HEIGHTS * text_height
    fits = ~(flat | small | large)
    fits[0] = False  # the paper
    kept = np.flatnonzero(fits)
    kept = np.sort(kept[np.argsort(-area[kept], kind="stable")][:MAX_PARTS])
    new = np.zeros(len(stats), np.int32)
    new[kept] = np.arange(1, len(kept) + 1)
    left, top, width, height = stats[kept, :4].astype(np.int64).T
    boxes = np.stack([left, top, left + width, top + height], axis=1)
    return Parts(new[labels], boxes, text_height)


def _group(parts: Parts) -> list[np.ndarray]:
    """Group components that are side by side, then add dots and accents."""
    boxes = parts.boxes
    groups = _connected(len(boxes), _links(boxes, parts.text_height, MAX_GAP))
    group_of = np.empty(len(boxes), np.int64)
    heights = np.empty(len(groups))
    for g, ids in enumerate(groups):
        group_of[ids] = g
        heights[g] = np.median(parts.heights[ids])
    hosts = np.arange(len(groups))
    for small in np.flatnonzero(heights < 0.8 * parts.text_height):
        box, height = bounds(boxes[groups[small]]), float(heights[small])
        nearest = _nearest_host(boxes, heights[group_of], box, height)
        if nearest is not None:
            hosts[small] = group_of[nearest]
    while not np.array_equal(hosts, hosts[hosts]):  # an accent may itself have a dot
        hosts = hosts[hosts]
    return [np.flatnonzero(hosts[group_of] == host) for host in np.unique(hosts)]


def _nearest_host(
    boxes: np.ndarray, heights: np.ndarray, box: np.ndarray, height: float
) -> int | None:
    """Return the nearest component whose line can contain a small group, or None.

    Args:
        boxes: (N, 4) boxes of all components.
        heights: (N,) character heights of each component's line.
        box: Bounding box of the group.
        height: Character height in the group.
    """
    dx = np.maximum(0, np.maximum(boxes[:, 0] - box[2], box[0] - boxes[:, 2]))
    dy = np.maximum(0, np.maximum(boxes[:, 1] - box[3], box[1] - boxes[:, 3]))
    dot = (height < 0.6 * heights) & (dx <= 0.7 * heights)
    stack = (height < heights) & (dx == 0)  # stacked accents
    reach = np.where(dot, np.clip(1.2 * height, 0.4 * heights, 0.8 * heights), 0.4 * heights)
    widest = np.where(height < 0.45 * heights, 2, 1) * heights
    fits = (dot | stack) & (dy <= reach) & (box[2] - box[0] <= widest)
    return int(np.argmin(np.where(fits, dx + dy, np.inf))) if fits.any() else None


def _cut_at_seams(ink: Mask, parts: Parts, groups: list[np.ndarray]) -> Mask | None:
    """Return the ink with components cut where they cross a seam, or None if none does."""
    cut = None
    for ids in groups:
        boxes = parts.boxes[ids]
        reach = 0.3 * float(np.median(parts.heights[ids]))
        for y in _seams(parts, ids):
            for i in ids[(boxes[:, 1] < y - reach) & (boxes[:, 3] > y + reach)]:
                left, _, right, _ = parts.boxes[i]
                cut = ink.copy() if cut is None else cut
                cut[y, left:right][parts.labels[y, left:right] == i + 1] = 0
    return cut


def _seams(parts: Parts, ids: np.ndarray) -> list[int]:
    """Return the rows that separate the lines of a group, from top to bottom."""
    left, top, right, bottom = bounds(parts.boxes[ids])
    height = float(np.median(parts.heights[ids]))
    height = max(height, MIN_LINE_HEIGHT * parts.text_height)
    is_character = right - left < bottom - top  # with broken strokes
    if is_character or bottom - top < 1.7 * height:
        return []
    profile = parts.own(ids)[parts.labels[top:bottom, left:right]].sum(1).astype(np.float32)
    smooth = cv2.GaussianBlur(profile[:, None], (1, 0), sigmaX=0.1, sigmaY=0.1 * height)[:, 0]
    return [int(top) + y for y in _valleys(smooth, height)]


def _valleys(profile: np.ndarray, height: float) -> list[int]:
    """Return the rows where a profile is below half of the peaks on both sides.

    The peaks must be about a text height apart, with comparable ink on both sides, because
    accents and descenders have small peaks of their own.
    """
    edge = round(0.4 * height)
    rows = np.arange(max(1, edge), len(profile) - edge)
    above, peak_above = _peaks(profile)
    below, peak_below = (values[::-1] for values in _peaks(profile[::-1]))
    apart = (len(profile) - 1 - peak_below[rows]) - peak_above[rows - 1]
    ink = np.cumsum(profile)[rows - 1]
    balance = np.minimum(ink, profile.sum() - ink) / np.maximum(ink, profile.sum() - ink)
    depth = profile[rows] / np.maximum(np.minimum(above[rows - 1], below[rows]), 1.0)
    depth[(apart < 0.9 * height) | (balance < 0.2)] = 1.0
    if len(rows) == 0 or depth.min() >= 0.5:
        return []
    y = int(rows[depth.argmin()])
    return [*_valleys(profile[:y], height), y, *(y + v for v in _valleys(profile[y:], height))]


def _peaks(profile: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the running maximum of a profile and the row where it occurs."""
    largest = np.maximum.accumulate(profile)
    return largest, np.maximum.accumulate(np.where(profile == largest, np.arange(len(profile)), 0))


def _links(boxes: np.ndarray, text_height: float, max_gap: float) -> np.ndarray:
    """Return the (P, 2) pairs of boxes that are neighbours in a line."""
    left, top, right, bottom = boxes.T
    heights = bottom - top
    pairs = [np.empty((0, 2), np.int64)]
    for start in range(0, len(boxes), 256):  # in chunks to limit memory
        some = slice(start, start + 256)
        overlap = np.minimum(bottom[some, None], bottom) - np.maximum(top[some, None], top)
        gap = np.maximum(left[some, None], left) - np.minimum(right[some, None], right)
        low = np.minimum(heights[some, None], heights)
        high = np.maximum(heights[some, None], heights)
        similar = (high <= MAX_HEIGHT_RATIO * low) | (low >= 0.5 * text_height)
        linked = (overlap >= 0.5 * low) & similar & (gap <= max_gap * high)
        pairs.append(np.argwhere(linked) + np.array([start, 0]))
    return np.concatenate(pairs)


def _connected(n: int, pairs: np.ndarray) -> list[np.ndarray]:
    """Return the connected components of a graph with n nodes and symmetric edges."""
    root = np.arange(n)
    while True:
        lower = root.copy()
        np.minimum.at(lower, pairs[:, 0], root[pairs[:, 1]])
        lower = lower[lower]
        if np.array_equal(lower, root):
            return [np.flatnonzero(root == r) for r in np.unique(root)]
        root = lower


def bounds(boxes: np.ndarray) -> np.ndarray:
    """Return the bounding box of (N, 4) boxes, N at least 1."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def count_words(boxes: np.ndarray) -> int:
    """Return the number of words in a line, from the gaps between its (N, 4) components."""
    order = np.argsort(boxes[:, 0], kind="stable")
    reach = np.maximum.accumulate(boxes[order, 2])
    gaps = np.maximum(0, boxes[order, 0][1:] - reach[:-1])
    if len(gaps) == 0:
        return 1
    height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    return 1 + int((gaps > max(MIN_SPACE * height, 2 * float(np.median(gaps)))).sum())
