"""``ppocr:FILE``: lines of a picture's path, a tab and its text, as PaddleOCR trains on."""

from __future__ import annotations

from pathlib import Path

from ocrsearch.data.formats.label_file import picture_path, tab_lines
from ocrsearch.data.samples import Sample, normalize_label
from ocrsearch.errors import DataError
from ocrsearch.files import first_line


def recognise(path: Path) -> bool:
    """Whether a path given without a format is a text file with a tab in its first line."""
    return path.suffix.lower() == ".txt" and b"\t" in first_line(path, 4096)


def read(path: Path) -> list[Sample]:
    """Read the lines of a file; picture paths are relative to it and stay in its folder.

    Raises:
        DataError: no such file, not UTF-8, a line without a tab, or no lines.
    """
    samples = [
        Sample(name, picture_path(path, name, where), normalize_label(label))
        for where, name, label in tab_lines(path, "ppocr")
    ]
    if not samples:
        raise DataError(f"ppocr:{path}: no lines; needs the picture's path, a tab, and its text")
    return samples
