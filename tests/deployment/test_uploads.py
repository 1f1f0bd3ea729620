"""Bodies of requests: forms are split, and images are decoded as the recogniser decodes them."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ocrsearch.core import ImageError
from ocrsearch.data.images.reading import MAX_PIXELS, shrink_line
from ocrsearch.deployment import uploads
from ocrsearch.deployment.service_options import ServiceOptions
from ocrsearch.deployment.uploads import (
    MAX_REASON,
    RefusedError,
    check_content_type,
    decode_images,
    one_line,
    split_form,
)
from ocrsearch.inference.inputs import read_input

TYPE = "multipart/form-data; boundary=b"


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    return b"".join(head + part + b"\r\n" for part in parts) + end


@pytest.mark.parametrize(
    "parts",
    [
        [b"one"],
        [b"one", b"", b"three"],
        [b"\r\n--", b"--b", b"\r\n\r\n--x--\r\n", bytes(range(256)) * 50],
    ],
)
def test_the_parts_of_a_form_are_its_images(parts: list[bytes]) -> None:
    assert split_form(TYPE, form(*parts), 64) == parts


def test_names_and_types_of_parts_do_not_matter() -> None:
    text = b'--b\r\nContent-Disposition: form-data; name="path"\r\n\r\n/etc/passwd\r\n'
    other = b"--b\r\nContent-Type: text/html\r\n\r\n<b>\r\n--b--"
    assert split_form(TYPE, text + other, 64) == [b"/etc/passwd", b"<b>"]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "an empty form"),
        (b"--b--\r\n", "an empty form"),
        (b"no form at all", "damaged form"),
        (form(b"one", end=b""), "its end is missing"),
        (form(b"one")[:-9], "its end is missing"),
        (b"--b\r\nNo header\r\n\r\nx\r\n--b--", "damaged form"),
        (b"--b\r\n" + b"A: b\r\n" * 100 + b"\r\nx\r\n--b--", "damaged form"),
        (b"--b\r\nA: " + b"b" * 100_000 + b"\r\n\r\nx\r\n--b--", "damaged form"),
    ],
)
def test_damaged_forms_are_refused(body: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as caught:
        split_form(TYPE, body, 64)
    assert caught.value.status == 400


def test_the_number_of_parts_is_limited() -> None:
    assert len(split_form(TYPE, form(b"x", b"y"), 2)) == 2
    with pytest.raises(RefusedError, match="more than 2 images") as caught:
        split_form(TYPE, form(b"x", b"y", b"z"), 2)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    ("content_type", "is_form"),
    [
        (TYPE, True),
        ('Multipart/Form-Data; charset=utf-8; boundary="x y"', True),
        ("image/png", False),
        ("image/png; a=b", False),
        ("application/octet-stream", False),
        ("", False),
    ],
)
def test_types_of_bodies(content_type: str, is_form: bool) -> None:
    assert check_content_type(content_type) == is_form


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        ("multipart/mixed; boundary=b", 415),
        ("application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/html", 415),
        ("\x00" * 5000, 415),
    ],
)
def test_other_types_are_refused(content_type: str, status: int) -> None:
    with pytest.raises(RefusedError) as caught:
        check_content_type(content_type)
    assert caught.value.status == status
    assert caught.value.reason.isprintable()


def test_a_long_boundary_is_refused() -> None:
    with pytest.raises(RefusedError, match="damaged form"):
        split_form(f"multipart/form-data; boundary={'b' * 1000}", b"--b", 64)


def encoded(mode: str, kind: str, **options: Any) -> bytes:
    rng = np.random.default_rng(0)
    shape = (20, 90, 4) if mode == "RGBA" else (20, 90, 3) if mode == "RGB" else (20, 90)
    pixels = rng.integers(0, 65536 if mode == "I;16" else 256, shape)
    image = Image.fromarray(pixels.astype(np.uint16 if mode == "I;16" else np.uint8))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


ENCODED = [
    encoded("L", "PNG"),
    encoded("RGB", "PNG"),
    encoded("RGBA", "PNG"),
    encoded("I;16", "PNG"),
    encoded("RGB", "JPEG", quality=30),
    encoded("RGB", "TIFF", compression="tiff_lzw"),
    encoded("L", "GIF"),
    encoded("RGB", "WEBP"),
    encoded("L", "BMP"),
]


@pytest.mark.parametrize("content", ENCODED, ids=range(len(ENCODED)))
def test_images_are_decoded_as_the_recogniser_does(content: bytes) -> None:
    (image,) = decode_images([content], MAX_PIXELS)
    assert isinstance(image, np.ndarray)
    expected = shrink_line(read_input(content))
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(shrink_line(read_input(image)), expected)


def test_each_bad_image_has_its_own_reason() -> None:
    good = encoded("L", "PNG")
    contents = [good, b"", b"nothing", good[:80], good]
    found = decode_images(contents, 20 * 90)
    reasons = [str(f) if isinstance(f, ImageError) else None for f in found]
    assert reasons[0] is reasons[4] is None
    assert reasons[1] == "image 2 of 5: empty"
    assert str(reasons[2]).startswith("image 3 of 5: not a supported image")
    assert str(reasons[3]).startswith("image 4 of 5: damaged image")
    (alone,) = decode_images([b"nothing"], 1)
    assert str(alone).startswith("image: not a supported image")


def test_the_pixels_of_an_image_are_limited() -> None:
    (found,) = decode_images([encoded("L", "PNG")], 20 * 90 - 1)
    assert "image too large: 90 x 20 pixels, at most 0.001799 megapixels" in str(found)


def test_the_pixels_of_a_request_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_PIXELS_TOGETHER", 2 * 20 * 90)
    good = encoded("L", "PNG")
    assert len(decode_images([good, b"", good], MAX_PIXELS)) == 3
    with pytest.raises(RefusedError, match="the images together") as caught:
        decode_images([good] * 3, MAX_PIXELS)
    assert caught.value.status == 413
    monkeypatch.setattr(uploads, "MAX_PIXELS_TOGETHER", 1)
    assert isinstance(decode_images([good], MAX_PIXELS)[0], np.ndarray)


def test_decoding_ends_when_the_time_is_up() -> None:
    with pytest.raises(RefusedError, match="not decoded in time") as caught:
        decode_images([encoded("L", "PNG")], MAX_PIXELS, time.monotonic() - 1)
    assert caught.value.status == 504


def test_no_option_allows_more_pixels_than_the_program_reads() -> None:
    assert ServiceOptions(max_megapixels=MAX_PIXELS / 1e6).max_megapixels == 64
    with pytest.raises(Exception, match="must be at most 64"):
        ServiceOptions(max_megapixels=MAX_PIXELS / 1e6 + 1)


def test_a_reason_is_one_harmless_line() -> None:
    assert one_line("a\n\tb\x1b[31m") == "a b\\x1b[31m"
    assert len(one_line("x" * 10_000)) <= MAX_REASON + 3
