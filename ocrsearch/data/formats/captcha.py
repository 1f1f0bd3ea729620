"""``captcha:FOLDER``: each picture's file name, without its ending, is its label."""

from __future__ import annotations

from pathlib import Path

from ocrsearch.data.file_names import name_as_text
from ocrsearch.data.images import PICTURE_SUFFIXES
from ocrsearch.data.samples import Sample, normalize_label
from ocrsearch.errors import DataError


def recognise(path: Path) -> bool:
    """Whether a path given without a format is such a folder."""
    return path.is_dir() and any(_is_picture(p) for p in path.iterdir())


def read(path: Path) -> list[Sample]:
    """List the pictures of a folder, in the order of their names.

    Raises:
        DataError: no such folder, or no picture in it.
    """
    if not path.is_dir():
        raise DataError(f"captcha:{path}: no such folder")
    files = sorted(p for p in path.iterdir() if _is_picture(p))
    if not files:
        endings = " ".join(sorted(PICTURE_SUFFIXES))
        raise DataError(f"captcha:{path}: no pictures in this folder (looked for {endings})")
    names = [name_as_text(p.name) for p in files]
    return [
        Sample(name, path, normalize_label(name.rpartition(".")[0]))
        for name, path in zip(names, files, strict=True)
    ]


def _is_picture(path: Path) -> bool:
    _, dot, ending = path.name.lower().rpartition(".")
    return dot + ending in PICTURE_SUFFIXES and not path.name.startswith("._") and not path.is_dir()
