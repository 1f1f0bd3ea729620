"""Ink and paper: polarity, masks, boxes and ruling lines."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ocrsearch.data.images.gray import (
    gray_ends,
    ink_box,
    ink_is_light,
    ink_mask,
    remove_ruling,
    stretch_contrast,
)
from ocrsearch.data.samples import GrayImage

DEGENERATE = [(1, 1), (1, 2), (2, 1), (1, 50), (50, 1), (3, 3), (128, 4)]
PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 60)))


def page(height: int = 48, width: int = 240, paper: int = 220) -> GrayImage:
    return np.full((height, width), paper, np.uint8)


def word(image: GrayImage, text: str = "4719", x: int = 60, ink: int = 40) -> GrayImage:
    """Write digits into a picture, two thirds as high as it."""
    height = image.shape[0]
    cv2.putText(image, text, (x, height * 3 // 4), cv2.FONT_HERSHEY_SIMPLEX, height / 44, ink, 2)
    return image


def rule(image: GrayImage, y: float, degrees: float = 0.0, thickness: int = 1) -> GrayImage:
    """Draw a line through a picture, its middle at a height; return it as a mask."""
    height, width = image.shape
    rise = math.tan(math.radians(degrees)) * width / 2
    ends = (0, round(y + rise)), (width - 1, round(y - rise))
    mask = np.zeros((height, width), np.uint8)
    cv2.line(mask, *ends, 255, thickness)
    image[mask > 0] = 70
    return mask > 0


@pytest.mark.parametrize("shape", DEGENERATE)
@pytest.mark.parametrize("value", [0, 1, 127, 254, 255])
def test_one_grey_has_no_ink(shape: tuple[int, int], value: int) -> None:
    image = np.full(shape, value, np.uint8)

    assert gray_ends(image) == (value, value, value)
    assert stretch_contrast(image) is image
    assert not ink_is_light(image)
    assert not ink_mask(image).any()
    assert ink_box(image) == (slice(0, shape[0]), slice(0, shape[1]))
    assert remove_ruling(image) is image


@given(PICTURES)
@settings(deadline=None, max_examples=80)
def test_any_picture_is_taken(image: GrayImage) -> None:
    before = image.copy()
    mask, (rows, columns) = ink_mask(image), ink_box(image)
    cleaned, stretched = remove_ruling(image), stretch_contrast(image)

    assert mask.shape == cleaned.shape == stretched.shape == image.shape
    assert mask.dtype == cleaned.dtype == stretched.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 255}
    assert 0 <= rows.start < rows.stop <= image.shape[0]
    assert 0 <= columns.start < columns.stop <= image.shape[1]
    np.testing.assert_array_equal(image, before)


@given(PICTURES)
def test_grey_ends_against_a_sorted_picture(image: GrayImage) -> None:
    low, high, median = gray_ends(image)
    values = np.sort(image.ravel())

    for end, share in ((low, 0.005), (median, 0.5), (high, 0.995)):
        assert end == values[math.ceil(share * len(values)) - 1]


@pytest.mark.parametrize("paper", [255, 200, 120])
@pytest.mark.parametrize("contrast", [20, 60, 110])
@pytest.mark.parametrize("shade", [0, 40])
def test_polarity_is_decided_from_the_picture(paper: int, contrast: int, shade: int) -> None:
    shading = np.linspace(0, min(shade, contrast), 240)
    dark = word(page(paper=paper), ink=paper - contrast).astype(float) - shading
    dark = np.clip(dark, 0, 255).astype(np.uint8)

    assert not ink_is_light(dark)
    assert ink_is_light(255 - dark)


def test_stretched_picture_uses_all_greys_but_for_outliers() -> None:
    image = word(page(paper=150), ink=110)
    image[0, 0], image[0, 1] = 0, 255

    stretched = stretch_contrast(image)

    assert (stretched[5, 5], stretched.max(), stretched.min()) == (255, 255, 0)
    assert np.median(stretched[image == 110]) == 0


@pytest.mark.parametrize("low", [0, 90])
@pytest.mark.parametrize("gain", [1.0, 0.5, 0.2])
def test_mask_is_the_ink_whatever_brightness_and_contrast(low: int, gain: float) -> None:
    ink = word(page(paper=255), ink=0) < 128
    image = (low + gain * np.where(ink, 20, 160)).astype(np.uint8)

    np.testing.assert_array_equal(ink_mask(image) > 0, ink)


def test_mask_follows_uneven_light() -> None:
    ink = word(page(paper=255), ink=0) < 128
    light = np.linspace(1.0, 0.35, 240)
    image = (np.where(ink, 90, 230) * light).astype(np.uint8)

    found = ink_mask(image) > 0

    assert (found & ink).sum() > 0.95 * ink.sum()
    assert (found & ~ink).sum() < 0.02 * ink.sum()


@pytest.mark.parametrize("n_specks", [0, 1, 30])
def test_box_holds_the_writing_and_no_specks(n_specks: int) -> None:
    image = word(page())
    rows, columns = np.nonzero(image < 128)
    rng = np.random.default_rng(0)
    for _ in range(n_specks):
        image[rng.integers(48), rng.integers(240)] = 40

    top_bottom, left_right = ink_box(image)

    assert abs(top_bottom.start - rows.min()) <= 1
    assert abs(top_bottom.stop - rows.max()) <= 2
    assert abs(left_right.start - columns.min()) <= 1
    assert abs(left_right.stop - columns.max()) <= 2


@pytest.mark.parametrize("side", [3, 4])
def test_full_stop_far_from_the_word_is_no_speck(side: int) -> None:
    image = word(page())
    image[34 : 34 + side, 200 : 200 + side] = 40

    assert ink_box(image)[1].stop == 200 + side


def test_nothing_but_specks_is_kept_whole() -> None:
    image = page()
    image[::9, ::11] = 30

    assert ink_box(image) == (slice(0, 48), slice(0, 240))


@pytest.mark.parametrize("thickness", [1, 2, 3])
@pytest.mark.parametrize("degrees", [0.0, 0.5, -1.0, 2.0, -3.0])
@pytest.mark.parametrize("y", [8, 40])
def test_ruling_is_removed_and_writing_kept(y: int, degrees: float, thickness: int) -> None:
    image = word(page())
    ink = image < 128
    mask = rule(image, y, degrees, thickness)

    cleaned = remove_ruling(image)

    line = mask & ~cv2.dilate(ink.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    assert (cleaned[line] > 180).mean() > 0.95
    assert (cleaned[ink] < 140).mean() > 0.95


def test_strokes_that_cross_a_rule_are_kept() -> None:
    image = page()
    for x in range(20, 230, 20):
        cv2.line(image, (x, 8), (x + 6, 40), 40, 3)
    strokes = image < 128
    mask = rule(image, 24, 0.0, 2)

    cleaned = remove_ruling(image)

    assert (cleaned[strokes] < 128).mean() > 0.97
    assert (cleaned[mask & ~strokes] > 180).mean() > 0.9


@pytest.mark.parametrize("y", [0, 47])
def test_rule_at_the_edge_is_removed(y: int) -> None:
    image = page()
    image[y] = 60

    assert remove_ruling(image).min() == 220


@pytest.mark.parametrize("text", ["4719", "22222", "-----", "7 7 7 7", "==", "E F T L"])
def test_writing_alone_is_left_as_it_is(text: str) -> None:
    image = word(page(), text, x=10)

    np.testing.assert_array_equal(remove_ruling(image), image)


def test_thick_bar_is_no_rule() -> None:
    image = page()
    image[20:30] = 60

    np.testing.assert_array_equal(remove_ruling(image), image)
