"""Preview sheets: what is on them, for pictures and labels of any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ocrsearch.core.config import Config
from ocrsearch.data.images.lines import prepare_image
from ocrsearch.data.images.reading import scale_image
from ocrsearch.data.samples import GrayImage
from ocrsearch.data.sheets import N_AUGMENTED, SHEET_WIDTH_PX, preview_sheet


def picture(height: int = 32, width: int = 96, seed: int = 0) -> GrayImage:
    return np.random.default_rng(seed).integers(0, 200, (height, width), dtype=np.uint8)


def config_of(**augment: float) -> Config:
    raw: dict[str, Any] = {"images": {"preprocess": {"threshold": 1.0, "margin": 0.5}}}
    return Config.model_validate({**raw, "training": {"augment": augment}})


def sheet_of(pictures: list[tuple[GrayImage, str]], config: Config, seed: int = 0) -> GrayImage:
    return preview_sheet(pictures, config, np.random.default_rng(seed))


def count(image: GrayImage, sheet: GrayImage) -> int:
    """Return how often a picture is on a sheet."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet, image.shape)
    return int((windows == image).all(axis=(2, 3)).sum())


def test_picture_is_shown_as_read_prepared_and_augmented() -> None:
    image, config = picture(), config_of(strength=0.0)

    sheet = sheet_of([(image, "12")], config)

    prepared = prepare_image(image, config.images)
    assert count(scale_image(image, Config().images), sheet) == 1
    assert count(prepared, sheet) == 1 + N_AUGMENTED
    assert count(prepared, sheet_of([(image, "12")], config_of(strength=1.0))) == 1


def test_sheet_is_that_of_its_seed() -> None:
    pictures = [(picture(), "12"), (picture(20, 60, 1), "3")]
    config = config_of(strength=1.0, concat=0.5)

    np.testing.assert_array_equal(sheet_of(pictures, config), sheet_of(pictures, config))
    other = sheet_of(pictures, config, seed=1)
    assert not np.array_equal(sheet_of(pictures, config), other)


def test_joined_lines_are_shown_with_their_label() -> None:
    pictures = [(picture(), "12"), (picture(32, 60, 1), "3")]

    joined = sheet_of(pictures, config_of(strength=0.0, concat=1.0))
    alone = sheet_of(pictures, config_of(strength=0.0))

    assert joined.shape[0] > alone.shape[0]  # a caption above each
    assert joined.shape[1] > alone.shape[1]


def test_label_is_drawn() -> None:
    sheets = [
        sheet_of([(picture(), text)], config_of(strength=0.0)) for text in ("1", "ậ", "中", " ")
    ]
    captions = {sheet[:26, :30].tobytes() for sheet in sheets}
    assert len(captions) == 4


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (128, 4000)])
@pytest.mark.parametrize("text", ["", "x" * 500, "a\nb\t\x00", "\U0001f600"])
def test_any_picture_and_label(shape: tuple[int, int], text: str) -> None:
    config = config_of(strength=1.0, elastic=1.0, concat=1.0)

    sheet = sheet_of([(picture(*shape), text), (picture(), "12")], config)

    assert sheet.dtype == np.uint8


def test_sheet_is_no_wider_than_it_must_be() -> None:
    sheet = sheet_of([(picture(seed=i), str(i)) for i in range(40)], config_of())

    assert sheet.shape[1] <= SHEET_WIDTH_PX + 40
    assert sheet.shape[0] > 500
