"""Files of one or more pages: pictures, TIFF of several pages, PDF.

Pages come one at a time, so that a long document does not fill the memory. A file is opened once.
Its number of pages is limited, and so are the pixels of all its pages, by the size of the file: a
few kilobytes can claim thousands of pages that share their pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ocrsearch.data.images import (
    decoding,
    holds_picture,
    image_errors,
    opened_image,
    to_gray,
)
from ocrsearch.data.pdf import PDF_DPI as PDF_DPI
from ocrsearch.data.pdf import pdf_pages
from ocrsearch.data.samples import GrayImage
from ocrsearch.errors import ImageError
from ocrsearch.files import read_start

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
