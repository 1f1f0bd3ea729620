"""Documents: files of one or more pages, as images, TIFF or PDF.

Files of one or more pages: pictures, TIFF of several pages, PDF.

Pages come one at a time, so that a long document does not fill the memory. A file is opened once.
Its number of pages is limited, and so are the pixels of all its pages, by the size of the file: a
few kilobytes can claim thousands of pages that share their pixels.

The pages of a PDF as grey images, drawn by a process of its own; see ``pdf_renderer.py``.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from ocrsearch.core import ImageError, read_start
from ocrsearch.data.images.reading import (
    MAX_PIXELS,
    check_file,
    check_size,
    decoding,
    holds_picture,
    image_errors,
    opened_image,
    to_gray,
)
from ocrsearch.data.samples import GrayImage

MAX_PAGES = 10_000
"""Largest number of pages of a file."""

FREE_PIXELS = 100_000_000
"""Pixels that the pages of a file of any size may have together."""

SHARED_PIXELS = 30_000_000
"""Pixels of pages of a TIFF that are stored where those of an earlier page are."""

TIFF_PIXELS_PER_BYTE = 1000
PDF_PIXELS_PER_BYTE = 10_000
"""Further pixels for each byte of the file. Pages of text take more bytes than that."""

_STRIP_OFFSETS, _TILE_OFFSETS = 273, 324
_NEW_SUBFILE_TYPE, _REDUCED = 254, 1
"""TIFF's tag for the kind of a frame, and its bit for a smaller copy of another frame."""


def read_pages(path: Path) -> Iterator[GrayImage]:
    """Read the pages of a file as grey, one at a time.

    Args:
        path: a PDF, whatever its name, or a picture, of which only a TIFF may have more pages.

    Returns:
        (H, W) uint8 each; those of a PDF at PDF_DPI.

    Raises:
        ImageError: the file is missing, damaged or encrypted, has too many pages, or a page is
            too large.
    """
    if _is_pdf(path):
        return _limited(path, pdf_pages(path, MAX_PAGES), PDF_PIXELS_PER_BYTE)
    return _limited(path, _picture_pages(path), TIFF_PIXELS_PER_BYTE)


def holds_document(path: Path) -> bool:
    """Whether a file is a PDF or a picture that can be read, or has the ending of one."""
    return path.suffix.lower() == ".pdf" or holds_picture(path) or _is_pdf(path)


def _is_pdf(path: Path) -> bool:
    return b"%PDF-" in read_start(path, 1024)


def _limited(path: Path, pages: Iterator[GrayImage], pixels_per_byte: int) -> Iterator[GrayImage]:
    """Pass pages on until they have too many pixels for a file of this size."""
    n_pixels = 0
    for number, page in enumerate(pages, 1):
        n_pixels += page.size
        if number > 1 and n_pixels > FREE_PIXELS + pixels_per_byte * path.stat().st_size:
            raise ImageError(
                f"{path}: page {number}: the pages up to here have {n_pixels // 1_000_000:,} "
                "megapixels, too many for a file of this size; save its pages as separate files"
            )
        yield page


def _picture_pages(path: Path) -> Iterator[GrayImage]:
    with opened_image(path) as image:
        places: set[int] = set()
        n_shared = 0
        for number in itertools.count():
            with image_errors(path):
                if not _goes_to(image, number):
                    return
            if number == MAX_PAGES:
                raise ImageError(f"{path}: more than {MAX_PAGES:,} pages; split the file")
            with image_errors(path):
                place = _place(image)
            n_shared += image.width * image.height * (place in places)
            places.add(place)
            if n_shared > SHARED_PIXELS:
                raise ImageError(f"{path}: page {number + 1}: too many pages share their pixels")
            with decoding(path, image):
                page = None if number and _is_reduced(image) else to_gray(image)
            if page is not None:
                yield page


def _goes_to(image: Image.Image, number: int) -> bool:
    """Whether a picture has a page of a number, which is then its current one."""
    if number > 0 and image.format != "TIFF":
        return False
    try:
        image.seek(number)
    except EOFError:
        return False
    return True


def _place(image: Image.Image) -> int:
    """Return where in a TIFF the pixels of its current page begin, -1 where it is not said."""
    tags: Any = getattr(image, "tag_v2", {})
    for tag in _STRIP_OFFSETS, _TILE_OFFSETS:
        if offsets := tags.get(tag):
            return int(offsets[0])
    return -1


def _is_reduced(image: Image.Image) -> bool:
    tags: Any = getattr(image, "tag_v2", {})
    return bool(tags.get(_NEW_SUBFILE_TYPE, 0) & _REDUCED)


PDF_DPI = 200

MAX_PAGE_SECONDS = 10
"""Most processor time for opening a file, and for each page."""

MAX_MEMORY_BYTES = 1_200_000_000
"""Most memory for drawing, beside that of the libraries."""

MAX_HEADER_BYTES = 10_000

_RENDERER = Path(__file__).with_name("pdf_renderer.py")


def pdf_pages(path: Path, max_pages: int) -> Iterator[GrayImage]:
    """Draw the pages of a PDF, one ahead of the page that is in use.

    Args:
        path: PDF file.
        max_pages: largest number of pages that is allowed.

    Returns:
        (H, W) uint8 each, at PDF_DPI.

    Raises:
        ImageError: the file is damaged or encrypted, has too many pages, or a page is too large
            or takes too much time or memory.
    """
    check_file(path)
    limits = (PDF_DPI, MAX_PIXELS, MAX_PAGE_SECONDS, MAX_MEMORY_BYTES)
    try:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", str(_RENDERER), str(path), *map(str, limits)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise ImageError(f"{path}: cannot be drawn ({error.strerror or error})") from None
    with process:
        try:
            yield from _received(path, process, max_pages)
        finally:
            process.kill()


def _received(path: Path, process: subprocess.Popen[bytes], max_pages: int) -> Iterator[GrayImage]:
    assert process.stdout is not None
    number = 0
    while "end" not in (header := _header(process.stdout)):
        number += 1
        if "refused" in header:
            raise ImageError(f"{path}: {header['refused']}")
        if "width" not in header:
            raise ImageError(f"{path}: page {number}: {_ending(process.wait())}")
        if header["n_pages"] > max_pages:
            raise ImageError(
                f"{path}: {header['n_pages']:,} pages, at most {max_pages:,}; split the file"
            )
        width, height = header["width"], header["height"]
        try:
            check_size(path, (width, height))
        except ImageError as error:
            raise ImageError(f"{error} (page {number} at {PDF_DPI} dpi)") from None
        pixels = process.stdout.read(header["stride"] * height)
        if len(pixels) < header["stride"] * height:
            raise ImageError(f"{path}: page {number}: {_ending(process.wait())}")
        yield np.frombuffer(pixels, np.uint8).reshape(height, -1)[:, :width].copy()
    if number == 0:
        raise ImageError(f"{path}: a PDF without pages")


def _header(output: IO[bytes]) -> dict[str, Any]:
    line = output.readline(MAX_HEADER_BYTES)
    header: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
    return header


def _ending(code: int) -> str:
    """Return why the process ended before the page was drawn."""
    if code == -getattr(signal, "SIGXCPU", 0):
        return "takes too long to draw"
    return "damaged PDF, or too little memory to draw it"
