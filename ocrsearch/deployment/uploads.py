"""Uploads: the images in the body of a request, decoded within limits.

Nothing in a request is trusted. A body is an image, or a form (multipart/form-data) in which each
part is an image, whatever its name. Names of files, types of parts and URLs are ignored. All
functions here block, so the service calls them in threads.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Sequence

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from ocrsearch.core import ImageError, printable
from ocrsearch.data import GrayImage
from ocrsearch.data.images import open_image, shrink_line, to_gray

FORM = "multipart/form-data"

RAW_TYPES = ("application/octet-stream", "binary/octet-stream")
"""Types of a body that is an image, beside those that begin with ``image/``."""

MAX_PIXELS_TOGETHER = 64_000_000
"""Maximum number of pixels of all images of a request, as they are kept to be recognised."""

MAX_REASON = 500
"""Longest reason in an answer, in characters."""


class RefusedError(Exception):
    """A request that is not answered with predictions.

    Attributes:
        status: HTTP status of the answer.
        reason: problem and remedy in one line.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, one_line(reason)


def one_line(text: str) -> str:
    """Return a reason as one harmless line of limited length."""
    return printable(" ".join(text.split()), max_length=MAX_REASON)


def check_content_type(content_type: str) -> bool:
    """Return whether a body is a form; otherwise it is an image.

    Args:
        content_type: value of the header, empty without it.

    Raises:
        RefusedError: the body is neither (415), or the form has no boundary (400).
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == FORM:
        if not _boundary(content_type):
            raise RefusedError(400, "the Content-Type of the form lacks its boundary")
        return True
    if not kind or kind.startswith("image/") or kind in RAW_TYPES:
        return False
    raise RefusedError(
        415,
        f"Content-Type {kind[:100]!r} is not supported; send {FORM} with a file for each image, or "
        f"one image as the body, with an image type or {RAW_TYPES[0]}",
    )


def _boundary(content_type: str) -> bytes:
    return parse_options_header(content_type)[1].get(b"boundary", b"")


def split_form(content_type: str, body: bytes, max_images: int) -> list[bytes]:
    """Return the content of each part of a form, in order.

    Raises:
        RefusedError: the form is damaged or has no parts (400), or it has too many parts (413).
    """
    parts: list[bytearray] = []
    n_ended = 0

    def begin() -> None:
        if len(parts) == max_images:
            raise RefusedError(413, f"more than {max_images} images; send several requests")
        parts.append(bytearray())

    def add(data: bytes, start: int, end: int) -> None:
        parts[-1].extend(memoryview(data)[start:end])

    def end() -> None:
        nonlocal n_ended
        n_ended += 1

    try:
        parser = MultipartParser(
            _boundary(content_type),
            {"on_part_begin": begin, "on_part_data": add, "on_end": end},
        )
        parser.write(body)
    except FormParserError as error:
        raise RefusedError(400, f"damaged form ({error})") from None
    if not n_ended or not parts:
        raise RefusedError(400, "damaged form: its end is missing" if parts else "an empty form")
    return [bytes(part) for part in parts]


def decode_images(
    contents: Sequence[bytes], max_pixels: float, deadline: float = math.inf
) -> list[GrayImage | ImageError]:
    """Return the grey image of each file, (H, W) uint8 as ``Predictor`` reads it, or its error.

    Args:
        contents: contents of the files.
        max_pixels: maximum number of pixels of an image.
        deadline: time at which to give up, as ``time.monotonic`` has it.

    Raises:
        RefusedError: the images together are too large (413), or the time is up (504).
    """
    n = len(contents)
    names = ["image"] if n == 1 else [f"image {i} of {n}" for i in range(1, n + 1)]
    decoded: list[GrayImage | ImageError] = []
    n_left = MAX_PIXELS_TOGETHER
    for content, name in zip(contents, names, strict=True):
        if time.monotonic() > deadline:
            raise RefusedError(504, f"not decoded in time, up to {name}")
        try:
            image = _decode(content, name, max_pixels)
        except ImageError as error:
            decoded.append(error)
            continue
        n_left -= image.size
        if n_left < 0 and len(contents) > 1:
            limit = MAX_PIXELS_TOGETHER // 1_000_000
            problem = f"the images together have more than {limit} megapixels"
            raise RefusedError(413, f"{problem}; send several requests")
        decoded.append(image)
    return decoded


def _decode(content: bytes, name: str, max_pixels: float) -> GrayImage:
    if not content:
        raise ImageError(f"{name}: empty")
    with open_image(io.BytesIO(content), name) as image:
        if image.width * image.height > max_pixels:
            size, limit = f"{image.width} x {image.height} pixels", f"{max_pixels / 1e6:g}"
            raise ImageError(
                f"{name}: image too large: {size}, at most {limit} megapixels; scale it down"
            )
        return shrink_line(to_gray(image))
