"""A picture is the same array at training, validation and recognition, whatever is done to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from ocrsearch.core.config import (
    Config,
    ImageConfig,
    PreprocessConfig,
)
from ocrsearch.data.dataset import load_dataset
from ocrsearch.data.images.lines import Line, prepare_image, scaled_lines
from ocrsearch.data.samples import SPLITS, GrayImage, Split
from ocrsearch.inference import reader as reader_module
from ocrsearch.inference.predictor import Predictor
from ocrsearch.training.model_file import Bundle, load_bundle, save_bundle
from ocrsearch.training.trainer import Trainer

OPTIONS = itertools.product(
    (False, True), (False, True), (False, True), ("none", "stretch", "clahe"), (0, 0.6), (0, 0.3)
)
NAMES = ("normalize_polarity", "remove_ruling", "crop", "contrast", "threshold", "margin")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of both polarities, lower and higher than any is stored, with rules and shade."""
    folder = tmp_path_factory.mktemp("lines")
    for number, (height, is_light) in enumerate(itertools.product((8, 24, 150), (False, True))):
        image = np.tile(np.linspace(230, 150, 3 * height), (height, 1)).astype(np.uint8)
        place, size = (height // 2, height * 3 // 4), height / 44
        cv2.putText(image, str(number), place, cv2.FONT_HERSHEY_SIMPLEX, size, 40, 2)
        image[height * 7 // 8] = 90
        assert cv2.imwrite(str(folder / f"{number}.png"), 255 - image if is_light else image)
    rows = [f"{n}.png,{n % 3},{'train' if n < 4 else 'val'}" for n in range(6)]
    (folder / "labels.csv").write_text("\n".join(["image,text,split", *rows]) + "\n")
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Line]:
    """What the predictor gives to the network."""
    lines: list[Line] = []

    def note(image: GrayImage, config: ImageConfig) -> GrayImage:
        lines.append(Line(prepare_image(image, config)))
        return lines[-1].image

    monkeypatch.setattr(reader_module, "prepare_image", note)
    return lines


def test_a_picture_is_prepared_alike_for_training_and_recognition(
    folder: Path, read: list[Line], make_bundle: Callable[..., Bundle], tmp_path: Path
) -> None:
    dataset = load_dataset(f"csv:{folder / 'labels.csv'}")
    made, path = make_bundle(), tmp_path / "model.pt"
    prepared: set[bytes] = set()
    for options in OPTIONS:
        preprocess = dict(zip(NAMES, options, strict=True))
        images = {"height": 16, "width_scale": 0.75, "preprocess": preprocess}
        config = Config.model_validate({**made.config.model_dump(), "images": images})
        lines = [scaled_lines(dataset.splits[s], dataset.charset, config.images) for s in SPLITS]
        expected = [line.image for line in itertools.chain(*lines)]

        save_bundle(replace(made, config=config), path)
        read.clear()
        predictor = Predictor(load_bundle(path), "cpu")
        predictor.predict_many([folder / f"{n}.png" for n in range(6)])

        for image, line in zip(expected, read, strict=True):
            np.testing.assert_array_equal(image, line.image)
        prepared.add(b"".join(image.tobytes() for image in expected))
    assert len(prepared) == 96  # each option does something


def test_training_validation_and_evaluation_take_prepared_lines(
    folder: Path, read: list[Line], make_bundle: Callable[..., Bundle]
) -> None:
    dataset = load_dataset(f"csv:{folder / 'labels.csv'}")
    images = ImageConfig(height=16, preprocess=PreprocessConfig(crop=True, contrast="clahe"))
    made = make_bundle()
    config = made.config.model_copy(update={"images": images})
    expected = {
        name: [line.image for line in scaled_lines(part, dataset.charset, images)]
        for name, part in dataset.splits.items()
    }

    trainer = Trainer(config, dataset, 0, torch.device("cpu"))
    Predictor(replace(made, config=config), "cpu").evaluate(dataset.splits["val"])

    taken: tuple[tuple[Split, list[Line]], ...] = (
        ("train", next(trainer.epochs.parts(0, 99))),
        ("val", trainer.val_lines),
        ("val", read),
    )
    for name, lines in taken:
        for image, line in zip(expected[name], lines, strict=True):
            np.testing.assert_array_equal(image, line.image)
