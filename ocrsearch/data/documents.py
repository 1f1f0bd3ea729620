"""Files of one or more pages: pictures, TIFF of several pages, PDF.

Pages come one at a time, so that a long document does not fill the memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ocrsearch.data.images import (
    PICTURE_SUFFIXES,
    check_file,
    check_size,
    open_image,
    to_gray,
)
from ocrsearch.data.samples import GrayImage
from ocrsearch.errors import ImageError

PDF_DPI = 200
DOCUMENT_SUFFIXES = PICTURE_SUFFIXES | {".pdf"}

_POINTS_PER_INCH = 72
_NEW_SUBFILE_TYPE, _REDUCED = 254, 1
"""TIFF's tag for the kind of a frame, and its bit for a smaller copy of another frame."""


def read_pages(path: Path) -> Iterator[GrayImage]:
    """Read the pages of a file as grey, one at a time.

    Args:
        path: a PDF, whatever its name, or a picture, of which only a TIFF may have more pages.

    Returns:
        (H, W) uint8 each; those of a PDF at PDF_DPI.

    Raises:
        ImageError: the file is missing, damaged or encrypted, or a page is too large.
    """
    return _pdf_pages(path) if _is_pdf(path) else _picture_pages(path)


def _is_pdf(path: Path) -> bool:
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return b"%PDF-" in file.read(1024)
    except (OSError, ValueError):
        return False  # reading it as a picture tells why


def _picture_pages(path: Path) -> Iterator[GrayImage]:
    with open_image(path) as image:
        n_frames = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
    for number in range(n_frames):
        with open_image(path) as image:
            image.seek(number)
            check_size(path, image.size)
            page = None if number and _is_reduced(image) else to_gray(image)
        if page is not None:
            yield page  # with the file closed: who reads it may take long


def _is_reduced(image: Image.Image) -> bool:
    tags: Any = getattr(image, "tag_v2", {})
    return bool(tags.get(_NEW_SUBFILE_TYPE, 0) & _REDUCED)


def _pdf_pages(path: Path) -> Iterator[GrayImage]:
    import pypdfium2 as pdfium  # takes a quarter of a second to import

    check_file(path)
    document = None
    try:
        document = pdfium.PdfDocument(path)
        if len(document) == 0:
            raise ImageError(f"{path}: a PDF without pages")
        document.init_forms()  # so that fields that were filled in are drawn
        for number in range(len(document)):
            yield _render(path, document[number], number + 1)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            raise ImageError(f"{path}: encrypted PDF; save it without a password first") from None
        raise ImageError(f"{path}: damaged PDF ({error})") from None
    finally:
        if document is not None:
            document.close()


def _render(path: Path, page: Any, number: int) -> GrayImage:
    """Draw a page, and close it."""
    scale = PDF_DPI / _POINTS_PER_INCH
    try:
        width, height = (math.ceil(side * scale) for side in page.get_size())
        try:
            check_size(path, (width, height))
        except ImageError as error:
            raise ImageError(f"{error} (page {number} at {PDF_DPI} dpi)") from None
        bitmap = page.render(scale=scale, grayscale=True)
        try:
            return np.array(bitmap.to_numpy(), dtype=np.uint8).reshape(bitmap.height, bitmap.width)
        finally:
            bitmap.close()
    finally:
        page.close()
