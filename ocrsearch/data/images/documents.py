"""Read documents page by page: images, multi-page TIFF and PDF.

Pages are yielded one at a time to bound memory. The number of pages is limited, and so is their
total size in relation to the file, because a few kilobytes can claim thousands of pages that
share their pixels. PDF pages are rendered in a separate process; see ``pdf_renderer.py``.
"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ocrsearch.core import ImageError, read_start
from ocrsearch.data.images.reading import (
    MAX_PIXELS,
    check_file,
    check_size,
    decoding,
    image_errors,
    is_image_file,
    opened_image,
    to_gray,
)
from ocrsearch.data.samples import GrayImage

MAX_PAGES = 10_000
"""Maximum number of pages per file."""

FREE_PIXELS = 100_000_000
"""Total number of pixels allowed for a file of any size."""

SHARED_PIXELS = 30_000_000
"""Maximum number of pixels in TIFF pages that share the data of an earlier page."""

TIFF_PIXELS_PER_BYTE = 1000
PDF_PIXELS_PER_BYTE = 10_000
"""Additional pixels allowed per byte of the file. Pages of text need more bytes than this."""

PDF_MARK = b"%PDF-"
"""Bytes near the start of every PDF."""

_STRIP_OFFSETS, _TILE_OFFSETS = 273, 324
_NEW_SUBFILE_TYPE, _REDUCED = 254, 1
"""TIFF tag for the type of a frame, and its flag for a reduced copy of another frame."""

PDF_DPI = 200

MAX_PAGE_SECONDS = 10
"""Maximum processor time for opening the file and for each page."""

MAX_MEMORY_BYTES = 1_200_000_000
"""Maximum memory for rendering, in addition to the libraries."""

MAX_HEADER_BYTES = 10_000

_RENDERER = Path(__file__).with_name("pdf_renderer.py")


def read_pages(path: Path) -> Iterator[GrayImage]:
    """Read the pages of a file as grey, one at a time.

    Args:
        path: Path of a PDF or an image. Only TIFF images may have several pages.

    Returns:
        (H, W) uint8 per page, PDF pages at PDF_DPI.

    Raises:
        ImageError: The file is missing, damaged, encrypted or has too many pages, or a page is
            too large.
    """
    if PDF_MARK in read_start(path, 1024):
        return _limited(path, pdf_pages(path, MAX_PAGES), PDF_PIXELS_PER_BYTE)
    return _limited(path, _image_pages(path), TIFF_PIXELS_PER_BYTE)


def _limited(path: Path, pages: Iterator[GrayImage], pixels_per_byte: int) -> Iterator[GrayImage]:
    """Yield pages until their total size exceeds the limit for the size of the file."""
    n_pixels = 0
    for number, page in enumerate(pages, 1):
        n_pixels += page.size
        if number > 1 and n_pixels > FREE_PIXELS + pixels_per_byte * path.stat().st_size:
            raise ImageError(
                f"{path}: page {number}: {n_pixels // 1_000_000:,} megapixels in the pages so far, "
                "too many for the size of the file; save the pages as separate files"
            )
        yield page


def _image_pages(path: Path) -> Iterator[GrayImage]:
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
                raise ImageError(
                    f"{path}: page {number + 1}: too many pages share their pixels; "
                    "save the pages as separate files"
                )
            with decoding(path, image):
                tags: Any = getattr(image, "tag_v2", {})
                is_thumbnail = number > 0 and tags.get(_NEW_SUBFILE_TYPE, 0) & _REDUCED
                page = None if is_thumbnail else to_gray(image)
            if page is not None:
                yield page


def _goes_to(image: Image.Image, number: int) -> bool:
    """Move to a page by number and return whether it exists."""
    if number > 0 and image.format != "TIFF":
        return False
    try:
        image.seek(number)
    except EOFError:
        return False
    return True


def _place(image: Image.Image) -> int:
    """Return the offset of the current page's pixels in a TIFF, or -1 if unknown."""
    tags: Any = getattr(image, "tag_v2", {})
    for tag in _STRIP_OFFSETS, _TILE_OFFSETS:
        if offsets := tags.get(tag):
            return int(offsets[0])
    return -1


def is_document_file(path: Path) -> bool:
    """Return whether a file is a PDF or a supported image, by extension or content."""
    return (
        path.suffix.lower() == ".pdf" or is_image_file(path) or PDF_MARK in read_start(path, 1024)
    )


def pdf_pages(path: Path, max_pages: int) -> Iterator[GrayImage]:
    """Render the pages of a PDF, one page ahead of the page in use.

    Args:
        path: Path of the PDF.
        max_pages: Maximum number of pages.

    Returns:
        (H, W) uint8 per page, at PDF_DPI.

    Raises:
        ImageError: The file is damaged, encrypted or has too many pages, or a page is too
            large or needs too much time or memory.
    """
    check_file(path)
    if find_spec("pypdfium2") is None:
        raise ImageError(f"{path}: PDF files need pypdfium2; install it, or save the pages as PNG")
    limits = (PDF_DPI, MAX_PIXELS, MAX_PAGE_SECONDS, MAX_MEMORY_BYTES)
    try:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-P", str(_RENDERER), str(path), *map(str, limits)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        raise ImageError(f"{path}: cannot be rendered ({error.strerror or error})") from None
    with process:
        try:
            yield from _received(path, process, max_pages)
        finally:
            process.kill()


def _received(path: Path, process: subprocess.Popen[bytes], max_pages: int) -> Iterator[GrayImage]:
    """Yield the pages from the output of the renderer; see ``pdf_renderer.py``."""
    assert process.stdout is not None
    for number in itertools.count(1):
        line = process.stdout.readline(MAX_HEADER_BYTES)
        header: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
        if "end" in header and number == 1:
            raise ImageError(f"{path}: a PDF without pages")
        if "end" in header:
            return
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


def _ending(code: int) -> str:
    """Return the reason why the renderer ended before the page was complete."""
    if code == -getattr(signal, "SIGXCPU", 0):
        return f"takes over {MAX_PAGE_SECONDS} s to render; export it as an image"
    return "damaged PDF, or not enough memory to render it"
