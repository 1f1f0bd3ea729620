"""Render the pages of a PDF: a script that ``documents.py`` runs in a separate process.

A small PDF can demand hours of rendering or gigabytes of memory, and a damaged file can crash the
library. This process limits its processor time per page and its memory. If it dies, only the PDF
is lost. It imports nothing from the package, to start quickly.

Arguments: file, dots per inch, maximum pixels per page, maximum seconds of processor time per
page, maximum bytes of memory in addition to the libraries. Output per page: a line of JSON with
the size, then 8-bit pixels in rows of ``stride`` bytes. The last line contains ``end`` or
``refused``. A page that is too large is sent without pixels and ends the output.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping

import pypdfium2 as pdfium
from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

try:
    import resource
except ImportError:  # Windows has no such limits
    resource = None  # type: ignore[assignment]

MAX_IMAGE_PIXELS = 300_000_000
"""Maximum size of an image on a page, in pixels; 900 MB in colour."""

MAX_DEPTH = 3
"""Maximum nesting depth of object groups searched for images."""

POINTS_PER_INCH = 72


def main() -> None:
    """Write the pages of the file given as the first argument."""
    path, dpi, max_pixels, max_seconds, max_bytes = sys.argv[1], *map(int, sys.argv[2:])
    _limit_memory(max_bytes)
    try:
        _write_pages(path, dpi / POINTS_PER_INCH, max_pixels, max_seconds)
    except pdfium.PdfiumError as error:
        if "password" in str(error).lower():
            _send({"refused": "encrypted PDF, not supported; save it without a password"})
        else:
            _send({"refused": f"damaged PDF ({error})"})
    else:
        _send({"end": True})


def _limit_memory(max_bytes: int) -> None:
    if resource is None:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123
            used = int(file.read().split()[0]) * resource.getpagesize()
        _lower(resource.RLIMIT_AS, used + max_bytes)
    except OSError:  # /proc exists only on Linux
        return


def _write_pages(path: str, scale: float, max_pixels: int, max_seconds: int) -> None:
    _limit_time(max_seconds)
    document = pdfium.PdfDocument(path)
    document.init_forms()  # to render filled-in form fields
    for number in range(len(document)):
        _limit_time(max_seconds)
        page = document[number]
        sides = [side * scale for side in page.get_size()]
        width, height = (math.ceil(side) if math.isfinite(side) else max_pixels for side in sides)
        size = {"n_pages": len(document), "width": width, "height": height}
        if not 0 < width * height <= max_pixels:
            _send(size)
            return
        for found in page.get_objects(filter=(FPDF_PAGEOBJ_IMAGE,), max_depth=MAX_DEPTH):
            columns, rows = found.get_px_size()
            if columns * rows > MAX_IMAGE_PIXELS:  # the library would silently skip it
                limit = f"at most {MAX_IMAGE_PIXELS // 1_000_000} megapixels; shrink it"
                problem = f"an image of {columns} x {rows} pixels, {limit}"
                _send({"refused": f"page {number + 1}: {problem}"})
                return
        bitmap = page.render(scale=scale, grayscale=True)
        _send({**size, "stride": bitmap.stride}, bytes(bitmap.buffer))
        bitmap.close()
        page.close()


def _send(header: Mapping[str, object], pixels: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(header).encode() + b"\n")
    sys.stdout.buffer.write(pixels)
    sys.stdout.buffer.flush()


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
