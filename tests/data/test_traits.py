"""Traits of a training split, on images whose traits are known."""

from __future__ import annotations

import numpy as np
import pytest

from ocrsearch.data.measurements import (
    N_SAMPLED,
    Traits,
    measure_traits,
)
from ocrsearch.data.samples import GrayImage, LabelledImages, PackedImages


def bars(height: int = 40, width: int = 120, left: int = 20, right: int = 100) -> GrayImage:
    """Return an image with thin upright strokes between two columns and a third of the height."""
    image = np.full((height, width), 220, np.uint8)
    for x in range(left, right, 10):
        image[height // 3 : 2 * height // 3, x : x + 3] = 30
    return image


def measured(images: list[GrayImage], texts: list[str]) -> Traits:
    return measure_traits(LabelledImages(texts, texts, PackedImages.pack(images)))


def test_labels_and_sizes() -> None:
    found = measured([bars(), bars(), bars(height=80)], ["ab", "abcd", "abc"])
    assert (found.n_images, found.n_symbols, found.n_texts) == (3, 4, 3)
    assert (found.length_min, found.length_median, found.length_max) == (2, 3.0, 4)
    assert (found.height, found.width) == (40.0, 120.0)
    assert not found.digits_only
    assert not found.stacked


def test_the_ink_is_found_whatever_its_polarity() -> None:
    for images in ([bars()], [255 - bars()]):
        found = measured(images, ["12"])
        assert found.ink_width == pytest.approx(73 / 120, abs=0.03)
        assert found.ink_height == pytest.approx(1 / 3, abs=0.06)
        assert found.frames == pytest.approx(73 / 40 / 4 / 2, abs=0.02)
        assert found.tight_share == 0
        assert found.digits_only


@pytest.mark.parametrize(("n_light", "expected"), [(0, 0.0), (1, 0.25), (4, 1.0)])
def test_polarity(n_light: int, expected: float) -> None:
    images = [255 - bars()] * n_light + [bars()] * (4 - n_light)
    found = measured(images, ["12"] * 4)
    assert (found.light_share, found.dark_share) == (expected, 1 - expected)


def test_paper() -> None:
    even = measured([bars()], ["12"])
    slope = np.linspace(0.5, 1.0, 120)
    uneven = measured([(bars() * slope).astype(np.uint8)], ["12"])
    noise = np.random.default_rng(0).integers(0, 60, (40, 120))
    noisy = measured([(bars() - noise % 30).astype(np.uint8)], ["12"])
    assert even.uneven == even.noise == 0
    assert uneven.uneven > 0.2
    assert noisy.noise > 0.02
    assert even.grey_range == 190


def test_tightness_and_repeats() -> None:
    assert measured([bars(left=0, right=120)], ["12"]).tight_share == 1
    assert measured([bars()], ["11"]).frames_tight == pytest.approx(120 / 40 / 4 / 3)
    assert measured([bars()], ["12"]).frames_tight == pytest.approx(120 / 40 / 4 / 2)


def test_all_labels_and_some_pixels_of_a_large_split() -> None:
    n = 3 * N_SAMPLED
    found = measured([bars()] * (n - 1) + [255 - bars()], ["12"] * (n - 1) + ["3"])
    assert (found.n_images, found.n_symbols, found.length_min) == (n, 3, 1)
    assert found.light_share == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 2), (128, 4000)])
def test_any_shape(shape: tuple[int, int]) -> None:
    image = np.zeros(shape, np.uint8)
    image[0, 0] = 255
    found = measured([image], ["a"])
    assert all(np.isfinite(value) for value in vars(found).values())
