"""Paper: what each setting does, and degenerate pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ocrsearch.data.synthesis.recipe import Paper
from ocrsearch.data.synthesis.synthesizer import to_paper

NOTHING: dict[str, Any] = {
    "backgrounds": ("plain",),
    "level": (200, 200),
    "contrast": (100, 100),
    "gradient": (0, 0),
    "texture": (0, 0),
    "rules": 0,
    "light_on_dark": 0,
    "blur": (0, 0),
    "noise": (0, 0),
    "speckles": (0, 0),
}


def ink(height: int = 32, width: int = 90) -> np.ndarray:
    drawn = np.zeros((height, width), np.float32)
    drawn[height // 4 : -height // 4, width // 4 : width // 2] = 1
    return drawn


def paper(seed: int = 0, **changes: Any) -> np.ndarray:
    return to_paper(ink(), Paper(**{**NOTHING, **changes}), np.random.default_rng(seed))


def test_ink_is_darker_than_paper_by_the_contrast() -> None:
    image = paper()

    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, np.where(ink() > 0, 100, 200))


def test_negative_is_the_opposite() -> None:
    np.testing.assert_array_equal(paper(light_on_dark=1), 255 - paper())


@pytest.mark.parametrize(
    "change",
    [
        {"backgrounds": ("gradient",), "gradient": (40, 40)},
        {"backgrounds": ("texture",), "texture": (10, 10)},
        {"rules": 1},
        {"blur": (1, 1)},
        {"noise": (8, 8)},
        {"speckles": (0.02, 0.02)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_setting_changes_the_picture_and_keeps_it_legible(change: dict[str, Any]) -> None:
    plain = paper()
    for seed in range(5):
        image = paper(seed, **change)
        assert image.shape == plain.shape
        assert (image != plain).any()
        assert image[ink() > 0].mean() < image[ink() == 0].mean() - 30


@pytest.mark.parametrize("change", [{"gradient": (40, 40)}, {"texture": (10, 10)}])
def test_plain_paper_has_neither_gradient_nor_texture(change: dict[str, Any]) -> None:
    np.testing.assert_array_equal(paper(**change), paper())


def test_levels_do_not_wrap_around() -> None:
    image = paper(level=(255, 255), contrast=(255, 255), noise=(30, 30), seed=1)

    assert image[ink() > 0].max() < 220
    assert image[ink() == 0].min() > 40


@pytest.mark.parametrize("shape", [(16, 1), (16, 2), (128, 1), (16, 5000)])
def test_any_shape_will_do(shape: tuple[int, int]) -> None:
    everything = Paper(rules=1, backgrounds=("texture",), speckles=(0.2, 0.2))
    for seed in range(10):
        image = to_paper(np.zeros(shape, np.float32), everything, np.random.default_rng(seed))
        assert (image.shape, image.dtype) == (shape, np.uint8)
