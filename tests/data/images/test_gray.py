"""Grey that keeps what can be seen: transparency, equally bright colours, few bits, blanks."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ocrsearch.data.images.gray import gray_of, is_blank
from ocrsearch.data.samples import GrayImage

TEXT = "A3K7PX"
SIZE = (120, 40)


def ink() -> Image.Image:
    """Return a mask of some text, 255 where there is ink."""
    mask = Image.new("L", SIZE)
    ImageDraw.Draw(mask).text((10, 5), TEXT, fill=255, font_size=26)
    return mask


EXPECTED = 255 - np.asarray(ink(), dtype=np.int64)
"""The text as dark on white."""


def on_transparency(colour: tuple[int, int, int]) -> Image.Image:
    picture = Image.new("RGB", SIZE, colour)
    picture.putalpha(ink())
    return picture


def stored(picture: Image.Image, file_format: str, **options: object) -> Image.Image:
    content = io.BytesIO()
    picture.save(content, file_format, **options)
    image = Image.open(content)
    image.load()
    return image


def likeness(gray: GrayImage) -> float:
    """Return the correlation with the text as dark on white."""
    return float(np.corrcoef(gray.ravel(), EXPECTED.ravel())[0, 1])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa"])
@pytest.mark.parametrize("value", [0, 200, 255])
def test_text_on_transparency_is_dark_on_white(mode: str, value: int) -> None:
    gray = gray_of(on_transparency((value,) * 3).convert(mode))

    assert likeness(gray) > 0.999
    assert gray.max() == 255


@pytest.mark.parametrize(
    ("file_format", "options"),
    [("WEBP", {"lossless": True}), ("WEBP", {}), ("TIFF", {}), ("PNG", {}), ("AVIF", {})],
)
def test_white_text_on_transparency_in_files(file_format: str, options: dict[str, object]) -> None:
    gray = gray_of(stored(on_transparency((255, 255, 255)), file_format, **options))

    assert likeness(gray) > 0.98
    assert np.ptp(gray) > 200


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_a_transparent_colour_behind_light_text(mode: str, file_format: str) -> None:
    picture = Image.new("RGB", SIZE, (255, 255, 255))
    mask = ink().point(lambda v: 255 * (v > 127))
    picture.paste((250, 250, 250), mask=mask)
    picture = picture.convert(mode)
    key = picture.getpixel((0, 0))
    if file_format == "GIF" and mode == "RGB":
        key = 255

    gray = gray_of(stored(picture, file_format, transparency=key))

    assert likeness(gray) > 0.9


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_a_palette_with_transparency(file_format: str) -> None:
    indices = (np.asarray(ink()) > 127).astype(np.uint8)
    picture = Image.fromarray(indices, "P")
    picture.putpalette([0, 0, 0, 255, 255, 240])

    assert likeness(gray_of(stored(picture, file_format, transparency=0))) > 0.9


def test_a_transparent_grey_of_sixteen_bits() -> None:
    values = np.where(np.asarray(ink()) > 127, 65000, 0).astype(np.uint16)
    picture = Image.fromarray(values)
    picture.info["transparency"] = 0

    assert likeness(gray_of(picture)) > 0.9
    dark = Image.fromarray(65535 - values)
    dark.info["transparency"] = 65535
    assert likeness(gray_of(dark)) > 0.9


def test_light_text_with_a_dark_outline_stays_on_white() -> None:
    picture = Image.new("RGBA", SIZE)
    drawing = ImageDraw.Draw(picture)
    drawing.text((10, 5), TEXT, fill="white", font_size=26, stroke_width=2, stroke_fill="black")
    white = Image.alpha_composite(Image.new("RGBA", SIZE, "white"), picture)

    np.testing.assert_array_equal(gray_of(picture), np.asarray(white.convert("L")))


def test_an_alpha_without_meaning() -> None:
    picture = Image.merge("LA", (Image.fromarray(EXPECTED.astype(np.uint8)), Image.new("L", SIZE)))

    np.testing.assert_array_equal(gray_of(picture), EXPECTED)
    assert is_blank(gray_of(Image.new("RGBA", SIZE)))


COLOURS = [
    ((255, 0, 0), (0, 130, 0)),
    ((0, 130, 0), (255, 0, 0)),
    ((0, 0, 255), (50, 22, 0)),
    ((200, 100, 100), (100, 150, 100)),
    ((255, 0, 255), (105, 105, 105)),
]
"""Ink and paper of the same brightness."""


@pytest.mark.parametrize(("colour", "paper"), COLOURS)
@pytest.mark.parametrize("quality", [None, 90, 75])
def test_colours_of_one_brightness(
    colour: tuple[int, int, int], paper: tuple[int, int, int], quality: int | None
) -> None:
    picture = Image.new("RGB", SIZE, paper)
    picture.paste(colour, mask=ink())
    if quality:
        picture = stored(picture, "JPEG", quality=quality)

    gray = gray_of(picture)

    assert likeness(gray) > 0.7  # JPEG keeps colours at half the resolution
    assert np.ptp(gray) > 80
    np.testing.assert_array_equal(gray, gray_of(picture))


def test_colours_of_one_brightness_on_transparency_and_in_a_palette() -> None:
    picture = Image.new("RGBA", SIZE, (0, 130, 0, 255))
    picture.paste((255, 0, 0, 255), mask=ink())
    picture.putpixel((0, 0), (0, 130, 0, 254))

    assert likeness(gray_of(picture)) > 0.99
    assert likeness(gray_of(picture.convert("RGB").quantize())) > 0.99


ORDINARY = [
    ("L", 0, 255),
    ("L", 255, 0),
    ("L", 120, 140),
    ("RGB", (0, 0, 0), (255, 255, 255)),
    ("RGB", (40, 30, 90), (250, 240, 220)),
    ("RGB", (255, 255, 0), (255, 255, 255)),
    ("RGB", (200, 200, 210), (230, 228, 225)),
    ("CMYK", (0, 0, 0, 255), (0, 0, 0, 0)),
    ("RGBA", (0, 0, 0, 255), (255, 255, 255, 255)),
    ("RGBA", (255, 255, 255, 255), (0, 0, 80, 255)),
    ("RGBA", (0, 0, 0, 255), (255, 255, 255, 0)),
    ("YCbCr", (20, 128, 128), (230, 120, 130)),
]


@pytest.mark.parametrize(("mode", "colour", "paper"), ORDINARY)
@pytest.mark.parametrize("noise", [0, 6])
def test_ordinary_pictures_are_as_ever(
    mode: str, colour: int | tuple[int, ...], paper: int | tuple[int, ...], noise: int
) -> None:
    picture = Image.new(mode, SIZE, paper)
    picture.paste(colour, mask=ink())
    values = np.asarray(picture).astype(int)
    values += np.random.default_rng(0).integers(-noise, noise + 1, values.shape)
    if mode == "RGBA":
        values[..., 3] = np.asarray(picture)[..., 3]
    picture = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8), mode)
    before = picture
    if mode == "RGBA":
        before = Image.alpha_composite(Image.new("RGBA", SIZE, "white"), picture)

    np.testing.assert_array_equal(gray_of(picture), np.asarray(before.convert("L")))


@pytest.mark.parametrize("paper", ["white", "black", (200, 180, 90)])
def test_blank_paper_stays_blank(paper: str | tuple[int, int, int]) -> None:
    assert is_blank(gray_of(Image.new("RGB", SIZE, paper)))
    assert is_blank(gray_of(stored(Image.new("RGB", SIZE, paper), "JPEG", quality=40)))
    assert is_blank(gray_of(Image.new("RGBA", SIZE, (255, 255, 255, 0))))


@pytest.mark.parametrize(("size", "value", "blank"), [((1, 1), 9, True), ((2, 1), 9, False)])
def test_small_pictures(size: tuple[int, int], value: int, *, blank: bool) -> None:
    picture = Image.new("RGB", size, "white")
    picture.putpixel((0, 0), (value, value, value))

    assert is_blank(gray_of(picture)) is blank


@pytest.mark.parametrize(("top", "expected"), [(1023, 255), (4095, 255), (16383, 63), (65535, 255)])
def test_few_bits_in_sixteen_are_not_lost(top: int, expected: int) -> None:
    gray = gray_of(Image.fromarray(np.array([[0, top]], np.uint16)))

    assert gray.tolist() == [[0, expected]]
