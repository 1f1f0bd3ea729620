"""Augmentation: each kind alone and all together; sizes, strengths and randomness."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ocrsearch.core.config import AugmentConfig
from ocrsearch.data.images.augmentation import CHANGES, augment, augmented_views
from ocrsearch.data.samples import GrayImage

GEOMETRY = ("shear", "scale", "rotation", "translate", "elastic")
KINDS = (*GEOMETRY, *CHANGES)
OFF: dict[str, float] = dict.fromkeys(KINDS, 0.0)
EVERYTHING = AugmentConfig(strength=1.0, **dict.fromkeys(KINDS, 1.0))
each_kind = pytest.mark.parametrize("kind", KINDS)


def only(kind: str, amount: float = 1.0, strength: float = 1.0) -> AugmentConfig:
    """Return a configuration with one kind of augmentation."""
    values: dict[str, Any] = {**OFF, kind: amount}
    return AugmentConfig(strength=strength, **values)


def bar(height: int, width: int) -> GrayImage:
    """Return a white picture with a black bar in the middle third."""
    image = np.full((height, width), 255, np.uint8)
    image[:, width // 3 : -(-2 * width // 3)] = 0
    return image


def writing() -> GrayImage:
    """Return grey strokes on lighter paper, with room round them."""
    image = np.full((32, 96), 200, np.uint8)
    for x in range(20, 76, 8):
        image[10:22, x : x + 3] = 60
    image[15:17, 20:76] = 90
    return image


def draws(image: GrayImage, config: AugmentConfig, n: int = 40, seed: int = 0) -> list[GrayImage]:
    rng = np.random.default_rng(seed)
    return [augment(image, config, rng) for _ in range(n)]


def test_every_strength_belongs_to_a_kind() -> None:
    assert set(KINDS) == AugmentConfig.model_fields.keys() - {"strength", "concat"}


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 2), (32, 100), (32, 4096)])
@pytest.mark.parametrize("value", [0, 128, 255, None])
def test_size_and_type_are_kept(shape: tuple[int, int], value: int | None) -> None:
    image = bar(*shape) if value is None else np.full(shape, value, np.uint8)
    for config in (*(only(kind) for kind in KINDS), EVERYTHING, AugmentConfig()):
        for changed in draws(image, config, n=4):
            assert changed.shape == shape
            assert changed.dtype == np.uint8


def test_views_have_the_same_warp() -> None:
    warp = only("shear").model_copy(update={"scale": 1.0, "elastic": 1.0, "translate": 1.0})
    first, second = augmented_views(writing(), warp, np.random.default_rng(0), 2)
    assert (first == second).all()
    assert (first != writing()).any()
    masked = warp.model_copy(update={"mask": 1.0})
    first, second = augmented_views(writing(), masked, np.random.default_rng(0), 2)
    assert (first != second).any()


def test_masks_cover_whole_columns_of_a_part_of_the_image() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 400), dtype=np.uint8)
    shares = []
    for masked in draws(noise, only("mask")):
        changed = (masked != noise).mean(0)
        covered = changed > 0.9  # a pixel may have the grey level of the mask
        assert (changed[~covered] == 0).all()
        assert all(len(np.unique(column)) == 1 for column in masked.T[covered])
        shares.append(covered.mean())
    assert 0.1 < np.mean(shares) < 0.2
    assert max(shares) <= 0.3 + 10 / 400  # spans end at whole columns


@each_kind
def test_strength_zero_returns_the_picture_itself(kind: str) -> None:
    image = writing()
    for config in (only(kind, amount=0.0), only(kind, strength=0.0)):
        assert all(changed is image for changed in draws(image, config))


@each_kind
def test_each_kind_changes_pictures_by_its_strength(kind: str) -> None:
    image = writing()

    def change(amount: float) -> float:
        changed = [c.astype(float) for c in draws(image, only(kind, amount), n=120)]
        return float(np.mean([np.abs(c - image).mean() for c in changed]))

    assert 0 < change(0.1) < change(1.0)


@each_kind
def test_overall_strength_multiplies_each_kind(kind: str) -> None:
    half, also_half = only(kind, amount=0.5), only(kind, strength=0.5)
    for a, b in zip(draws(writing(), half), draws(writing(), also_half), strict=True):
        np.testing.assert_array_equal(a, b)


@each_kind
def test_same_generator_gives_the_same_pictures(kind: str) -> None:
    first, again, other = (draws(writing(), only(kind), seed=seed) for seed in (1, 1, 2))

    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(not np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_input_is_not_written_to() -> None:
    image = bar(32, 60)
    image.flags.writeable = False

    changed = draws(image, EVERYTHING)

    np.testing.assert_array_equal(image, bar(32, 60))
    assert all(not np.array_equal(c, image) for c in changed)


def test_more_strength_changes_more() -> None:
    image = bar(32, 60)

    def change(strength: float) -> float:
        changed = draws(image, AugmentConfig(strength=strength))
        return float(np.mean([np.abs(c.astype(float) - image).mean() for c in changed]))

    assert 0 < change(0.1) < change(0.5) < change(1.0)


def test_writing_stays_on_the_canvas() -> None:
    image = np.full((32, 96), 255, np.uint8)
    image[12:20, 40:56] = 0

    dark = [(c < 128).sum() for c in draws(image, AugmentConfig(strength=1.0))]

    assert min(dark) > 0.5 * (image < 128).sum()


@pytest.mark.parametrize("width", [64, 256, 1024])
def test_growing_costs_no_symbol_at_the_ends_of_a_line(width: int) -> None:
    image = np.full((32, width), 255, np.uint8)
    image[:, 4:12] = image[:, -12:-4] = 0  # a stroke 4 px from either end, 8 px wide

    for changed in draws(image, only("scale")):
        dark = np.flatnonzero(changed[16] < 128)
        assert dark.min() < width / 2 - 1 < dark.max()
        assert np.count_nonzero(dark < width / 2) >= 5
        assert np.count_nonzero(dark > width / 2) >= 5


@pytest.mark.parametrize(("width", "most_degrees"), [(96, 3.0), (1024, 0.75)])
def test_lines_are_tilted_a_little_and_long_ones_less(width: int, most_degrees: float) -> None:
    image = np.full((32, width), 255, np.uint8)
    image[13:19] = 0

    def degrees(changed: GrayImage) -> float:
        dark = changed[:, 8:-8] < 128
        middles = [np.flatnonzero(column).mean() for column in dark.T]
        return abs(math.degrees(math.atan(np.polyfit(range(len(middles)), middles, 1)[0])))

    tilts = [degrees(changed) for changed in draws(image, only("rotation"))]
    assert 0.5 * most_degrees < max(tilts) < 1.01 * most_degrees


def test_elastic_bends_a_line_and_the_affine_kinds_do_not() -> None:
    image = np.full((32, 128), 255, np.uint8)
    image[13:19] = 0

    def bend(changed: GrayImage) -> float:
        dark = changed[:, 8:-8] < 128
        middles = np.array([np.flatnonzero(column).mean() for column in dark.T])
        x = np.arange(len(middles))
        return float(np.abs(middles - np.polyval(np.polyfit(x, middles, 1), x)).max())

    elastic = [bend(c) for c in draws(image, only("elastic"))]
    affine = [
        bend(c) for c in draws(image, AugmentConfig(strength=1, stroke_width=0, blur=0, noise=0))
    ]
    assert 1.0 < max(elastic) < 0.15 * 32
    assert max(affine) < 1.0


@pytest.mark.parametrize("kind", [*GEOMETRY, "stroke_width", "blobs", "blur"])
def test_blank_picture_stays_blank(kind: str) -> None:
    image = np.full((32, 60), 128, np.uint8)

    assert {int(v) for changed in draws(image, only(kind)) for v in np.unique(changed)} == {128}


def test_noise_has_no_bias_and_the_stated_deviation() -> None:
    changed = np.stack(draws(np.full((32, 60), 128, np.uint8), only("noise"), n=400)).astype(float)
    deviations = changed.std(axis=(1, 2))

    assert abs(changed.mean() - 128) < 0.05
    assert 11 < deviations.max() < 12.5
    assert 0.4 < np.mean(deviations > 0) < 0.6


@pytest.mark.parametrize("value", [0, 255])
def test_noise_does_not_wrap_round(value: int) -> None:
    changed = np.stack(draws(np.full((32, 60), value, np.uint8), only("noise")))

    assert np.abs(changed.astype(int) - value).max() < 50


def test_blobs_are_as_dark_as_ink_or_as_light_as_paper() -> None:
    changed = draws(writing(), only("blobs"), n=60)

    assert {int(v) for c in changed for v in np.unique(c)} == {60, 90, 200}
    assert any((c == 60).sum() > (writing() == 60).sum() for c in changed)
    assert any((c == 60).sum() < (writing() == 60).sum() for c in changed)


def test_brightness_keeps_the_order_of_greys_in_a_column() -> None:
    ramp = np.tile(np.arange(0, 256, 8, dtype=np.uint8)[:, None], (1, 40))

    for changed in draws(ramp, only("brightness")):
        assert (np.diff(changed.astype(int), axis=0) >= 0).all()
