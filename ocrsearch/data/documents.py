"""Files of one or more pages: pictures, TIFF of several pages, PDF.

Pages come one at a time, so that a long document does not fill the memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from ocrsearch.data.images import MAX_PIXELS, PICTURE_SUFFIXES, check_size, opened_image, to_gray
from ocrsearch.data.samples import GrayImage
from ocrsearch.errors import ImageError

PDF_DPI = 200
DOCUMENT_SUFFIXES = PICTURE_SUFFIXES | {".pdf"}
_POINTS_PER_INCH = 72
_REDUCED_COPY = 254, 1
"""TIFF's tag NewSubfileType, and its bit for a smaller copy of another page."""


def read_pages(path: Path) -> Iterator[GrayImage]:
    """Read the pages of a file as grey, one at a time.

    Args:
        path: a PDF, whatever its ending, or a picture; of pictures only TIFF has more pages.

    Returns:
        (H, W) uint8 each; those of a PDF at PDF_DPI.

    Raises:
        ImageError: the file is missing, damaged or encrypted, or a page is above MAX_PIXELS.
    """
    return _pdf_pages(path) if _is_pdf(path) else _picture_pages(path)


def _is_pdf(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return b"%PDF-" in file.read(1024)
    except OSError:
        return False  # reading it as a picture says why


def _picture_pages(path: Path) -> Iterator[GrayImage]:
    with opened_image(path) as image:
        n_pages = getattr(image, "n_frames", 1) if image.format == "TIFF" else 1
        for number in range(n_pages):
            image.seek(number)
            if number and _is_reduced_copy(image):
                continue
            check_size(path, image.size)
            yield to_gray(image)


def _is_reduced_copy(image: Image.Image) -> bool:
    tag, bit = _REDUCED_COPY
    return bool(image.tag_v2.get(tag, 0) & bit)  # type: ignore[attr-defined]  # of TIFF only


def _pdf_pages(path: Path) -> Iterator[GrayImage]:
    import pypdfium2 as pdfium  # takes a third of a second to import

    document = None
    try:
        document = pdfium.PdfDocument(path)
        document.init_forms()  # so that fields that were filled in are drawn
        for number in range(len(document)):
            yield _render(path, document[number], number + 1)
    except pdfium.PdfiumError as error:
        raise ImageError(f"{path}: {_pdf_problem(error)}") from None
    finally:
        if document is not None:
            document.close()


def _render(path: Path, page: Any, number: int) -> GrayImage:
    scale = PDF_DPI / _POINTS_PER_INCH
    width, height = (math.ceil(side * scale) for side in page.get_size())
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{path}: page {number} would have {width} x {height} pixels at {PDF_DPI} dpi, "
            f"at most {MAX_PIXELS // 1_000_000} megapixels are read; scale it down"
        )
    bitmap = page.render(scale=scale, grayscale=True)
    try:
        return bitmap.to_numpy().reshape(bitmap.height, bitmap.width).copy()
    finally:
        bitmap.close()
        page.close()


def _pdf_problem(error: Exception) -> str:
    text = str(error)
    if "password" in text.lower():
        return "encrypted PDF; save it without a password first"
    return f"damaged PDF ({text})"
