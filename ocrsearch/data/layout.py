"""Lines of writing or print on a page: where they are, in which order, and their pictures.

Components of ink are linked to neighbours of similar height, which finds lines of any size on
one page. Where two lines touch, their ink is cut between them. The reading order goes down
columns of full lines, else along rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ocrsearch.data.page import MIN_TEXT_HEIGHT, Mask, Page, typical_height, upright_page
from ocrsearch.data.samples import GrayImage

MAX_ANALYSED_PIXELS = 12_000_000
"""Larger pages are analysed, and their lines cut out, at a scale at which they have so many."""

MARGIN = 0.2
"""Paper around a line's ink in its picture, as a share of the ink's height."""

MAX_GAP = 1.5
"""Widest gap between components of a line, in heights of the higher one."""

MAX_WORD_GAP = 1.2
"""Widest gap between pieces of a line, in heights of the higher one."""

MAX_HEIGHT_RATIO = 3.0
"""Of two neighbours in a line: a character with ascender and one without."""

MAX_TEXT_HEIGHTS = 8
"""Components that are so many times as high as most text are pictures or frames."""

MAX_PARTS = 5000
"""Components that are grouped, those with most ink first: more are noise or a picture."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are the first ones outside."""


@dataclass(frozen=True)
class FoundLine:
    """A line on a page.

    Attributes:
        image: the line cut out of the upright page, with a margin of paper and without ruled
            lines or ink of other lines.
        box: of its ink, in pixels of the page as it was given.
    """

    image: GrayImage
    box: Box


@dataclass(frozen=True)
class Layout:
    """The lines of a page in reading order, and by how many degrees they rose to the right."""

    lines: list[FoundLine]
    skew_degrees: float


@dataclass(frozen=True)
class _Parts:
    """Components of ink.

    Attributes:
        labels: (H, W) int32, 0 for paper, n + 1 for the component n.
        boxes: (N, 4) int64, left, top, right, bottom.
        text_height: of most ink, in pixels.
    """

    labels: np.ndarray
    boxes: np.ndarray
    text_height: float

    @property
    def heights(self) -> np.ndarray:
        return np.asarray(self.boxes[:, 3] - self.boxes[:, 1])


def find_lines(source: GrayImage) -> Layout:
    """Find the lines on a page.

    Args:
        source: (H, W) uint8, text level to within MAX_SKEW_DEGREES, dark on light or reverse.
    """
    if min(source.shape) < MIN_TEXT_HEIGHT:
        return Layout([], 0.0)
    scale = min(1.0, math.sqrt(MAX_ANALYSED_PIXELS / source.size))
    if scale < 1.0:
        source = np.asarray(
            cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        )
    page = upright_page(source)
    parts = _parts(page.ink)
    groups = _group(parts)
    if _cut_between_lines(page.ink, parts, groups):
        parts = _parts(page.ink)
        groups = _group(parts)
    pieces = [piece for ids in groups for piece in _pieces(parts, ids)]
    groups = _text_like(parts, _joined(parts, pieces))
    boxes = np.array([_bounds(parts.boxes[ids]) for ids in groups]).reshape(-1, 4)
    lines = []
    for i in reading_order(boxes):
        picture = _picture(page, parts, groups[i], boxes[i])
        lines.append(FoundLine(picture, _source_box(page, parts.boxes[groups[i]], scale)))
    return Layout(lines, page.skew_degrees)


def reading_order(boxes: np.ndarray) -> list[int]:
    """Return the order in which lines are read.

    Columns are read one after the other where at least three lines stand in each and most of
    them fill it; otherwise rows are read from left to right, and rows from top to bottom.

    Args:
        boxes: (N, 4), left, top, right, bottom.
    """
    rows = _rows(boxes, np.arange(len(boxes)))
    order: list[int] = []
    start = 0
    while start < len(rows):
        for stop in range(len(rows), start, -1):
            ids = np.concatenate(rows[start:stop])
            left = _left_column(boxes, ids)
            if left is not None:
                right = np.setdiff1d(ids, left)
                for column in (left, right):
                    order += [int(column[i]) for i in reading_order(boxes[column])]
                start = stop
                break
        else:
            order += [int(i) for i in rows[start]]
            start += 1
    return order


def _rows(boxes: np.ndarray, ids: np.ndarray) -> list[np.ndarray]:
    """Group boxes into rows, top to bottom; a row's boxes left to right."""
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    rows: list[list[int]] = []
    for i in ids[np.argsort(middles[ids], kind="stable")]:
        if rows and middles[i] < boxes[rows[-1][0], 3]:
            rows[-1].append(int(i))
        else:
            rows.append([int(i)])
    return [np.array(sorted(row, key=lambda i: boxes[i, 0])) for row in rows]


def _left_column(boxes: np.ndarray, ids: np.ndarray) -> np.ndarray | None:
    """Return the boxes of the leftmost column, or None where there are no columns."""
    chosen = boxes[ids]
    order = np.argsort(chosen[:, 0], kind="stable")
    reach = np.maximum.accumulate(chosen[order, 2])
    gaps = np.flatnonzero(chosen[order, 0][1:] > reach[:-1])
    for gap in gaps:
        left, right = ids[order[: gap + 1]], ids[order[gap + 1 :]]
        if _is_column(boxes[left]) and _is_column(boxes[right]):
            return left
    return None


def _is_column(boxes: np.ndarray) -> bool:
    width = boxes[:, 2].max() - boxes[:, 0].min()
    full = (boxes[:, 2] - boxes[:, 0]) > 0.6 * width
    return len(boxes) >= 3 and float(full.mean()) >= 0.6


def _parts(ink: Mask) -> _Parts:
    """Label the components of ink, without those that are too small to be a dot."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    text_height = typical_height(stats)
    areas = stats[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    width, height = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    rule = (height <= max(4.0, 0.2 * text_height)) & (width >= 1.2 * text_height)
    large = height > MAX_TEXT_HEIGHTS * text_height
    dot = max(4.0, (0.08 * text_height) ** 2)
    kept = np.flatnonzero((areas >= dot) & ~rule & ~large)
    kept = np.sort(kept[np.argsort(-areas[kept], kind="stable")][:MAX_PARTS])
    new = np.zeros(len(stats), np.int32)
    new[kept] = np.arange(1, len(kept) + 1)
    left, top, width, height = stats[kept, :4].astype(np.int64).T
    return _Parts(
        new[labels], np.stack([left, top, left + width, top + height], axis=1), text_height
    )


def _group(parts: _Parts) -> list[np.ndarray]:
    """Group components into lines; a small one goes to the nearest line that it belongs to."""
    boxes, heights = parts.boxes, parts.heights
    groups = _components(len(boxes), *_links(boxes, parts.text_height, MAX_GAP))
    group_of = np.empty(len(boxes), np.int64)
    tall = np.empty(len(groups))
    wide = np.empty(len(groups))
    for g, ids in enumerate(groups):
        group_of[ids] = g
        tall[g] = np.median(heights[ids])
        wide[g] = np.ptp(boxes[ids][:, [0, 2]])
    hosts = np.arange(len(groups))
    for g in np.argsort(tall):
        box = _bounds(boxes[groups[g]])
        host_height = tall[group_of]
        dx = np.maximum(0, np.maximum(boxes[:, 0] - box[2], box[0] - boxes[:, 2]))
        dy = np.maximum(0, np.maximum(boxes[:, 1] - box[3], box[1] - boxes[:, 3]))
        beside = (tall[g] < 0.6 * host_height) & (dx <= 0.7 * host_height)
        above = (tall[g] < host_height) & (dx == 0)  # a stack of accents
        reach = np.where(beside, 0.8, 0.4) * host_height
        fits = (beside | above) & (dy <= reach) & (wide[g] <= host_height)
        fits &= tall[g] < 0.8 * parts.text_height
        if fits.any():
            distance = np.where(fits, dx + dy, np.inf)
            hosts[g] = group_of[int(np.argmin(distance))]
    for _ in range(8):  # a dot may belong to an accent, which belongs to a line
        hosts = hosts[hosts]
    return [np.flatnonzero(hosts[group_of] == h) for h in np.unique(hosts)]


def _joined(parts: _Parts, pieces: list[np.ndarray]) -> list[np.ndarray]:
    """Join pieces of a line whose components are further apart than those within a word."""
    boxes = np.array([_bounds(parts.boxes[ids]) for ids in pieces]).reshape(-1, 4)
    lines = _components(len(boxes), *_links(boxes, parts.text_height, MAX_WORD_GAP))
    return [np.concatenate([pieces[i] for i in line]) for line in lines]


def _links(boxes: np.ndarray, text_height: float, max_gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of boxes that stand beside each other in a line."""
    left, top, right, bottom = boxes.T
    heights = bottom - top
    first, second = [], []
    for start in range(0, len(boxes), 256):
        rows = slice(start, start + 256)
        overlap = np.minimum(bottom[rows, None], bottom) - np.maximum(top[rows, None], top)
        gap = np.maximum(left[rows, None], left) - np.minimum(right[rows, None], right)
        low = np.minimum(heights[rows, None], heights)
        high = np.maximum(heights[rows, None], heights)
        similar = (high <= MAX_HEIGHT_RATIO * low) | (low >= 0.5 * text_height)
        linked = (overlap >= 0.5 * low) & similar & (gap <= max_gap * high)
        i, j = np.nonzero(linked)
        first.append(i + start)
        second.append(j)
    nothing = [np.empty(0, np.int64)]
    return np.concatenate(first or nothing), np.concatenate(second or nothing)


def _components(n: int, first: np.ndarray, second: np.ndarray) -> list[np.ndarray]:
    """Return the connected components of a graph of n nodes, given its edges."""
    root = np.arange(n)
    while True:
        lower = root.copy()
        np.minimum.at(lower, first, root[second])
        lower = lower[lower]
        if np.array_equal(lower, root):
            break
        root = lower
    return [np.flatnonzero(root == r) for r in np.unique(root)]


def _text_like(parts: _Parts, groups: list[np.ndarray]) -> list[np.ndarray]:
    """Leave out specks and remains of rules."""
    text_height = parts.text_height
    kept = []
    for ids in groups:
        left, top, right, bottom = _bounds(parts.boxes[ids])
        flat, short = 0.3 * text_height, 0.35 * text_height
        if bottom - top >= (short if right - left < 3 * text_height else flat):
            kept.append(ids)
    return kept


def _cut_between_lines(ink: Mask, parts: _Parts, groups: list[np.ndarray]) -> bool:
    """Cut components that reach over a seam between lines; return whether any did."""
    cut = False
    for ids in groups:
        for y in _seams(parts, ids):
            boxes = parts.boxes[ids]
            reach = 0.3 * float(np.median(boxes[:, 3] - boxes[:, 1]))
            for i in ids[(boxes[:, 1] < y - reach) & (boxes[:, 3] > y + reach)]:
                left, _, right, _ = parts.boxes[i]
                ink[y, left:right][parts.labels[y, left:right] == i + 1] = 0
                cut = True
    return cut


def _pieces(parts: _Parts, ids: np.ndarray) -> list[np.ndarray]:
    """Part a group at its seams, each component by its middle."""
    middles = parts.boxes[ids][:, [1, 3]].mean(1)
    lines = np.searchsorted(_seams(parts, ids), middles)
    return [ids[lines == line] for line in np.unique(lines)]


def _seams(parts: _Parts, ids: np.ndarray) -> list[int]:
    """Return the rows between the lines of a group that holds several, top to bottom."""
    left, top, right, bottom = _bounds(parts.boxes[ids])
    height = float(np.median(parts.heights[ids]))
    if bottom - top < 1.7 * height:
        return []
    own = np.zeros(int(parts.labels.max()) + 1, np.uint8)
    own[ids + 1] = 1
    profile = own[parts.labels[top:bottom, left:right]].sum(1).astype(np.float32)
    smooth = cv2.GaussianBlur(profile[:, None], (1, 0), sigmaX=0.1, sigmaY=0.1 * height)[:, 0]
    return [int(top) + y for y in _valleys(smooth, height)]


def _valleys(profile: np.ndarray, height: float) -> list[int]:
    """Return where a profile has less than half of the peaks on both sides of it.

    The peaks must be nearly a height apart and the ink on both sides comparable, as accents
    and descenders make small peaks of their own.
    """
    best: tuple[float, int] | None = None
    for y in range(round(0.4 * height), len(profile) - round(0.4 * height)):
        above, below = profile[:y], profile[y:]
        peaks = above.max(), below.max()
        apart = y + int(below.argmax()) - int(above.argmax())
        balance = min(above.sum(), below.sum()) / max(above.sum(), below.sum(), 1.0)
        depth = float(profile[y] / max(min(peaks), 1.0))
        if apart >= 0.9 * height and balance >= 0.2 and depth < min(0.5, best[0] if best else 1.0):
            best = depth, y
    if best is None:
        return []
    y = best[1]
    return [*_valleys(profile[:y], height), y, *(y + v for v in _valleys(profile[y:], height))]


def _bounds(boxes: np.ndarray) -> np.ndarray:
    """Return the box around boxes (N, 4)."""
    return np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])


def _picture(page: Page, parts: _Parts, ids: np.ndarray, box: np.ndarray) -> GrayImage:
    """Cut a line out; other ink in its box is painted over with paper."""
    height, width = page.ink.shape
    margin = max(2, round(MARGIN * (box[3] - box[1])))
    rows = slice(max(0, box[1] - margin), min(height, box[3] + margin))
    columns = slice(max(0, box[0] - margin), min(width, box[2] + margin))
    own = np.zeros(int(parts.labels.max()) + 1, np.uint8)
    own[ids + 1] = 1
    labels = parts.labels[rows, columns]
    mine = own[labels]
    others = ((labels > 0) & (mine == 0)).astype(np.uint8) | page.rules[rows, columns]
    near = np.ones((5, 5), np.uint8)
    spared = cv2.dilate(mine, np.ones((3, 3), np.uint8))
    painted = (np.asarray(cv2.dilate(others, near)) > 0) & (np.asarray(spared) == 0)
    return np.where(painted, page.paper[rows, columns], page.gray[rows, columns])


def _source_box(page: Page, boxes: np.ndarray, scale: float) -> Box:
    """Return the box around components in pixels of the page as it was given."""
    left, top, right, bottom = boxes.T
    corners = np.concatenate(
        [np.stack(pair, 1) for pair in ((left, top), (right, top), (left, bottom), (right, bottom))]
    )
    points = (corners @ page.to_source[:, :2].T + page.to_source[:, 2]) / scale
    low, high = np.floor(points.min(0)), np.ceil(points.max(0))
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
