"""Augmentation: sizes, strength and randomness."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ocrsearch.data.augment import augment
from ocrsearch.data.samples import GrayImage


def bar(height: int, width: int) -> GrayImage:
    """Return a white picture with a black bar in the middle third."""
    image = np.full((height, width), 255, np.uint8)
    image[:, width // 3 : -(-2 * width // 3)] = 0
    return image


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (32, 100), (32, 4096)])
@pytest.mark.parametrize("strength", [0.0, 0.01, 1.0])
def test_size_and_type_are_kept(shape: tuple[int, int], strength: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        changed = augment(bar(*shape), strength, rng)

        assert changed.shape == shape
        assert changed.dtype == np.uint8


def test_strength_zero_changes_nothing() -> None:
    image = bar(32, 60)

    np.testing.assert_array_equal(augment(image, 0.0, np.random.default_rng(0)), image)


def test_input_is_not_written_to() -> None:
    image = bar(32, 60)
    image.flags.writeable = False
    rng = np.random.default_rng(0)

    changed = [augment(image, 1.0, rng) for _ in range(20)]

    np.testing.assert_array_equal(image, bar(32, 60))
    assert all(not np.array_equal(c, image) for c in changed)


def test_same_generator_gives_the_same_pictures() -> None:
    def draw(seed: int) -> list[GrayImage]:
        rng = np.random.default_rng(seed)
        return [augment(bar(32, 60), 0.7, rng) for _ in range(10)]

    for a, b in zip(draw(1), draw(1), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(draw(1), draw(2), strict=True))


def test_more_strength_changes_more() -> None:
    image = bar(32, 60)

    def change(strength: float) -> float:
        rng = np.random.default_rng(0)
        changed = [augment(image, strength, rng).astype(float) for _ in range(40)]
        return float(np.mean([np.abs(c - image).mean() for c in changed]))

    assert 0 < change(0.1) < change(0.5) < change(1.0)


def test_writing_stays_on_the_canvas() -> None:
    image = np.full((32, 96), 255, np.uint8)
    image[12:20, 40:56] = 0
    rng = np.random.default_rng(0)

    dark = [(augment(image, 1.0, rng) < 128).sum() for _ in range(40)]

    assert min(dark) > 0.5 * (image < 128).sum()


@pytest.mark.parametrize(("width", "most_degrees"), [(96, 3.0), (1024, 0.75)])
def test_lines_are_tilted_a_little_and_long_ones_less(width: int, most_degrees: float) -> None:
    image = np.full((32, width), 255, np.uint8)
    image[13:19] = 0
    rng = np.random.default_rng(0)

    def degrees() -> float:
        dark = augment(image, 1.0, rng)[:, 8:-8] < 128
        middles = [np.flatnonzero(column).mean() for column in dark.T]
        return abs(math.degrees(math.atan(np.polyfit(range(len(middles)), middles, 1)[0])))

    tilts = [degrees() for _ in range(40)]
    assert 0.5 * most_degrees < max(tilts) < 1.2 * most_degrees


def test_blank_picture_stays_blank_but_for_noise() -> None:
    rng = np.random.default_rng(0)
    changed = [augment(np.full((32, 60), 128, np.uint8), 1.0, rng) for _ in range(20)]

    assert all(abs(float(c.mean()) - 128) < 2 for c in changed)
