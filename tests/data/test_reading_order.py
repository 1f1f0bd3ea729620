"""The order in which lines are read."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ocrsearch.data.reading_order import reading_order

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
    assert [int(shuffled[i]) for i in order] == list(range(len(boxes)))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.int64, st.tuples(st.integers(0, 25), st.just(4)), elements=st.integers(0, 60)))
def test_each_line_is_read_once(sides: np.ndarray) -> None:
    boxes = np.concatenate([sides[:, :2], sides[:, :2] + 1 + sides[:, 2:]], axis=1)
    assert sorted(reading_order(boxes)) == list(range(len(boxes)))
