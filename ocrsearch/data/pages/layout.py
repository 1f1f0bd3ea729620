"""Layout of a page: its lines of text, their images and their reading order.

The order in which the lines of a page are read, given their boxes and the level rules.

Lines of writing or print on a page: where they are, in which order, and their pictures.

Rows of text in pictures that should hold one line each: pages given to a reader of lines.
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
from ocrsearch.data.pages.ink import Page, upright_page
from ocrsearch.data.pages.lines import Parts, bounds, count_words, group_ink
from ocrsearch.data.pages.rules import MIN_TEXT_HEIGHT, rule_boxes
from ocrsearch.data.samples import Drawable, GrayImage, Sample

MIN_COLUMN_LINES = 3
"""Fewer lines under each other are no column."""

MAX_BLOCK_ROWS = 200
"""Most rows that are looked at together for columns."""

MIN_PROSE_WORDS = 2.5
"""Least mean number of words in the lines of a column of prose; cells of tables have fewer."""

WORD_ASPECT = 3.0
"""Width of a word, in heights of the line, where words are not counted."""

MAX_PROSE_GAP = 1.5
"""Widest gap between columns of prose, against the width of their lines."""

MIN_ALIGNED = 0.75
"""Share of the lines of a column that stand beside lines of other columns, in a table."""

MIN_RULED = 0.3
"""Share of the gaps between lines that rules cross, in a table with rules."""

MAX_CONTINUATION = 0.7
"""Largest step from line to line in a cell, against that from row to row."""


def reading_order(
    boxes: np.ndarray, n_words: np.ndarray | None = None, rules: np.ndarray | None = None
) -> list[list[int]]:
    """Return the lines in the order in which they are read, row by row.

    Columns of prose are read one after the other. Cells of a table, and any other strings that
    stand beside each other, are read in rows.

    Args:
        boxes: (N, 4), left, top, right, bottom.
        n_words: (N,) number of words in each line; guessed from the boxes if it is not known.
        rules: (M, 4), boxes of level rules.

    Returns:
        The rows. Where a cell of a table has several lines, they follow each other in their row.
    """
    if n_words is None:
        n_words = (boxes[:, 2] - boxes[:, 0]) / (boxes[:, 3] - boxes[:, 1]) / WORD_ASPECT
    rules = np.empty((0, 4)) if rules is None else rules
    rows = _rows(boxes, np.arange(len(boxes)))
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


def _block_of_columns(
    boxes: np.ndarray,
    rows: Sequence[np.ndarray],
    start: int,
    n_words: np.ndarray,
    rules: np.ndarray,
) -> tuple[int, list[np.ndarray]]:
    """Return the end of the longest block of rows that stands in columns, and its columns.

    Without columns the block is the first row alone.
    """
    for stop in range(_end_of_gaps(boxes, rows, start), start, -1):
        ids = np.concatenate(rows[start:stop])
        if columns := _columns(boxes, ids):
            return stop, columns
        cells = _parted_at_gaps(boxes, ids)
        if len(cells) > 1 and stop - start > 1 and _is_table(boxes, cells, n_words, rules):
            return stop, cells
    return start + 1, []


def _end_of_gaps(boxes: np.ndarray, rows: Sequence[np.ndarray], start: int) -> int:
    """Return the end of the longest block of rows that a white gap can go through."""
    left, right = int(boxes[:, 0].min()), int(boxes[:, 2].max())
    covered = np.zeros(right - left, bool)
    for stop, row in enumerate(rows[start : start + MAX_BLOCK_ROWS], start):
        for box in boxes[row] - left:
            covered[box[0] : box[2]] = True
        if covered.all():
            return stop
    return min(len(rows), start + MAX_BLOCK_ROWS)


def _columns(boxes: np.ndarray, ids: np.ndarray) -> list[np.ndarray]:
    """Part boxes into columns, left to right; return none where there are no columns."""
    parts = _parted_at_gaps(boxes, ids)
    for n in range(1, len(parts)):
        left, right = np.concatenate(parts[:n]), np.concatenate(parts[n:])
        if _is_column(boxes[left]):
            others = [right] if _is_column(boxes[right]) else _columns(boxes, right)
            if others:
                return [left, *others]
    return []


def _parted_at_gaps(boxes: np.ndarray, ids: np.ndarray) -> list[np.ndarray]:
    """Part boxes at the white gaps from top to bottom, left to right."""
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
    """Whether columns are those of a table: ruled; or in rows, and short or far apart."""
    if _share_ruled(boxes, columns, rules) >= MIN_RULED:
        return True
    shares = sorted(_share_aligned(boxes, columns, i) for i in range(len(columns)))
    if shares[1] < MIN_ALIGNED:  # one column may have cells of several lines
        return False
    if min(n_words[ids].mean() for ids in columns) < MIN_PROSE_WORDS:
        return True
    width = min(np.median(boxes[ids, 2] - boxes[ids, 0]) for ids in columns)
    gap = max(boxes[b, 0].min() - boxes[a, 2].max() for a, b in pairwise(columns))
    return bool(gap > MAX_PROSE_GAP * width)


def _share_aligned(boxes: np.ndarray, columns: Sequence[np.ndarray], i: int) -> float:
    """Return the share of lines of a column that have a line of another column beside them."""
    own = boxes[columns[i]]
    other = boxes[np.concatenate([ids for j, ids in enumerate(columns) if j != i])]
    common = np.minimum(own[:, None, 3], other[:, 3]) - np.maximum(own[:, None, 1], other[:, 1])
    lower = np.minimum((own[:, 3] - own[:, 1])[:, None], other[:, 3] - other[:, 1])
    return float((common > 0.5 * lower).any(1).mean())


def _share_ruled(boxes: np.ndarray, columns: Sequence[np.ndarray], rules: np.ndarray) -> float:
    """Return the share of the gaps between the lines of columns in which a rule goes across."""
    left = min(boxes[ids, 2].max() for ids in columns)
    right = max(boxes[ids, 0].min() for ids in columns)
    across = rules[(rules[:, 0] < left) & (rules[:, 2] > right)]
    ruled = []
    for ids in columns:
        column = boxes[ids[np.argsort(boxes[ids, 1])]]
        ruled += [_is_ruled(a, b, across) for a, b in pairwise(column)]
    return float(np.mean(ruled)) if ruled else 0.0


def _is_ruled(above: np.ndarray, below: np.ndarray, rules: np.ndarray) -> bool:
    """Whether a rule lies between two boxes, or across their edges."""
    middles = (rules[:, 1] + rules[:, 3]) / 2
    return bool(
        ((middles > (above[1] + above[3]) / 2) & (middles < (below[1] + below[3]) / 2)).any()
    )


def _table_rows(
    boxes: np.ndarray,
    rows: Sequence[np.ndarray],
    columns: Sequence[np.ndarray],
    rules: np.ndarray,
) -> list[list[int]]:
    """Return the rows of a table; lines that go on in a cell belong to the row of the cell."""
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
    return [[i for ids in columns for i in _cell(boxes, ids, row)] for row in joined]


def _cell(boxes: np.ndarray, column: np.ndarray, row: np.ndarray) -> list[int]:
    """Return the lines of a column that are in a row, top to bottom."""
    ids = column[np.isin(column, row)]
    return [int(i) for i in ids[np.argsort(boxes[ids, 1], kind="stable")]]


MAX_ANALYSED_PIXELS = 12_000_000
"""Larger pages are analysed, and their lines cut out, at a scale at which they have so many."""

MARGIN = 0.2
"""Paper around a line's ink in its picture, as a share of the ink's height."""

MIN_INK_TO_RULE = 1.3
"""Contrast of ink against that of rules from which strokes can be told from a rule they lie on."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are just outside."""


@dataclass(frozen=True)
class FoundLine:
    """A line on a page.

    Attributes:
        image: the line cut out of the upright page, with a margin of paper and without ruled
            lines or ink of other lines; as dark on light, or light on dark, as there.
        box: of its ink, in pixels of the page as it was given.
        row: number of the row that it is in, counted from 1 in reading order: lines beside
            each other, such as the cells of a table, share a row.
        is_light: whether it is light on dark.
    """

    image: GrayImage
    box: Box
    row: int
    is_light: bool


@dataclass(frozen=True)
class Layout:
    """The lines of a page in reading order, and by how many degrees they rise to the right."""

    lines: list[FoundLine]
    skew_degrees: float


def find_lines(source: GrayImage) -> Layout:
    """Find the lines on a page.

    Args:
        source: (H, W) uint8, text level to within MAX_SKEW_DEGREES, dark on light or reverse.
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
    lines = [
        FoundLine(
            _picture(page, parts, groups[i], boxes[i]),
            _source_box(page, parts.boxes[groups[i]], scale, (width, height)),
            number,
            _is_light(page, boxes[i]),
        )
        for number, row in enumerate(order, 1)
        for i in row
    ]
    return Layout(lines, page.skew_degrees)


def _picture(page: Page, parts: Parts, ids: np.ndarray, box: np.ndarray) -> GrayImage:
    """Cut a line out; other ink in its box is painted over with paper."""
    height, width = page.ink.shape
    margin = max(2, round(MARGIN * (box[3] - box[1])))
    rows = slice(max(0, box[1] - margin), min(height, box[3] + margin))
    columns = slice(max(0, box[0] - margin), min(width, box[2] + margin))
    gray, paper, rules = (x[rows, columns] for x in (page.gray, page.paper, page.rules))
    labels = parts.labels[rows, columns]
    own = parts.own(ids)[labels]
    others = (labels > 0) & (own == 0) | (rules > 0)
    others = cv2.dilate(others.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    own |= _strokes_along(rules, own, cv2.absdiff(gray, paper))
    own = cv2.dilate(own, np.ones((3, 3), np.uint8)) > 0
    cut = np.where(others & ~own, paper, gray)
    return 255 - cut if _is_light(page, box) else cut


def _is_light(page: Page, box: np.ndarray) -> bool:
    """Whether a line is light on dark in the source."""
    left, top, right, bottom = box
    return bool(page.light[top:bottom, left:right].mean() > 0.5)


def _strokes_along(rules: np.ndarray, own: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """Return the pixels of rules in which a stroke of a line lies, which is darker than they are.

    Where ink and rules are nearly of one darkness there are none that can be told.

    Args:
        rules: (H, W) uint8 mask.
        own: (H, W) uint8 mask of the line's ink beside the rules.
        contrast: (H, W) uint8, against the paper.
    """
    if not rules.any() or not own.any():
        return np.zeros_like(own)
    of_rules = np.percentile(contrast[rules > 0], 25)  # strokes may lie on much of them
    of_ink = np.median(contrast[own > 0])
    if of_ink < MIN_INK_TO_RULE * of_rules:
        return np.zeros_like(own)
    along = (rules > 0) & (contrast > (of_rules + of_ink) / 2)
    return np.asarray(along, dtype=np.uint8)


def _source_box(page: Page, boxes: np.ndarray, scale: float, size: tuple[int, int]) -> Box:
    """Return the box around components in pixels of the page as it was given, of size (W, H)."""
    left, top, right, bottom = boxes.T
    xs, ys = np.stack([left, right, left, right]), np.stack([top, top, bottom, bottom])
    points = np.stack([xs.ravel(), ys.ravel(), np.ones(4 * len(boxes))])
    places = (page.to_source @ points) / scale
    low = np.clip(np.floor(places.min(1)), 0, size).astype(int)
    high = np.clip(np.ceil(places.max(1)), 0, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


MAX_LOOKED_AT = 40
"""Pictures of which the layout is looked at, evenly spread."""

MIN_WIDTH = 0.3
"""Least width of a row, as a share of the picture's."""

MIN_HEIGHT = 0.5
"""Least height of a row, as a share of the highest one's: less is an accent or a speck."""

MAX_OVERLAP = 0.25
"""Share of a row's height by which it may overlap the row above."""

MIN_SHARE = 0.1
"""Share of pictures with several rows below which there may be none: the layout errs too."""


@dataclass(frozen=True)
class SeveralRows:
    """How many pictures were looked at, and names of those that seem to hold several rows."""

    n_looked_at: int
    names: list[str]

    def describe(self) -> str:
        """Return a warning, or nothing if there are too few to be sure."""
        n = len(self.names)
        if n < max(2, MIN_SHARE * self.n_looked_at):
            return ""
        return (
            f"{n} of {self.n_looked_at} images looked at seem to hold several lines of text "
            f"({', '.join(self.names[:3])}{', ...' if n > 3 else ''}): cut them into lines, which "
            "is what a recogniser reads"
        )


def find_several_rows(samples: Sequence[Sample]) -> SeveralRows:
    """Look at some of the pictures of samples, all of which can be read."""
    ids = np.linspace(0, len(samples) - 1, min(len(samples), MAX_LOOKED_AT)).astype(int)
    some = [samples[i] for i in ids]
    with ThreadPoolExecutor(n_reading_threads()) as pool:
        counts = list(pool.map(lambda sample: count_rows(_whole(sample.image)), some))
    names = [sample.name for sample, n in zip(some, counts, strict=True) if n > 1]
    return SeveralRows(len(some), names)


def _whole(source: Path | GrayImage | Drawable) -> GrayImage:
    """Return a picture in its own size, in which the lines of a page can be told."""
    return read_image(source) if isinstance(source, Path) else load_image(source)


def count_rows(image: GrayImage) -> int:
    """Return how many rows of text under each other a picture, (H, W) uint8, seems to hold."""
    lines = [line.box for line in find_lines(image).lines]
    rows = [box for box in lines if box[2] - box[0] >= MIN_WIDTH * image.shape[1]]
    highest = max((bottom - top for _, top, _, bottom in rows), default=0)
    rows = [box for box in rows if box[3] - box[1] >= MIN_HEIGHT * highest]
    n, end = 0, float("-inf")
    for _, top, _, bottom in sorted(rows, key=lambda box: box[1] + box[3]):
        n += top >= end - MAX_OVERLAP * (bottom - top)
        end = max(end, bottom)
    return n
