"""The pages of a PDF as grey images, drawn by a process of its own; see ``pdf_renderer.py``."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from ocrsearch.data.images import MAX_PIXELS, check_file, check_size
from ocrsearch.data.samples import GrayImage
from ocrsearch.errors import ImageError

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
