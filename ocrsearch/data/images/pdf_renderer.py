"""Draw the pages of a PDF: a script that ``pdf.py`` runs in a process of its own.

A few hundred bytes of a PDF can ask for hours of drawing or gigabytes of memory, and a damaged
file can crash the library. So this process limits its processor time for each page and its
memory; if it dies, only the PDF is lost. It imports nothing of the package, to start quickly.

Arguments: file, dots per inch, and the largest number of pixels of a page, seconds of processor
time for each page, and bytes of memory beside that of the libraries. Output: for each page a line
of JSON with its size, then its pixels, 8 bits each, by rows of ``stride`` bytes; at the end a line
with ``end`` or ``refused``. A page that is too large has a line, but no pixels, and is the last.
"""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import pypdfium2 as pdfium
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

try:
    import resource
except ImportError:  # no such limits on Windows
    resource = None  # type: ignore[assignment]

MAX_IMAGE_PIXELS = 300_000_000
"""Largest image on a page; in colour it takes 900 MB."""

MAX_DEPTH = 3
"""Depth to which groups of objects on a page are searched for images."""

POINTS_PER_INCH = 72


def main() -> None:
    """Write the pages of the file that the arguments name."""
    path, dpi, max_pixels, max_seconds, max_bytes = sys.argv[1], *map(int, sys.argv[2:])
    _limit_memory(max_bytes)
    try:
        _write_pages(path, dpi / POINTS_PER_INCH, max_pixels, max_seconds)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            _send({"refused": "encrypted PDF; save it without a password first"})
        else:
            _send({"refused": f"damaged PDF ({error})"})
    else:
        _send({"end": True})


def _write_pages(path: str, scale: float, max_pixels: int, max_seconds: int) -> None:
    _limit_time(max_seconds)
    document = pdfium.PdfDocument(path)
    document.init_forms()  # so that fields that were filled in are drawn
    for number in range(len(document)):
        _limit_time(max_seconds)
        page = document[number]
        sides = [side * scale for side in page.get_size()]
        width, height = (math.ceil(side) if math.isfinite(side) else max_pixels for side in sides)
        size = {"n_pages": len(document), "width": width, "height": height}
        if not 0 < width * height <= max_pixels:
            _send(size)
            return
        if problem := _image_problem(page):
            _send({"refused": f"page {number + 1}: {problem}"})
            return
        bitmap = page.render(scale=scale, grayscale=True)
        _send({**size, "stride": bitmap.stride}, bytes(bitmap.buffer))
        bitmap.close()
        page.close()


def _image_problem(page: pdfium.PdfPage) -> str | None:
    """Return what is wrong with the images of a page: the library leaves large ones out."""
    for found in page.get_objects(filter=(FPDF_PAGEOBJ_IMAGE,), max_depth=MAX_DEPTH):
        width, height = found.get_px_size()
        if width * height > MAX_IMAGE_PIXELS:
            limit = MAX_IMAGE_PIXELS // 1_000_000
            return f"an image of {width} x {height} pixels, at most {limit} megapixels"
    return None


def _send(header: dict[str, Any], pixels: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
    sys.stdout.buffer.write(pixels)
    sys.stdout.buffer.flush()


def _limit_memory(max_bytes: int) -> None:
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            used = int(file.read().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, used + max_bytes)
    except OSError:  # not Linux
        return


def _limit_time(max_seconds: int) -> None:
    if resource is not None:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        used = math.ceil(usage.ru_utime + usage.ru_stime)
        _lower(resource.RLIMIT_CPU, used + max_seconds)


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        limit = min(limit, hard)
    resource.setrlimit(kind, (limit, hard))


if __name__ == "__main__":
    main()
