"""``captcha:FOLDER``: each picture's file name, without its ending, is its label."""

from __future__ import annotations

import logging
from pathlib import Path

from ocrsearch.data.file_names import name_as_text
from ocrsearch.data.images import holds_picture
from ocrsearch.data.picture_files import find_pictures
from ocrsearch.data.samples import Sample, normalize_label
from ocrsearch.errors import DataError

logger = logging.getLogger(__name__)


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
    found = find_pictures(path)
    skipped = found.describe_skipped()
    if not found.pictures:
        files = f" ({skipped})" if skipped else ""
        raise DataError(f"captcha:{path}: no pictures in this folder{files}")
    if skipped:
        logger.warning("captcha:%s: %s", path, skipped)
    names = [name_as_text(p.name) for p in found.pictures]
    return [
        Sample(name, path, normalize_label(_label(name)))
        for name, path in zip(names, found.pictures, strict=True)
    ]


def _is_picture(path: Path) -> bool:
    return not path.name.startswith("._") and not path.is_dir() and holds_picture(path)


def _label(name: str) -> str:
    label, dot, _ = name.rpartition(".")
    return label if dot else name
