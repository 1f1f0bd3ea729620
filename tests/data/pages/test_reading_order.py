"""The order in which lines are read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ocrsearch.data.pages.layout import reading_order

LEFT = [(0, y, 95, y + 10) for y in (0, 20, 40, 60)]
RIGHT = [(110, y, 205, y + 10) for y in (5, 25, 45, 65)]
TITLE, FOOT = (20, -40, 190, -20), (0, 100, 200, 110)


@pytest.mark.parametrize(
    "in_order",
    [
        [],
        [(0, 0, 10, 10)],
        LEFT,
        [*LEFT, *RIGHT],
        [TITLE, *LEFT, *RIGHT, FOOT],
        [TITLE, *LEFT[:3], *RIGHT[:3]],
        [(0, 0, 30, 10), (150, 2, 180, 12), (0, 20, 30, 30), (150, 22, 180, 32)],  # a form
        [(0, 0, 20, 10), (60, 1, 80, 11), (120, -2, 140, 8)],  # one row
        [(0, 0, 95, 10), (0, 20, 95, 30), (0, 40, 95, 50), (0, 60, 30, 70)],  # ends short
        [*LEFT, *RIGHT, *[(220, y, 320, y + 10) for y in (2, 22, 42)]],  # three columns
    ],
    ids=["none", "one", "page", "columns", "title", "short", "form", "row", "paragraph", "three"],
)
def test_reading_order(in_order: list[tuple[int, int, int, int]]) -> None:
    boxes = np.array(in_order).reshape(-1, 4)
    shuffled = np.random.default_rng(0).permutation(len(boxes))
    order = reading_order(boxes[shuffled])
    assert [int(shuffled[i]) for row in order for i in row] == list(range(len(boxes)))


def table(
    n_rows: int, columns: list[tuple[int, int]], without: tuple[tuple[int, int], ...] = ()
) -> list[list[tuple[int, int, int, int]]]:
    """Return the cells of a table in rows 20 px apart.

    Args:
        n_rows: number of rows.
        columns: left and right of the cells of each.
        without: row and column of cells that are empty.
    """
    return [
        [
            (left, 20 * row, right, 20 * row + 10)
            for column, (left, right) in enumerate(columns)
            if (row, column) not in without
        ]
        for row in range(n_rows)
    ]


NARROW = [(0, 50), (100, 150), (200, 250), (300, 350)]
PROSE = [(0, 95), (110, 205)]
RULES = [(-5, y, 210, y + 2) for y in (-6, 14, 34, 54, 74)]


@pytest.mark.parametrize(
    ("rows", "rules"),
    [
        (table(6, NARROW), []),
        (table(3, NARROW[:2]), []),
        (table(8, [(0, 30), (40, 70), (80, 110), (120, 150), (160, 190), (200, 230)]), []),
        (table(6, NARROW, ((1, 2), (3, 0), (4, 3))), []),
        (table(5, [(0, 190), (300, 330)]), []),  # a price list
        (table(5, [(0, 40), (60, 200)]), []),  # keys and values
        (table(4, [(0, 95), (300, 395)]), []),  # far apart
        (table(4, PROSE), RULES),
        (table(4, PROSE, ((2, 1),)), RULES),
        ([*table(5, NARROW), [(0, 140, 350, 150)]], []),  # a line below
        (
            [[(0, 0, 50, 10), (0, 13, 50, 23), (100, 0, 150, 10)]]
            + [[(x, y, x + 50, y + 10) for x in (0, 100)] for y in (43, 73, 103)],
            [],
        ),  # two lines in a cell
    ],
    ids=[
        *("four", "two", "six", "empty cells", "prices", "form", "far", "ruled"),
        *("ruled, empty", "foot", "two lines"),
    ],
)
def test_tables_are_read_by_rows(
    rows: list[list[tuple[int, int, int, int]]], rules: list[tuple[int, int, int, int]]
) -> None:
    boxes = np.array([box for row in rows for box in row])
    shuffled = np.random.default_rng(1).permutation(len(boxes))
    found = reading_order(boxes[shuffled], rules=np.array(rules).reshape(-1, 4))
    expected = iter(range(len(boxes)))
    assert [[int(shuffled[i]) for i in row] for row in found] == [
        [next(expected) for _ in row] for row in rows
    ]


def test_lines_of_many_words_are_prose() -> None:
    boxes = np.array([box for row in table(6, [(0, 50), (90, 140)]) for box in row])
    by_columns = [[i] for column in (0, 1) for i in range(column, 12, 2)]
    assert reading_order(boxes, np.full(12, 4)) == by_columns
    assert reading_order(boxes, np.full(12, 1)) == [[i, i + 1] for i in range(0, 12, 2)]


def test_rules_above_and_below_columns_make_no_table() -> None:
    boxes = np.array([box for row in table(6, PROSE) for box in row])
    rules = np.array([(-5, -10, 210, -8), (-5, 130, 210, 132)])
    assert reading_order(boxes, rules=rules)[:2] == [[0], [2]]


@settings(max_examples=60, deadline=None)
@example(np.array([[x, 0, 0, 0] for x in (2, 2, 0, 2, 0, 0)]))  # columns in a single row
@given(hnp.arrays(np.int64, st.tuples(st.integers(0, 25), st.just(4)), elements=st.integers(0, 60)))
def test_each_line_is_read_once(sides: np.ndarray) -> None:
    boxes = np.concatenate([sides[:, :2], sides[:, :2] + 1 + sides[:, 2:]], axis=1)
    assert sorted(i for row in reading_order(boxes) for i in row) == list(range(len(boxes)))
