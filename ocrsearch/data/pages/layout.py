"""Layout of a page: its text lines, their images and their reading order.

``find_lines`` is the entry point for pages. ``find_several_rows`` warns about line datasets whose
images seem to contain several lines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from ocrsearch.core import n_reading_threads
from ocrsearch.data.images import load_image, read_image
from ocrsearch.data.pages.ink import MIN_TEXT_HEIGHT, Page, rule_boxes, upright_page
from ocrsearch.data.pages.lines import Parts, bounds, count_words, group_ink
from ocrsearch.data.samples import GrayImage, Sample

MIN_COLUMN_LINES = 3
"""Minimum number of stacked lines in a column."""

MAX_BLOCK_ROWS = 200
"""Maximum number of rows searched together for columns."""

MIN_PROSE_WORDS = 2.5
"""Minimum mean number of words per line in a column of prose. Table cells have fewer."""

WORD_ASPECT = 3.0
"""Assumed width of a word in line heights, if words are not counted."""

MAX_PROSE_GAP = 1.5
"""Maximum gap between columns of prose, relative to the width of their lines."""

MIN_ALIGNED = 0.75
"""Minimum fraction of a table column's lines that are beside lines of other columns."""

MIN_RULED = 0.3
"""Minimum fraction of the gaps between lines that are crossed by rules, in a ruled table."""

MAX_CONTINUATION = 0.7
"""Maximum line step within a table cell, relative to the step between rows."""

MAX_ANALYSED_PIXELS = 12_000_000
"""Maximum size of an analysed page in pixels. Larger pages are scaled down first."""

MARGIN = 0.2
"""Margin around a line's ink in its image, as a fraction of the ink height."""

MIN_INK_TO_RULE = 1.3
"""Minimum contrast of ink relative to rules for separating strokes from rules beneath them."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are exclusive."""

MAX_LOOKED_AT = 40
"""Maximum number of images analysed, evenly spread over the dataset."""

MIN_ROW_WIDTH = 0.3
"""Minimum width of a row, as a fraction of the image width."""

MIN_ROW_HEIGHT = 0.5
"""Minimum height of a row relative to the tallest. Accents and specks are lower."""

MAX_ROW_OVERLAP = 0.25
"""Maximum overlap with the row above, as a fraction of the row height."""

MIN_SEVERAL_SHARE = 0.1
"""Minimum fraction of multi-row images for a warning, because the analysis makes errors."""


@dataclass(frozen=True)
class FoundLine:
    """Text line found on a page.

    Attributes:
        image: (H, W) uint8 crop of the upright page with a margin, without ruled lines and ink
            of other lines, in the original polarity.
        box: Bounding box of the ink, in pixels of the original page.
        row: Row number from 1 in reading order. Lines side by side, such as table cells, share
            a row.
        is_light: Whether the ink is lighter than the paper.
    """

    image: GrayImage
    box: Box
    row: int
    is_light: bool


@dataclass(frozen=True)
class Layout:
    """Lines of a page in reading order, and their rise to the right in degrees."""

    lines: list[FoundLine]
    skew_degrees: float


def find_lines(source: GrayImage) -> Layout:
    """Find the text lines on a page.

    Args:
        source: (H, W) uint8, text within MAX_SKEW_DEGREES of horizontal, either polarity.
    """
    if min(source.shape) < MIN_TEXT_HEIGHT:
        return Layout([], 0.0)
    height, width = source.shape
    scale = min(1.0, math.sqrt(MAX_ANALYSED_PIXELS / source.size))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        source = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    page = upright_page(source)
    parts, groups = group_ink(page.ink)
    boxes = np.array([bounds(parts.boxes[ids]) for ids in groups]).reshape(-1, 4)
    n_words = np.array([count_words(parts.boxes[ids]) for ids in groups])
    order = reading_order(boxes, n_words, rule_boxes(page.rules))
    lines = []
    for number, row in enumerate(order, 1):
        for i in row:
            left, top, right, bottom = boxes[i]
            is_light = bool(page.light[top:bottom, left:right].mean() > 0.5)
            image = _line_image(page, parts, groups[i], boxes[i])
            box = _source_box(page, parts.boxes[groups[i]], scale, (width, height))
            lines.append(FoundLine(255 - image if is_light else image, box, number, is_light))
    return Layout(lines, page.skew_degrees)


def _line_image(page: Page, parts: Parts, ids: np.ndarray, box: np.ndarray) -> GrayImage:
    """Crop a line with dark ink and paint over other ink in its box with paper."""
    height, width = page.ink.shape
    margin = max(2, round(MARGIN * (box[3] - box[1])))
    rows = slice(max(0, box[1] - margin), min(height, box[3] + margin))
    columns = slice(max(0, box[0] - margin), min(width, box[2] + margin))
    gray, paper, rules = (x[rows, columns] for x in (page.gray, page.paper, page.rules))
    labels = parts.labels[rows, columns]
    own = parts.own(ids)[labels]
    others = (labels > 0) & (own == 0) | (rules > 0)
    others = cv2.dilate(others.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    if rules.any() and own.any():
        # strokes along rules have more contrast than the rules, unless ink and rules are alike
        contrast = cv2.absdiff(gray, paper)
        of_rules = np.percentile(contrast[rules > 0], 25)  # strokes may cover many of their pixels
        of_ink = np.median(contrast[own > 0])
        if of_ink >= MIN_INK_TO_RULE * of_rules:
            own |= (rules > 0) & (contrast > (of_rules + of_ink) / 2)
    own = cv2.dilate(own, np.ones((3, 3), np.uint8)) > 0
    return np.where(others & ~own, paper, gray)


def _source_box(page: Page, boxes: np.ndarray, scale: float, size: tuple[int, int]) -> Box:
    """Return the box around components, in pixels of the original page of size (W, H)."""
    left, top, right, bottom = boxes.T
    xs, ys = np.stack([left, right, left, right]), np.stack([top, top, bottom, bottom])
    points = np.stack([xs.ravel(), ys.ravel(), np.ones(4 * len(boxes))])
    places = (page.to_source @ points) / scale
    low = np.clip(np.floor(places.min(1)), 0, size).astype(int)
    high = np.clip(np.ceil(places.max(1)), 0, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def reading_order(
    boxes: np.ndarray, n_words: np.ndarray | None = None, rules: np.ndarray | None = None
) -> list[list[int]]:
    """Return the line ids in reading order, grouped by row.

    Columns of prose are read in sequence. Table cells and other lines that are side by side
    are read row by row.

    Args:
        boxes: (N, 4) left, top, right, bottom.
        n_words: (N,) number of words per line; by default estimated from the boxes.
        rules: (M, 4) boxes of horizontal rules.

    Returns:
        Rows of line ids. The lines of a multi-line table cell are consecutive in their row.
    """
    if n_words is None:
        n_words = (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1]) / WORD_ASPECT
    rules = np.empty((0, 4)) if rules is None else rules
    rows = _rows(boxes)
    order: list[list[int]] = []
    start = 0
    while start < len(rows):
        stop, columns = _block_of_columns(boxes, rows, start, n_words, rules)
        if not columns:
            order.append([int(i) for i in rows[start]])
        elif _is_table(boxes, columns, n_words, rules):
            order += _table_rows(boxes, rows[start:stop], columns, rules)
        else:
            for ids in columns:
                within = reading_order(boxes[ids], n_words[ids], rules)
                order += [[int(ids[i]) for i in row] for row in within]
        start = stop
    return order


def _rows(boxes: np.ndarray) -> list[np.ndarray]:
    """Group boxes into rows from top to bottom, each sorted from left to right."""
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    rows: list[list[int]] = []
    for i in np.argsort(middles, kind="stable"):
        if rows and middles[i] < boxes[rows[-1][0], 3]:
            rows[-1].append(int(i))
        else:
            rows.append([int(i)])
    return [np.array(sorted(row, key=lambda i: boxes[i, 0])) for row in rows]


def _block_of_columns(
    boxes: np.ndarray,
    rows: Sequence[np.ndarray],
    start: int,
    n_words: np.ndarray,
    rules: np.ndarray,
) -> tuple[int, list[np.ndarray]]:
    """Return the end and the columns of the longest block of rows that forms columns.

    Without columns, the block is the first row and the list is empty.
    """
    # a block ends where its rows no longer have a common vertical gap
    left, right = int(boxes[:, 0].min()), int(boxes[:, 2].max())
    covered = np.zeros(right - left, bool)
    end = start
    for row in rows[start : start + MAX_BLOCK_ROWS]:
        for box in boxes[row] - left:
            covered[box[0] : box[2]] = True
        if covered.all():
            break
        end += 1
    for stop in range(end, start, -1):
        ids = np.concatenate(rows[start:stop])
        if columns := _columns(boxes, ids):
            return stop, columns
        cells = _split_at_gaps(boxes, ids)
        if len(cells) > 1 and stop - start > 1 and _is_table(boxes, cells, n_words, rules):
            return stop, cells
    return start + 1, []


def _columns(boxes: np.ndarray, ids: np.ndarray) -> list[np.ndarray]:
    """Split boxes into columns from left to right. Return [] if there are no columns."""
    parts = _split_at_gaps(boxes, ids)
    for n in range(1, len(parts)):
        left, right = np.concatenate(parts[:n]), np.concatenate(parts[n:])
        if _is_column(boxes[left]):
            others = [right] if _is_column(boxes[right]) else _columns(boxes, right)
            if others:
                return [left, *others]
    return []


def _split_at_gaps(boxes: np.ndarray, ids: np.ndarray) -> list[np.ndarray]:
    """Split boxes at vertical white gaps, from left to right."""
    order = ids[np.argsort(boxes[ids, 0], kind="stable")]
    reach = np.maximum.accumulate(boxes[order, 2])
    gaps = np.flatnonzero(boxes[order, 0][1:] > reach[:-1])
    return np.split(order, gaps + 1)


def _is_column(boxes: np.ndarray) -> bool:
    width = boxes[:, 2].max() - boxes[:, 0].min()
    full = (boxes[:, 2] - boxes[:, 0]) > 0.6 * width
    return len(boxes) >= MIN_COLUMN_LINES and float(full.mean()) >= 0.6


def _is_table(
    boxes: np.ndarray, columns: Sequence[np.ndarray], n_words: np.ndarray, rules: np.ndarray
) -> bool:
    """Return whether columns form a table: ruled, or aligned and either short or far apart."""
    left = min(boxes[ids, 2].max() for ids in columns)
    right = max(boxes[ids, 0].min() for ids in columns)
    across = rules[(rules[:, 0] < left) & (rules[:, 2] > right)]
    sorted_columns = [boxes[ids[np.argsort(boxes[ids, 1])]] for ids in columns]
    gaps = [gap for column in sorted_columns for gap in pairwise(column)]
    n_ruled = sum(_is_ruled(above, below, across) for above, below in gaps)
    if gaps and n_ruled / len(gaps) >= MIN_RULED:
        return True
    shares = sorted(_share_aligned(boxes, columns, i) for i in range(len(columns)))
    if shares[1] < MIN_ALIGNED:  # a single column may have cells with several lines
        return False
    if min(n_words[ids].mean() for ids in columns) < MIN_PROSE_WORDS:
        return True
    width = min(np.median(boxes[ids, 2] - boxes[ids, 0]) for ids in columns)
    gap = max(boxes[b, 0].min() - boxes[a, 2].max() for a, b in pairwise(columns))
    return bool(gap > MAX_PROSE_GAP * width)


def _is_ruled(above: np.ndarray, below: np.ndarray, rules: np.ndarray) -> bool:
    """Return whether a rule lies between two boxes or crosses their edges."""
    middles = (rules[:, 1] + rules[:, 3]) / 2
    return bool(
        ((middles > (above[1] + above[3]) / 2) & (middles < (below[1] + below[3]) / 2)).any()
    )


def _share_aligned(boxes: np.ndarray, columns: Sequence[np.ndarray], i: int) -> float:
    """Return the fraction of a column's lines that are beside a line of another column."""
    own = boxes[columns[i]]
    other = boxes[np.concatenate([ids for j, ids in enumerate(columns) if j != i])]
    common = np.minimum(own[:, None, 3], other[:, 3]) - np.maximum(own[:, None, 1], other[:, 1])
    lower = np.minimum((own[:, 3] - own[:, 1])[:, None], other[:, 3] - other[:, 1])
    return float((common > 0.5 * lower).any(1).mean())


def _table_rows(
    boxes: np.ndarray,
    rows: Sequence[np.ndarray],
    columns: Sequence[np.ndarray],
    rules: np.ndarray,
) -> list[list[int]]:
    """Return the rows of a table. Continuation lines of a cell belong to the row of the cell."""
    if len(rows) == 1:
        return [[int(i) for ids in columns for i in ids[np.argsort(boxes[ids, 1], kind="stable")]]]
    tops = np.array([np.median(boxes[row, 1]) for row in rows])
    steps = np.diff(tops)
    ruled = np.array([_is_ruled(boxes[a[0]], boxes[b[0]], rules) for a, b in pairwise(rows)])
    between = steps[ruled] if ruled.any() else steps[steps >= np.percentile(steps, 75)]
    limit = MAX_CONTINUATION * np.median(between)
    joined = [rows[0]]
    for i, (before, row) in enumerate(pairwise(rows)):
        has_gaps = 2 * min(len(row), len(before)) <= len(columns)
        if has_gaps and steps[i] <= limit and not ruled[i]:
            joined[-1] = np.concatenate([joined[-1], row])
        else:
            joined.append(row)
    cells = [[ids[np.isin(ids, row)] for ids in columns] for row in joined]
    return [
        [int(i) for cell in row for i in cell[np.argsort(boxes[cell, 1], kind="stable")]]
        for row in cells
    ]


@dataclass(frozen=True)
class SeveralRows:
    """Number of images analysed, and the names of those that seem to have several rows."""

    n_looked_at: int
    names: list[str]

    def describe(self) -> str:
        """Return a warning, or "" if there are too few such images to be sure."""
        n = len(self.names)
        if n < max(2, MIN_SEVERAL_SHARE * self.n_looked_at):
            return ""
        return (
            f"{n} of {self.n_looked_at} analysed images seem to contain several lines of text "
            f"({', '.join(self.names[:3])}{', ...' if n > 3 else ''}); cut them into single "
            "lines, because a recogniser reads one line per image"
        )


def find_several_rows(samples: Sequence[Sample]) -> SeveralRows:
    """Analyse some of the samples, all of which must be readable."""

    def count(sample: Sample) -> int:
        image = sample.image  # a file is read at full size; load_image would shrink it
        return count_rows(read_image(image) if isinstance(image, Path) else load_image(image))

    ids = np.linspace(0, len(samples) - 1, min(len(samples), MAX_LOOKED_AT)).astype(int)
    some = [samples[i] for i in ids]
    with ThreadPoolExecutor(n_reading_threads()) as pool:
        counts = list(pool.map(count, some))
    names = [sample.name for sample, n in zip(some, counts, strict=True) if n > 1]
    return SeveralRows(len(some), names)


def count_rows(image: GrayImage) -> int:
    """Return the apparent number of stacked text rows in an (H, W) uint8 image."""
    lines = [line.box for line in find_lines(image).lines]
    rows = [box for box in lines if box[2] - box[0] >= MIN_ROW_WIDTH * image.shape[1]]
    highest = max((bottom - top for _, top, _, bottom in rows), default=0)
    rows = [box for box in rows if box[3] - box[1] >= MIN_ROW_HEIGHT * highest]
    n, end = 0, float("-inf")
    for _, top, _, bottom in sorted(rows, key=lambda box: box[1] + box[3]):
        n += top >= end - MAX_ROW_OVERLAP * (bottom - top)
        end = max(end, bottom)
    return n
