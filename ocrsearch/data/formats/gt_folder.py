"""``gt:FOLDER``: pictures with their text beside them in a ``.gt.txt``, also in nested folders.

As kraken, Calamari and Tesseract train on: ``0001.png`` and ``0001.gt.txt``; for a text without
such a picture, ``0001.bin.png`` or ``0001.nrm.png``. Pictures without a text are not read.
"""

from __future__ import annotations

import re
from pathlib import Path

from ocrsearch.data.file_names import name_as_text
from ocrsearch.data.images import PICTURE_SUFFIXES
from ocrsearch.data.samples import Sample, normalize_label
from ocrsearch.errors import DataError

ENDING = ".gt.txt"
VARIANTS = ("", ".bin", ".nrm")
"""What may stand before the ending of a picture's name."""


def recognise(path: Path) -> bool:
    """Whether a path given without a format is such a folder."""
    return path.is_dir() and any(path.rglob(f"?*{ENDING}"))


def read(path: Path) -> list[Sample]:
    """Read the texts of a folder and of those below it.

    Raises:
        DataError: no such folder, no such texts, or one that cannot be read.
    """
    if not path.is_dir():
        raise DataError(f"gt:{path}: no such folder")
    texts = sorted(p for p in path.rglob(f"?*{ENDING}") if not p.name.startswith("._"))
    if not texts:
        raise DataError(f"gt:{path}: no pictures with a {ENDING} beside them in this folder")
    pictures = {p.with_suffix(""): p for p in sorted(path.rglob("*")) if _is_picture(p)}
    return [_sample(path, text, pictures) for text in texts]


def _sample(folder: Path, text: Path, pictures: dict[Path, Path]) -> Sample:
    """Pair a text with its picture; one that is missing is told when it is read."""
    base = text.name.removesuffix(ENDING)
    names = [text.with_name(base + variant) for variant in VARIANTS]
    picture = next((pictures[name] for name in names if name in pictures), None)
    picture = picture or text.with_name(f"{base}.png")
    try:
        label = text.read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"gt:{text}: cannot be read ({error.strerror})") from None
    label = re.sub(r"\s*\n\s*", " ", normalize_label(label))
    name = name_as_text(picture.relative_to(folder).as_posix())
    return Sample(name, picture, label)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith("._")
