"""Preprocessing: each step on pictures of both polarities, and of the smallest sizes."""

from __future__ import annotations

import itertools
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ocrsearch.core.config import (
    FRAME_STRIDE,
    ImageConfig,
    PreprocessConfig,
)
from ocrsearch.data.images.lines import (
    crop_to_ink,
    prepare_image,
    preprocess,
    preprocessed_shape,
)
from ocrsearch.data.images.reading import (
    scale_image,
    scaled_width,
    shrink_line,
)
from ocrsearch.data.samples import GrayImage

OPTIONS = [
    PreprocessConfig(
        normalize_polarity=polarity,
        remove_ruling=ruling,
        crop=crop,
        contrast=contrast,  # type: ignore[arg-type]
        threshold=threshold,
        margin=margin,
    )
    for polarity, ruling, crop, contrast, threshold, margin in itertools.product(
        (False, True), (False, True), (False, True), ("none", "stretch", "clahe"),
        (0.0, 0.5, 1.0), (0.0, 0.25),
    )
]  # fmt: skip
"""All of them, with some values of each share."""

ONE_STEP: dict[str, dict[str, Any]] = {
    "polarity": {"normalize_polarity": True},
    "ruling": {"remove_ruling": True},
    "crop": {"crop": True},
    "stretch": {"contrast": "stretch"},
    "clahe": {"contrast": "clahe"},
    "half threshold": {"threshold": 0.5},
    "threshold": {"threshold": 1.0},
    "margin": {"margin": 0.25},
}
STEPS = (0.0, 0.5, 1.0)
each_step = pytest.mark.parametrize("step", ONE_STEP.values(), ids=ONE_STEP.keys())
PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 60)))


def written(paper: int = 210, ink: int = 70) -> GrayImage:
    """Return digits on ruled paper with room round them."""
    image = np.full((60, 200), paper, np.uint8)
    cv2.putText(image, "508", (60, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, ink, 2)
    image[52:54] = ink
    return image


def strokes(ink: int) -> GrayImage:
    """Return sharp strokes, in rows 15 to 38 and columns 60 to 119."""
    image = np.full((60, 200), 210, np.uint8)
    for x in range(60, 120, 9):
        image[15:39, x : x + 6] = ink
    return image


def test_nothing_is_done_unless_asked() -> None:
    image = written()

    assert preprocess(image, PreprocessConfig()) is image
    np.testing.assert_array_equal(
        prepare_image(image, ImageConfig()), scale_image(image, ImageConfig())
    )


@each_step
def test_each_step_does_something_and_leaves_its_input_alone(step: dict[str, Any]) -> None:
    image = 255 - written()
    image.flags.writeable = False

    changed = preprocess(image, PreprocessConfig(**step))

    assert changed.dtype == np.uint8
    assert changed.shape != image.shape or not np.array_equal(changed, image)
    np.testing.assert_array_equal(image, 255 - written())


@each_step
def test_steps_do_the_same_to_both_polarities(step: dict[str, Any]) -> None:
    dark = preprocess(written(), PreprocessConfig(**step))
    light = preprocess(255 - written(), PreprocessConfig(**step))

    np.testing.assert_array_equal(light, dark if "normalize_polarity" in step else 255 - dark)


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (2, 1), (1, 60), (60, 1), (3, 3), (128, 2), (1, 4000)]
)
@pytest.mark.parametrize("value", [0, 128, 255, None])
def test_smallest_and_blank_pictures(shape: tuple[int, int], value: int | None) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    image = noise if value is None else np.full(shape, value, np.uint8)
    for options in OPTIONS:
        config = ImageConfig(height=16, preprocess=options)
        changed = preprocess(image, options)
        assert changed.dtype == np.uint8
        assert min(changed.shape) >= 1
        prepared = prepare_image(image, config)
        assert prepared.shape == (16, scaled_width(*changed.shape, config))
        if value is not None:
            assert len(np.unique(changed)) == 1


@given(PICTURES, st.sampled_from(OPTIONS), st.integers(16, 64), st.floats(0.25, 4.0))
@settings(deadline=None, max_examples=150)
def test_shape_is_known_before(
    image: GrayImage, options: PreprocessConfig, height: int, width_scale: float
) -> None:
    config = ImageConfig(height=height, width_scale=width_scale, preprocess=options)
    changed, prepared = preprocess(image, options), prepare_image(image, config)

    assert preprocessed_shape(image, options) == changed.shape
    assert prepared.shape == (height, scaled_width(*changed.shape, config))
    assert prepared.shape[1] % FRAME_STRIDE == 0


@pytest.mark.parametrize("options", OPTIONS[::7])
def test_preparing_is_shrinking_preprocessing_and_scaling(options: PreprocessConfig) -> None:
    config = ImageConfig(height=40, preprocess=options)
    large = cv2.resize(written(), None, fx=4, fy=4)

    expected = scale_image(preprocess(shrink_line(large), options), config)

    np.testing.assert_array_equal(prepare_image(large, config), expected)
    np.testing.assert_array_equal(prepare_image(shrink_line(large), config), expected)


@pytest.mark.parametrize("ink", [70, 120, 190])
def test_crop_leaves_the_ink_and_some_paper(ink: int) -> None:
    image = strokes(ink)

    cropped = crop_to_ink(image)

    np.testing.assert_array_equal(cropped, image[12:42, 57:123])  # an eighth of 24 px round it


def test_crop_goes_to_the_writing_where_the_ruling_is_removed() -> None:
    image = written()
    both = preprocess(image, PreprocessConfig(remove_ruling=True, crop=True))
    ruled = preprocess(image, PreprocessConfig(crop=True))

    assert ruled.shape[1] == 200
    assert both.shape[1] < 80


@pytest.mark.parametrize("box", [(28, 31, 90, 110), (40, 44, 100, 104)], ids=["dash", "full stop"])
def test_small_sign_alone_is_not_blown_up(box: tuple[int, int, int, int]) -> None:
    image = np.full((60, 200), 220, np.uint8)
    top, bottom, left, right = box
    image[top:bottom, left:right] = 40

    cropped = crop_to_ink(image)

    assert 20 <= cropped.shape[0] <= 22
    assert (cropped == 40).sum() == (bottom - top) * (right - left)


@pytest.mark.parametrize("ink", [70, 120, 190])
def test_threshold_mixes_in_black_and_white(ink: int) -> None:
    none, half, full = (preprocess(strokes(ink), PreprocessConfig(threshold=t)) for t in STEPS)

    np.testing.assert_array_equal(full, np.where(none == ink, 0, 255))
    assert np.abs(half - (none.astype(float) + full) / 2).max() <= 0.5


def test_local_contrast_lifts_faint_ink() -> None:
    light = np.linspace(230, 120, 200)
    image = np.tile(light, (60, 1)).astype(np.uint8)
    cv2.putText(image, "508", (60, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 0, 2)
    ink = image == 0
    image[ink] = (np.tile(light, (60, 1))[ink] - 25).astype(np.uint8)

    near = cv2.dilate(ink.astype(np.uint8), np.ones((9, 9))) > 0

    def local(picture: GrayImage) -> float:
        return float(picture[near & ~ink].mean()) - float(picture[ink].mean())

    assert local(preprocess(image, PreprocessConfig(contrast="clahe"))) > 1.5 * local(image)


@pytest.mark.parametrize(("margin", "px"), [(0.0, 0), (0.1, 6), (0.25, 15), (1.0, 60)])
def test_margin_repeats_the_outer_columns(margin: float, px: int) -> None:
    image = np.random.default_rng(0).integers(100, 256, (60, 200), dtype=np.uint8)

    widened = preprocess(image, PreprocessConfig(margin=margin))

    assert widened.shape == (60, 200 + 2 * px)
    np.testing.assert_array_equal(widened[:, px : px + 200], image)
    if px:
        np.testing.assert_array_equal(widened[:, :px], np.repeat(image[:, :1], px, axis=1))
        np.testing.assert_array_equal(widened[:, -px:], np.repeat(image[:, -1:], px, axis=1))
