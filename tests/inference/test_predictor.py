"""Recognition: any picture in, the same text out whatever else is read beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import ocrsearch
from ocrsearch.core.errors import (
    BundleError,
    DataError,
    ImageError,
    OptionError,
)
from ocrsearch.data.samples import GrayImage, LabelledImages, PackedImages
from ocrsearch.inference import predictor as predictor_module
from ocrsearch.inference.bundle import Bundle
from ocrsearch.inference.predictor import (
    Prediction,
    Predictor,
    load,
)

TOLERANCE = 1e-3
"""Relative, of confidences: sums of floats in another order."""


@pytest.fixture(scope="module")
def reader(make_bundle: Callable[..., Bundle]) -> Predictor:
    return Predictor(make_bundle(), "cpu")


@pytest.fixture(scope="module")
def picture() -> GrayImage:
    """A line of some strokes, 20 px high."""
    return strokes(60, seed=1)


def strokes(width: int, seed: int, height: int = 20) -> GrayImage:
    rng = np.random.default_rng(seed)
    image = np.full((height, width), 255, np.uint8)
    for x, y, x2, y2 in rng.integers(0, (width, height, width, height), (max(2, width // 8), 4)):
        cv2.line(image, (int(x), int(y)), (int(x2), int(y2)), 0, 2)
    return image


def same(a: Prediction, b: Prediction) -> bool:
    return (
        a.text == b.text
        and a.confidence == pytest.approx(b.confidence, rel=TOLERANCE)
        and a.symbol_confidences == pytest.approx(b.symbol_confidences, rel=TOLERANCE)
    )


# --- kinds of pictures ------------------------------------------------------------------------


def test_a_file_an_image_and_an_array_read_the_same(
    reader: Predictor, picture: GrayImage, tmp_path: Path
) -> None:
    path = tmp_path / "line.png"
    assert cv2.imwrite(str(path), picture)
    expected = reader.predict(picture)
    assert expected.text
    opaque = np.dstack([picture] * 3 + [np.full_like(picture, 255)])
    for same_picture in (
        path,
        str(path),
        Image.fromarray(picture),
        Image.fromarray(picture).convert("RGB"),
        np.dstack([picture] * 3),
        opaque,
        np.asfortranarray(picture),
        np.repeat(picture, 2, axis=1)[:, ::2],
    ):
        assert reader.predict(same_picture) == expected


def test_what_is_transparent_is_white(reader: Predictor, picture: GrayImage) -> None:
    black = np.zeros_like(picture)
    drawn_by_alpha = np.dstack([black, black, black, 255 - picture])
    assert reader.predict(drawn_by_alpha) == reader.predict(picture)


def test_the_picture_is_left_as_it_was(reader: Predictor, picture: GrayImage) -> None:
    before = picture.copy()
    picture.flags.writeable = False
    reader.predict(picture)
    picture.flags.writeable = True
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 5000), (500, 40)])
def test_extreme_shapes_are_read(reader: Predictor, shape: tuple[int, int]) -> None:
    prediction = reader.predict(np.zeros(shape, np.uint8))
    assert 0.0 <= prediction.confidence <= 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros(40, np.uint8),
        np.zeros((20, 40, 2), np.uint8),
        np.zeros((1, 20, 40, 3), np.uint8),
        np.zeros((), np.uint8),
        np.zeros((0, 40), np.uint8),
        np.zeros((20, 0), np.uint8),
        np.zeros((0, 0, 3), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_arrays_that_are_no_picture(reader: Predictor, wrong: np.ndarray) -> None:
    with pytest.raises(DataError) as caught:
        reader.predict(wrong)
    assert str(wrong.shape) in str(caught.value)
    assert str(wrong.dtype) in str(caught.value)


@pytest.mark.parametrize("size", [(0, 20), (40, 0), (0, 0)])
def test_an_empty_image(reader: Predictor, size: tuple[int, int]) -> None:
    with pytest.raises(DataError) as caught:
        reader.predict(Image.new("L", size))
    assert str(caught.value)


def test_a_file_that_cannot_be_read(reader: Predictor, tmp_path: Path) -> None:
    path = tmp_path / "line.png"
    with pytest.raises(ImageError, match=r"line\.png: no such image"):
        reader.predict(path)
    path.write_text("no picture")
    with pytest.raises(ImageError, match=r"line\.png: not a supported image"):
        reader.predict(path)


# --- one and many -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("architecture", "attention"),
    [
        ("crnn", "additive"),
        ("seq2seq", "additive"),
        ("seq2seq", "location_aware"),
        ("seq2seq", "none"),
    ],
)
def test_a_picture_reads_the_same_beside_others(
    make_bundle: Callable[..., Bundle], architecture: str, attention: str
) -> None:
    reader = Predictor(make_bundle(architecture, attention), "cpu")
    pictures = [strokes(width, seed=width) for width in (40, 300, 8, 41, 120, 40)]
    together = reader.predict_many(pictures)
    alone = [reader.predict(picture) for picture in pictures]
    assert all(same(a, b) for a, b in zip(alone, together, strict=True))
    assert len({p.text for p in alone}) > 2, "pictures should not all read the same"


def test_no_picture(reader: Predictor) -> None:
    assert reader.predict_many([]) == []
    assert list(reader.predict_files([])) == []


def test_confidences_are_probabilities(reader: Predictor) -> None:
    for prediction in reader.predict_many([strokes(w, seed=w) for w in (20, 80)]):
        assert len(prediction.symbol_confidences) == len(prediction.text)
        assert all(0.0 < c <= 1.0 for c in (*prediction.symbol_confidences, prediction.confidence))


def test_a_prediction_is_of_plain_values(reader: Predictor, picture: GrayImage) -> None:
    prediction = reader.predict(picture)
    values = [prediction.text, prediction.confidence, list(prediction.symbol_confidences)]
    assert json.loads(json.dumps(values)) == values


# --- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 256])
def test_a_bad_file_does_not_stop_the_others(
    reader: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(predictor_module, "CHUNK", chunk)
    pictures = {tmp_path / f"{w}.png": strokes(w, seed=w) for w in (40, 90, 20)}
    for path, image in pictures.items():
        assert cv2.imwrite(str(path), image)
    bad, missing = tmp_path / "bad.png", tmp_path / "missing.png"
    bad.write_text("no picture")
    good = list(pictures)
    order = [good[0], bad, good[1], missing, good[2], good[0]]
    results = list(reader.predict_files(order))
    assert [path for path, _ in results] == order
    for path, result in results:
        if path in pictures:
            (prediction,) = result
            assert isinstance(prediction, Prediction)
            assert same(prediction, reader.predict(pictures[path]))
        else:
            assert isinstance(result, str)
            assert result.startswith(f"{path}: ")


def test_files_are_read_a_chunk_at_a_time(
    reader: Predictor, number_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    read = Predictor._read

    def counting(self: Predictor, images: Any) -> list[Prediction]:
        sizes.append(len(images))
        return read(self, images)

    monkeypatch.setattr(predictor_module, "CHUNK", 16)
    monkeypatch.setattr(Predictor, "_read", counting)
    assert len(list(reader.predict_files(sorted(number_folder.iterdir())))) == 40
    assert sizes == [16, 16, 8]


# --- evaluation -------------------------------------------------------------------------------


def labelled(texts: list[str], images: list[GrayImage]) -> LabelledImages:
    return LabelledImages([f"{i}.png" for i in range(len(texts))], texts, PackedImages.pack(images))


def test_evaluation_of_what_it_reads_itself_is_perfect(reader: Predictor) -> None:
    images = [strokes(w, seed=w) for w in (20, 40, 80)]
    texts = [p.text for p in reader.predict_many(images)]
    evaluation = reader.evaluate(labelled(texts, images))
    assert evaluation.metrics.n == 3
    assert (evaluation.metrics.cer, evaluation.metrics.wer) == (0.0, 0.0)
    assert (evaluation.metrics.ser, evaluation.metrics.exact) == (0.0, 1.0)
    assert evaluation.intervals["exact"] == (pytest.approx(0.025 ** (1 / 3)), 1.0)
    assert evaluation.references == texts
    assert evaluation.names == ["0.png", "1.png", "2.png"]
    assert [p.text for p in evaluation.predictions] == texts


def test_an_unknown_symbol_counts_as_an_error(reader: Predictor) -> None:
    images = [strokes(w, seed=w) for w in (20, 40, 80, 100)]
    texts = [p.text for p in reader.predict_many(images)]
    texts[2] += "é"
    evaluation = reader.evaluate(labelled(texts, images))
    n_symbols = sum(map(len, texts))
    assert evaluation.metrics.n == 4
    assert evaluation.metrics.cer == pytest.approx(1 / n_symbols)
    assert evaluation.metrics.exact == pytest.approx(0.75)
    assert evaluation.metrics.ser == pytest.approx(0.25)
    low, high = evaluation.intervals["exact"]
    assert low < 0.75 < high


def test_evaluation_of_nothing(reader: Predictor) -> None:
    evaluation = reader.evaluate(labelled([], []))
    assert evaluation.metrics.n == 0
    assert evaluation.intervals["cer"] == (0.0, 1.0)


# --- loading ----------------------------------------------------------------------------------


def test_load_reads_a_model_file(
    reader: Predictor, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    picture = number_folder / "42.png"
    expected = reader.predict(picture)
    assert load(model_file).predict(picture) == expected
    assert load(str(model_file), "cpu").predict(picture) == expected
    with pytest.raises(BundleError, match="no such model file"):
        load(tmp_path / "model.pt")


def test_load_of_the_package_is_the_same() -> None:
    assert ocrsearch.load is load


def test_cuda_where_there_is_none(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(OptionError, match=r"^device: PyTorch finds no GPU here"):
        load(model_file, "cuda")


# --- pictures without any contrast ------------------------------------------------------------


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_picture_is_said_to_be_blank(
    reader: Predictor, picture: GrayImage, value: int
) -> None:
    blank = np.full((20, 60), value, np.uint8)
    blank[3, 4] = abs(value - 3)

    nothing, something = reader.predict_many([blank, picture])

    assert nothing == Prediction("", 0.0, (), blank=True)
    alone = reader.predict(picture)
    assert something.text == alone.text
    assert something.confidence == pytest.approx(alone.confidence, abs=1e-4)
    assert not something.blank


def test_the_command_says_that_a_picture_is_blank(
    picture: GrayImage, tmp_path: Path, model_file: Path, command: Callable[..., Any]
) -> None:
    Image.new("RGBA", (60, 20)).save(tmp_path / "blank.png")
    Image.fromarray(picture).save(tmp_path / "line.png")

    files = command("predict", model_file, tmp_path, "--json").json()["files"]

    assert [[line["blank"] for line in file["lines"]] for file in files] == [[True], [False]]
    shown = command("predict", model_file, tmp_path / "blank.png")
    assert shown.out == f"{tmp_path / 'blank.png'}\t\t0.000\n"
    assert "blank.png: blank, nothing to read" in shown.err
