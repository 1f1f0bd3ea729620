"""The order in which the lines of a page are read, given their boxes and the level rules."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

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
