"""Lines: prepared and encoded, and put beside each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrsearch.core.config import (
    FRAME_STRIDE,
    ImageConfig,
    PreprocessConfig,
)
from ocrsearch.data.charset import Charset
from ocrsearch.data.images.lines import (
    Line,
    frames_needed,
    join_at_random,
    scaled_lines,
    side_by_side,
)
from ocrsearch.data.images.reading import MAX_WIDTH_PX
from ocrsearch.data.samples import LabelledImages, PackedImages

HEIGHT = 16
LABELS = st.lists(st.integers(0, 2), max_size=8)


def line(width: int, *target: int, gray: int = 0) -> Line:
    return Line(np.full((HEIGHT, width), gray, np.uint8), target)


def joined(lines: list[Line], probability: float = 1.0, seed: int = 0) -> list[tuple[Line, ...]]:
    return join_at_random(lines, probability, np.random.default_rng(seed))


def test_lines_are_prepared_and_encoded() -> None:
    images = [np.zeros((8, 20), np.uint8), np.zeros((1, 1), np.uint8)]
    data = LabelledImages(["x", "y"], ["ba", ""], PackedImages.pack(images))
    config = ImageConfig(height=16, preprocess=PreprocessConfig(margin=0.5))

    lines = scaled_lines(data, Charset("ab"), config)

    assert [line.image.shape for line in lines] == [(16, 56), (16, 16)]
    assert [line.target for line in lines] == [(1, 0), ()]


def test_side_by_side() -> None:
    pair = side_by_side((line(8, 1, 2, gray=10), line(12, 2, 3, gray=20)))

    assert pair.target == (1, 2, 2, 3)
    assert pair.image.shape == (HEIGHT, 20)
    assert pair.image[0].tolist() == [10] * 8 + [20] * 12
    alone = line(8, 1)
    assert side_by_side((alone,)) is alone


@pytest.mark.parametrize("lines", [[], [line(8, 1)]], ids=["none", "one"])
def test_nothing_to_join_with(lines: list[Line]) -> None:
    assert joined(lines) == [(line,) for line in lines]


def test_probability_is_that_of_joining() -> None:
    lines = [line(16, i) for i in range(1000)]

    for probability in (0.0, 0.3, 1.0):
        share = sum(len(group) == 2 for group in joined(lines, probability)) / 1000
        assert share == pytest.approx(probability, abs=0.05 if 0 < probability < 1 else 0.0)


def test_every_line_comes_first_once_and_beside_any_other() -> None:
    lines = [line(16, i) for i in range(5)]
    pairs = {
        (group[0].target[0], group[1].target[0])
        for seed in range(60)
        for group in joined(lines, seed=seed)
    }

    assert [group[0] for group in joined(lines)] == lines
    assert pairs == {(a, b) for a in range(5) for b in range(5) if a != b}


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        (line(8, 1, 2), line(8, 3, 4), True),
        (line(8, 1, 2), line(8, 2, 3), False),  # the repeat at the joint needs a fifth frame
        (line(8, 1, 2), line(12, 2, 3), True),
        (line(8), line(8), True),
        (line(MAX_WIDTH_PX - 8, 1), line(8, 2), True),
        (line(MAX_WIDTH_PX - 8, 1), line(12, 2), False),
    ],
)
def test_lines_are_joined_only_where_that_fits(first: Line, second: Line, fits: bool) -> None:
    groups = joined([first, second])

    assert len(groups[0]) == 1 + fits


@given(st.lists(st.tuples(st.integers(2, 8), LABELS), min_size=1, max_size=9), st.integers(0, 50))
@settings(deadline=None)
def test_what_fits_alone_fits_joined(drawn: list[tuple[int, list[int]]], seed: int) -> None:
    lines = [line(n * FRAME_STRIDE, *target) for n, target in drawn if frames_needed(target) <= n]

    for group in joined(lines, seed=seed):
        pair = side_by_side(group)
        assert frames_needed(pair.target) * FRAME_STRIDE <= pair.image.shape[1] <= MAX_WIDTH_PX
