"""``captcha:FOLDER``: each picture's file name, without its ending, is its label."""

from __future__ import annotations

from pathlib import Path

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
    return [Sample(p.name, p, normalize_label(p.name.rpartition(".")[0])) for p in files]


def _is_picture(path: Path) -> bool:
    _, dot, ending = path.name.lower().rpartition(".")
    return dot + ending in PICTURE_SUFFIXES and not path.name.startswith("._") and not path.is_dir()
