"""Images from Python: each accepted kind is the same image, and anything else is one line."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import ocrsearch
from ocrsearch.core.errors import (
    DataError,
    ImageError,
    OptionError,
)
from ocrsearch.data.samples import GrayImage
from ocrsearch.inference.inputs import read_input
from tests.conftest import draw_text

GRAY = draw_text("2026")
RGB = np.repeat(GRAY[:, :, None], 3, axis=2)
RGBA = np.concatenate([RGB, np.full_like(GRAY, 255)[:, :, None]], axis=2)


def png(image: np.ndarray = GRAY) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def read_only(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image.flags.writeable = False
    return image


SAME: dict[str, Callable[[], Any]] = {
    "uint8": lambda: GRAY,
    "int64": lambda: GRAY.astype(np.int64),
    "int16": lambda: GRAY.astype(np.int16),
    "uint16 in 8 bits": lambda: GRAY.astype(np.uint16),
    "uint16": lambda: GRAY.astype(np.uint16) * 257,
    "float32 to 255": lambda: GRAY.astype(np.float32),
    "float64 to 1": lambda: GRAY / 255.0,
    "float16 to 1": lambda: (GRAY / 255.0).astype(np.float16),
    "overshoot": lambda: np.where(GRAY == 255, 1.04, GRAY / 255.0),
    "big endian": lambda: GRAY.astype(">i4"),
    "(H, W, 1)": lambda: GRAY[:, :, None],
    "(1, H, W)": lambda: GRAY[None],
    "(H, W, 3)": lambda: RGB,
    "(3, H, W)": lambda: np.moveaxis(RGB, 2, 0),
    "(H, W, 4)": lambda: RGBA,
    "(4, H, W)": lambda: np.moveaxis(RGBA, 2, 0),
    "float (H, W, 3)": lambda: RGB / 255.0,
    "Fortran": lambda: np.asfortranarray(GRAY),
    "reversed": lambda: GRAY[::-1].copy()[::-1],
    "every second": lambda: np.repeat(GRAY, 2, axis=1)[:, ::2],
    "read only": lambda: read_only(GRAY),
    "tensor": lambda: torch.tensor(GRAY),
    "float tensor": lambda: torch.tensor(GRAY)[None] / 255.0,
    "bfloat16": lambda: (torch.tensor(GRAY) > 127).to(torch.bfloat16) * 255,
    "gradient": lambda: torch.tensor(GRAY, dtype=torch.float32, requires_grad=True),
    "PIL": lambda: Image.fromarray(GRAY),
    "PIL RGB": lambda: Image.fromarray(RGB),
    "PIL file": lambda: Image.open(io.BytesIO(png())),
    "bytes": png,
    "bytearray": lambda: bytearray(png()),
    "memoryview": lambda: memoryview(png()),
    "open file": lambda: io.BytesIO(png()),
}


@pytest.mark.parametrize("make", SAME.values(), ids=SAME.keys())
def test_the_same_image_in_any_form(make: Callable[[], Any]) -> None:
    found = read_input(make())
    assert found.shape == GRAY.shape
    assert found.dtype == np.uint8
    difference = np.abs(found.astype(int) - GRAY).max()
    assert difference <= (127 if make is SAME["bfloat16"] else 1)


def test_booleans_are_black_and_white() -> None:
    mask = GRAY > 127
    for image in (mask, torch.tensor(mask), mask[:, :, None], mask.astype(int)):
        assert np.array_equal(read_input(image), mask * np.uint8(255))


def test_transparency_is_white_paper() -> None:
    clear = np.zeros((20, 40, 4), np.uint8)
    assert read_input(clear).min() == 255
    assert read_input(clear / 1.0).min() == 255


def test_colours_are_red_green_blue() -> None:
    red = np.zeros((4, 5, 3), np.uint8)
    red[:, :, 0] = 255
    assert read_input(red)[0, 0] == read_input(Image.new("RGB", (5, 4), "red"))[0, 0] == 76


WRONG: dict[str, Any] = {
    "None": None,
    "number": 3,
    "float": 0.5,
    "NumPy number": np.uint8(3),
    "dict": {"path": "a.png"},
    "object": object(),
    "NaN": np.full((20, 40), np.nan),
    "one NaN": np.where(GRAY == 0, np.nan, GRAY),
    "infinite": np.where(GRAY == 0, np.inf, GRAY),
    "negative": GRAY.astype(int) - 128,
    "normalised": GRAY / 127.5 - 1,
    "neither 1 nor 255": np.full((20, 40), 1.5),
    "too large": GRAY * 1000.0,
    "32 bits": GRAY.astype(np.int64) * 2**24,
    "masked": np.ma.masked_array(GRAY, GRAY == 0),
    "complex": GRAY.astype(complex),
    "text": np.array([["a", "b"]]),
    "objects": GRAY.astype(object),
    "dates": np.zeros((2, 3), "datetime64[s]"),
    "no rows": np.zeros((0, 40), np.uint8),
    "no columns": np.zeros((20, 0, 3), np.uint8),
    "no axis": np.uint8(3)[()],
    "one axis": GRAY[0],
    "two channels": GRAY[:, :, None].repeat(2, axis=2),
    "batch": GRAY[None].repeat(5, axis=0),
    "four axes": GRAY[None, None],
    "empty tensor": torch.zeros(0, 3),
    "sparse": torch.zeros(2, 2, 2, 2).to_sparse(),
    "empty bytes": b"",
    "text file": io.StringIO("text"),
}


@pytest.mark.parametrize("picture", WRONG.values(), ids=WRONG.keys())
def test_anything_else_is_one_line(picture: Any) -> None:
    with pytest.raises(DataError) as caught:
        read_input(picture)
    message = str(caught.value)
    assert message.startswith("image: ")
    assert "\n" not in message
    assert (
        "must be " in message or "fill it first" in message or "empty" in message or "rb" in message
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "image: empty bytes"),
        (b"no picture", "image: not a supported image"),
        (png()[:60], "image: damaged image"),
        (b"%PDF-1.4", "image: not a supported image"),
        (Image.new("L", (0, 3)), "image: found 0 x 3 pixels"),
        (Image.open(io.BytesIO(png()[:80])), "image: the PIL image cannot be read"),
        ("missing.png", "missing.png: no such image"),
        ("", "a folder, not an image"),
        ("a\0b.png", "cannot be opened|damaged image|no such"),
    ],
)
def test_images_that_cannot_be_read(content: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_input(content)


def test_closed_files_and_images() -> None:
    file, image = io.BytesIO(png()), Image.open(io.BytesIO(png()))
    file.close()
    image.close()
    for closed in (file, image):
        with pytest.raises(ImageError, match=r"^image: .*cannot be read"):
            read_input(closed)


@pytest.fixture(scope="module")
def model(model_file: Path) -> ocrsearch.Predictor:
    return ocrsearch.load(model_file)


def test_a_list_gives_a_list(model: ocrsearch.Predictor, tmp_path: Path) -> None:
    path = tmp_path / "a:b.png"
    path.write_bytes(png())
    one = model.predict(path)
    assert isinstance(one, ocrsearch.Prediction)
    several = model.predict([path, str(path), GRAY, RGB / 255.0, png(), Image.fromarray(GRAY)])
    assert {p.text for p in several} == {one.text}
    assert len(several) == 6
    assert model.predict((path,)) == [one]
    assert model.predict([]) == []


def test_the_image_of_a_list_is_named(model: ocrsearch.Predictor) -> None:
    with pytest.raises(DataError, match=r"^image 2 of 3: found int 7, must be the path of a file"):
        model.predict([GRAY, 7, GRAY])
    with pytest.raises(DataError, match=r"^image 1 of 2: found list \[0, 1\], must be "):
        model.predict([[0, 1], [1, 0]])


def test_predict_in_one_call(model: ocrsearch.Predictor, model_file: Path) -> None:
    expected = model.predict(GRAY)
    assert ocrsearch.predict(model_file, GRAY).text == expected.text
    assert [p.text for p in ocrsearch.predict(str(model_file), [png()])] == [expected.text]
    assert ocrsearch.predict(model, GRAY) == expected


def test_a_page_in_any_form(model: ocrsearch.Predictor) -> None:
    page: GrayImage = np.full((200, 300), 255, np.uint8)
    page[80:100, 40 : 40 + GRAY.shape[1]] = GRAY
    lines = [line.text for line in model.predict_page(page).lines]
    assert lines
    for form in (png(page), Image.fromarray(page), page / 255.0):
        assert [line.text for line in model.predict_page(form).lines] == lines


@pytest.mark.parametrize("path", [None, 3, b"model.pt", ["model.pt"]])
def test_a_model_of_another_type(path: Any) -> None:
    with pytest.raises(OptionError, match=r"^model: must be the path of a model file"):
        ocrsearch.load(path)


def test_wrong_options_of_load(model_file: Path) -> None:
    with pytest.raises(OptionError, match=r"^device: must be 'auto', 'cpu' or 'cuda', got 'gpu'"):
        ocrsearch.load(model_file, "gpu")
    decoding: Any = {"beam": 10}
    with pytest.raises(OptionError, match=r"^decoding: must be ocrsearch.DecodingOptions"):
        ocrsearch.load(model_file, decoding=decoding)
