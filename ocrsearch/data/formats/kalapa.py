"""``kalapa:FOLDER``: ``images/WRITER/N.jpg`` and ``annotations/WRITER.txt``, a tab in each line.

The layout of the Kalapa handwriting challenge; what is split together is a writer.
"""

from __future__ import annotations

from pathlib import Path

from ocrsearch.data.formats.label_file import check_inside, picture_path, tab_lines
from ocrsearch.data.samples import Sample, normalize_label
from ocrsearch.errors import DataError


def recognise(path: Path) -> bool:
    """Whether a path given without a format is such a folder."""
    return (path / "images").is_dir() and any((path / "annotations").glob("*.txt"))


def read(path: Path) -> list[Sample]:
    """Read the annotations of all writers; pictures stay in the folder ``images``.

    Raises:
        DataError: no such folders, no annotations, or a file of them that cannot be read.
    """
    images = path / "images"
    if not images.is_dir():
        raise DataError(f"kalapa:{path}: needs the folders images and annotations; no {images}")
    files = sorted((path / "annotations").glob("*.txt"))
    if not files:
        raise DataError(f"kalapa:{path}: no annotations/WRITER.txt in this folder")
    for file in files:
        check_inside(file, path, "kalapa")
    samples = [
        Sample(name, picture_path(file, name, where, images), normalize_label(label), None, group)
        for file, group in ((file, file.stem) for file in files)
        for where, name, label in tab_lines(file, "kalapa")
    ]
    if not samples:
        raise DataError(f"kalapa:{path}: its {len(files)} annotation files are all empty")
    return samples
