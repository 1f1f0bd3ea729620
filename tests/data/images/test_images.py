"""Pictures of every mode, size and state of repair; scaling to a line height."""

from __future__ import annotations

import io
import os
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ocrsearch.core.config import FRAME_STRIDE, ImageConfig
from ocrsearch.core.errors import ImageError
from ocrsearch.data.images import reading as images
from ocrsearch.data.images.reading import (
    MAX_FILE_BYTES,
    MAX_PIXELS,
    MAX_STORED_HEIGHT_PX,
    MAX_WIDTH_PX,
    read_image,
    scale_image,
    scaled_width,
    shrink_line,
    to_gray,
)
from ocrsearch.data.samples import GrayImage

ENDINGS = {
    **dict.fromkeys(("1", "L", "LA", "P", "RGB", "RGBA", "I;16"), ".png"),
    **dict.fromkeys(("CMYK", "I", "F"), ".tif"),
}
"""Each mode with a file format that keeps it."""

DARK_AND_LIGHT = np.array([[0, 0, 255], [0, 0, 255]], np.uint8)


def in_mode(gray: GrayImage, mode: str) -> Image.Image:
    """Return a grey picture in another mode, with black and white kept."""
    if mode == "I;16":
        return Image.fromarray(gray.astype(np.uint16) * 257)
    return Image.fromarray(gray).convert(mode)


def png_of_size(width: int, height: int) -> bytes:
    """Return a grey PNG that has a size and no pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + crc(name + content)

    def crc(content: bytes) -> bytes:
        return struct.pack(">I", zlib.crc32(content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IEND", b"")


def noise_as(file_format: str) -> bytes:
    """Return a picture file that does not compress to next to nothing."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, file_format)
    return file.getvalue()


@pytest.mark.parametrize("mode", ENDINGS)
def test_every_mode_is_read_as_grey(mode: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture{ENDINGS[mode]}"
    in_mode(DARK_AND_LIGHT, mode).save(path)
    with Image.open(path) as stored:
        assert stored.mode == mode

    gray = read_image(path)

    assert gray.dtype == np.uint8
    np.testing.assert_array_equal(gray, DARK_AND_LIGHT)


@pytest.mark.parametrize("mode", ENDINGS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (6, 9)])
@pytest.mark.parametrize("value", [0, 255])
def test_blank_pictures_stay_blank(
    mode: str, shape: tuple[int, int], value: int, tmp_path: Path
) -> None:
    path = tmp_path / f"picture{ENDINGS[mode]}"
    in_mode(np.full(shape, value, np.uint8), mode).save(path)

    np.testing.assert_array_equal(read_image(path), np.full(shape, value, np.uint8))


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (Image.new("RGBA", (2, 2), (0, 0, 0, 0)), 255),
        (Image.new("RGBA", (2, 2), (0, 0, 0, 255)), 0),
        (Image.new("RGBA", (2, 2), (0, 0, 0, 51)), 204),
        (Image.new("LA", (2, 2), (0, 0)), 255),
        (Image.new("LA", (2, 2), (0, 255)), 0),
    ],
)
def test_transparency_is_laid_on_white(picture: Image.Image, expected: int, tmp_path: Path) -> None:
    picture.save(tmp_path / "picture.png")

    assert set(read_image(tmp_path / "picture.png").flat) == {expected}


@pytest.mark.parametrize(("mode", "key"), [("P", 0), ("L", 0), ("RGB", (0, 0, 0)), ("1", 0)])
def test_transparent_colour_is_laid_on_white(
    mode: str, key: int | tuple[int, int, int], tmp_path: Path
) -> None:
    picture = Image.new("L", (3, 2), 0).convert(mode)
    assert picture.getpixel((0, 0)) == key
    picture.save(tmp_path / "picture.png", transparency=key)
    with Image.open(tmp_path / "picture.png") as stored:
        assert stored.mode == mode
        assert "transparency" in stored.info

    assert set(read_image(tmp_path / "picture.png").flat) == {255}


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    values = np.array([[0, 257, 32896, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "picture.png")

    assert read_image(tmp_path / "picture.png").tolist() == [[0, 1, 128, 255]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 127, 255]),
        ([0.0, 128.0, 255.0], [0, 128, 255]),
        ([-3.0, 0.0, 1.0], [0, 0, 255]),
        ([0.0, 0.0, 0.0], [0, 0, 0]),
        ([-2.0, -1.0, -3.0], [0, 0, 0]),
        ([0.0, 500_000.0, 1_000_000.0], [0, 127, 255]),
        ([float("nan"), 0.0, 1.0], [0, 0, 255]),
    ],
)
def test_real_numbers_are_scaled_to_eight_bits(values: list[float], expected: list[int]) -> None:
    assert to_gray(Image.fromarray(np.array([values], np.float32))).tolist() == [expected]


@pytest.mark.parametrize(("orientation", "quarter_turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_exif_rotation_is_followed(
    orientation: int, quarter_turns: int, mode: str, ending: str, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"picture{ending}"
    in_mode(DARK_AND_LIGHT, mode).save(path, exif=exif)

    np.testing.assert_array_equal(read_image(path), np.rot90(DARK_AND_LIGHT, quarter_turns))


def test_first_frame_is_taken(tmp_path: Path) -> None:
    black, white = Image.new("L", (4, 3), 0), Image.new("L", (4, 3), 255)
    black.save(tmp_path / "picture.gif", save_all=True, append_images=[white])

    assert read_image(tmp_path / "picture.gif").max() == 0


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("empty.png", b"", "an empty file"),
        ("text.png", b"Not a picture at all.\nTwo lines of it.\n", "not a supported image"),
        ("signature.png", b"\x89PNG\r\n\x1a\n", "not a supported image"),
        ("pixelless.png", png_of_size(5, 5), "damaged"),
        ("no_width.png", png_of_size(0, 5), "image"),
        ("cut.png", noise_as("PNG")[:2000], "damaged"),
        ("cut.jpg", noise_as("JPEG")[:1500], "damaged"),
        ("cut.bmp", noise_as("BMP")[:2000], "damaged"),
        ("large.png", png_of_size(8001, 8000), "8001 x 8000 pixels, at most 64 megapixels"),
        ("larger.png", png_of_size(12_000, 12_000), "12000 x 12000 pixels, at most 64"),
        ("largest.png", png_of_size(50_000, 50_000), "at most 64 megapixels"),
    ],
)
def test_unreadable_file_is_one_line(
    name: str, content: bytes, problem: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with (
        warnings.catch_warnings(record=True, action="always") as warned,
        pytest.raises(ImageError) as caught,
    ):
        read_image(tmp_path / name)

    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(tmp_path / name))
    assert problem in message
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    assert warned == []


def files_to_damage() -> dict[str, bytes]:
    """Return small picture files of all formats and many of their variants."""
    noise = np.random.default_rng(0).integers(0, 256, (12, 20, 3), dtype=np.uint8)
    colour, second = Image.fromarray(noise), Image.fromarray(noise[::-1])
    exif = Image.Exif()
    exif[0x0112] = 6
    variants: list[tuple[str, str, dict[str, Any]]] = [
        *((f, "RGB", {}) for f in ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")),
        *((f, "L", {}) for f in ("PNG", "GIF", "TIFF")),
        *((f, "RGB", {"exif": exif}) for f in ("PNG", "JPEG", "TIFF", "WEBP")),
        *((f, "RGB", {"save_all": True, "append_images": [second]}) for f in ("GIF", "WEBP")),
        ("PNG", "P", {"transparency": 3}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("TIFF", "F", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("TIFF", "1", {"compression": "group4"}),
    ]
    files = {}
    for i, (file_format, mode, options) in enumerate(variants):
        file = io.BytesIO()
        colour.convert(mode).save(file, file_format, **options)
        files[f"{i} {file_format} {mode}"] = file.getvalue()
    return files


WHOLE_FILES = files_to_damage()


def read_or_reason(path: Path) -> GrayImage | str:
    """Return a picture, or why it cannot be read; a warning is an error."""
    try:
        with warnings.catch_warnings(action="error"):
            return read_image(path)
    except ImageError as error:
        return str(error)


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """Cut a file, flip bits of it, set bytes of its header, take bytes away or put some in."""
    at, n = int(rng.integers(len(content))), int(rng.integers(1, 30))
    header = int(rng.integers(min(len(content), 60)))
    flipped = bytes([content[at] ^ (1 << int(rng.integers(8)))])
    ways = (
        content[:at],
        content[:at] + flipped + content[at + 1 :],
        content[:header] + bytes([rng.choice([0, 1, 127, 128, 255])]) + content[header + 1 :],
        content[:at] + content[at + n :],
        content[:at] + rng.bytes(n) + content[at:],
        content[:at] + b"\xff" * n + content[at + n :],
    )
    return ways[int(rng.integers(len(ways)))]


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_any_damage_gives_a_picture_or_one_line(name: str, tmp_path: Path) -> None:
    content = WHOLE_FILES[name]
    rng = np.random.default_rng(len(content))
    path = tmp_path / "picture"
    for _ in range(60):
        path.write_bytes(damaged(content, rng))
        found = read_or_reason(path)
        if isinstance(found, str):
            assert found.startswith(f"{path}: ")
            assert "\n" not in found
        else:
            assert (found.dtype, found.ndim) == (np.uint8, 2)
            assert 0 < found.size <= MAX_PIXELS


@pytest.mark.parametrize("name", WHOLE_FILES)
def test_cut_pictures_are_refused_unless_all_pixels_are_there(name: str, tmp_path: Path) -> None:
    content = WHOLE_FILES[name]
    path = tmp_path / "picture"
    path.write_bytes(content)
    whole = read_image(path)
    n_refused = 0
    for share in np.linspace(0, 0.99, 40):
        path.write_bytes(content[: int(share * len(content))])
        found = read_or_reason(path)
        if isinstance(found, str):
            n_refused += 1
        else:
            np.testing.assert_array_equal(found, whole)
    assert n_refused > 10


def test_no_other_program_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.Popen", lambda *_: pytest.fail("a program was started"))
    (tmp_path / "picture.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
    )
    with pytest.raises(ImageError, match="not a supported image"):
        read_image(tmp_path / "picture.png")


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", Path(os.devnull)):
        with pytest.raises(ImageError, match="not a file"):
            read_image(path)


def test_large_file_is_not_opened(tmp_path: Path) -> None:
    with (tmp_path / "picture.webp").open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)  # takes no room on the disk
    with pytest.raises(ImageError, match="file too large: 512 MB, at most 512 MB"):
        read_image(tmp_path / "picture.webp")


def test_limit_lies_below_that_of_pillow() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    warns, refuses = Image.MAX_IMAGE_PIXELS, 2 * Image.MAX_IMAGE_PIXELS
    assert MAX_PIXELS < 8001 * 8000 < warns < 12_000 * 12_000 < refuses < 50_000 * 50_000


@pytest.mark.parametrize("name", ["missing.png", "folder", "file/picture.png", "a" * 300])
def test_path_without_a_file_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / name)

    assert "\n" not in str(caught.value)
    assert str(tmp_path / name) in str(caught.value)


def test_threads_leave_the_warning_filters_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "first.png")
    Image.new("L", (3, 3)).save(tmp_path / "second.png")
    second_started, first_ended = threading.Event(), threading.Event()

    def overlapping(image: Image.Image) -> GrayImage:
        if image.size == (2, 2):
            second_started.wait(1)
        else:
            second_started.set()
            first_ended.wait(1)
        return to_gray(image)

    def read_first() -> None:
        read_image(tmp_path / "first.png")
        first_ended.set()

    monkeypatch.setattr(images, "to_gray", overlapping)
    before = list(warnings.filters)
    first = threading.Thread(target=read_first)
    first.start()
    second = threading.Thread(target=read_image, args=(tmp_path / "second.png",))
    second.start()
    first.join()
    second.join()

    assert list(warnings.filters) == before


@pytest.mark.parametrize(
    ("height", "width", "config", "expected"),
    [
        (32, 100, ImageConfig(height=32), 100),
        (64, 200, ImageConfig(height=32), 100),
        (32, 101, ImageConfig(height=32), 100),
        (32, 100, ImageConfig(height=32, width_scale=2.0), 200),
        (32, 100, ImageConfig(height=64, width_scale=0.5), 100),
        (1, 1, ImageConfig(height=32), 32),
        (500, 1, ImageConfig(height=32), 2 * FRAME_STRIDE),
        (1, 5000, ImageConfig(height=32), MAX_WIDTH_PX),
    ],
)
def test_scaled_width(height: int, width: int, config: ImageConfig, expected: int) -> None:
    assert scaled_width(height, width, config) == expected


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 400),
    to_height=st.integers(16, 128),
    width_scale=st.floats(0.25, 4.0),
)
@settings(deadline=None, max_examples=60)
def test_scaled_pictures_have_the_promised_size(
    height: int, width: int, to_height: int, width_scale: float
) -> None:
    config = ImageConfig(height=to_height, width_scale=width_scale)

    scaled = scale_image(np.full((height, width), 77, np.uint8), config)

    assert scaled.shape == (to_height, scaled_width(height, width, config))
    assert scaled.shape[1] % FRAME_STRIDE == 0
    assert 2 * FRAME_STRIDE <= scaled.shape[1] <= MAX_WIDTH_PX
    assert set(scaled.flat) == {77}


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1), (1, 1)])
def test_extreme_shapes_are_scaled(shape: tuple[int, int]) -> None:
    scaled = scale_image(shrink_line(np.zeros(shape, np.uint8)), ImageConfig(height=32))

    assert scaled.shape[0] == 32


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((MAX_STORED_HEIGHT_PX, 300), (MAX_STORED_HEIGHT_PX, 300)),
        ((1, 1), (1, 1)),
        ((2 * MAX_STORED_HEIGHT_PX, 300), (MAX_STORED_HEIGHT_PX, 150)),
        ((2 * MAX_STORED_HEIGHT_PX, 1), (MAX_STORED_HEIGHT_PX, 1)),
    ],
)
def test_only_high_pictures_are_shrunk(shape: tuple[int, int], expected: tuple[int, int]) -> None:
    shrunk = shrink_line(np.full(shape, 9, np.uint8))

    assert shrunk.shape == expected
    assert set(shrunk.flat) == {9}
