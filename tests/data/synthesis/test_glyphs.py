"""Glyphs: cut out whatever the polarity, relative heights kept."""

from __future__ import annotations

import numpy as np
import pytest

from ocrsearch.core.errors import DataError
from ocrsearch.data.synthesis.digits import (
    MAX_HEIGHT_PX,
    MIN_HEIGHT_PX,
    cut_glyphs,
)


def box(height: int, width: int, paper: int = 255, ink: int = 0, frame: int = 40) -> np.ndarray:
    image = np.full((frame, frame), paper, np.uint8)
    image[3 : 3 + height, 5 : 5 + width] = ink
    return image


@pytest.mark.parametrize(("paper", "ink"), [(255, 0), (0, 255), (120, 60), (90, 200)])
def test_cut_to_its_ink_at_full_strength(paper: int, ink: int) -> None:
    glyphs = cut_glyphs([box(30, 12, paper, ink)], ["1"])

    np.testing.assert_array_equal(glyphs.ink[0], np.full((30, 12), 255))


def test_heights_are_relative_to_the_usual_one_and_to_the_frame() -> None:
    images = [box(20, 9), box(20, 9), box(5, 9), box(60, 27, frame=120)]

    glyphs = cut_glyphs(images, ["1", "2", "-", "3"])

    np.testing.assert_allclose(glyphs.heights, [1, 1, 0.25, 1])
    assert {s: ids.tolist() for s, ids in glyphs.by_symbol.items()} == {
        "-": [2],
        "1": [0],
        "2": [1],
        "3": [3],
    }


@pytest.mark.parametrize("height", [1, 8, 39, 100, 300])
def test_kept_at_a_height_near_that_of_drawing(height: int) -> None:
    (ink,) = cut_glyphs([box(height, height, frame=310)], ["x"]).ink

    assert MIN_HEIGHT_PX <= ink.shape[0] <= MAX_HEIGHT_PX
    assert ink.shape[0] == ink.shape[1]


@pytest.mark.parametrize("image", [box(0, 0), box(9, 9, 100, 110), np.zeros((1, 1), np.uint8)])
def test_blank_pictures_are_left_out(image: np.ndarray) -> None:
    glyphs = cut_glyphs([image, box(9, 9)], ["1", "2"])

    assert list(glyphs.by_symbol) == ["2"]
    assert len(glyphs.ink) == 1


def test_none_at_all() -> None:
    assert cut_glyphs([], []).by_symbol == {}


@pytest.mark.parametrize("label", ["12", ""])
def test_a_label_must_be_one_symbol(label: str) -> None:
    with pytest.raises(DataError, match="single characters"):
        cut_glyphs([box(9, 9)], [label])
