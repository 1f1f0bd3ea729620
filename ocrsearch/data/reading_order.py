"""The order in which the lines of a page are read, given their boxes alone."""

from __future__ import annotations

import numpy as np


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
        if _is_column(boxes[left]) and (
            _is_column(boxes[right]) or _left_column(boxes, right) is not None
        ):
            return left
    return None


def _is_column(boxes: np.ndarray) -> bool:
    width = boxes[:, 2].max() - boxes[:, 0].min()
    full = (boxes[:, 2] - boxes[:, 0]) > 0.6 * width
    return len(boxes) >= 3 and float(full.mean()) >= 0.6
