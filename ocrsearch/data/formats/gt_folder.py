"""``gt:FOLDER``: pictures with their text beside them in a ``.gt.txt``, also in nested folders.

As kraken, Calamari and Tesseract train on: ``0001.png`` and ``0001.gt.txt``; for a text without
such a picture, ``0001.bin.png`` or ``0001.nrm.png``. Pictures without a text are not read; their
number is a warning of the log.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ocrsearch.data.file_names import name_as_text
from ocrsearch.data.formats.label_file import check_inside
from ocrsearch.data.images import PICTURE_SUFFIXES, holds_picture
from ocrsearch.data.samples import Sample, normalize_label
from ocrsearch.errors import DataError
from ocrsearch.files import read_text_file

logger = logging.getLogger(__name__)

ENDING = ".gt.txt"
MAX_LABEL_BYTES = 1_000_000
"""Largest text of a picture that is read, in bytes."""

VARIANTS = ("", ".bin", ".nrm")
"""What may stand before the ending of a picture's name."""

NO_PICTURES = frozenset({".txt", ".xml", ".json", ".box"})
"""Other descriptions of a line that may lie beside its picture."""

Files = Mapping[Path, Sequence[Path]]
"""Files by their path without its ending."""


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
    texts = sorted(p for p in path.rglob(f"?*{ENDING}") if not p.name.startswith("."))
    if not texts:
        raise DataError(f"gt:{path}: no pictures with a {ENDING} beside them in this folder")
    files: dict[Path, list[Path]] = defaultdict(list)
    for file in sorted(path.rglob("*")):
        if not file.name.startswith(".") and file.suffix.lower() not in NO_PICTURES:
            files[file.with_suffix("")].append(file)
    _warn_of_others(path, files, texts)
    return [_sample(path, text, files) for text in texts]


def _warn_of_others(folder: Path, files: Files, texts: Sequence[Path]) -> None:
    """Say how many pictures have no text."""
    known = {name for text in texts for name in _stems(text)}
    others = [stem for stem in files.keys() - known if any(map(_has_picture_suffix, files[stem]))]
    if others:
        noun = "picture" if len(others) == 1 else "pictures"
        logger.warning("gt:%s: %d %s without %s skipped", folder, len(others), noun, ENDING)


def _sample(folder: Path, text: Path, files: Files) -> Sample:
    """Pair a text with its picture; one that is missing is told when it is read."""
    found = [file for stem in _stems(text) for file in _best_first(files.get(stem, ()))]
    picture = found[0] if found else text.with_name(f"{text.name.removesuffix(ENDING)}.png")
    check_inside(text, folder, "gt")
    label = read_text_file(
        text, f"gt:{text}", DataError, max_bytes=MAX_LABEL_BYTES, errors="surrogateescape"
    )
    label = re.sub(r"\s*\n\s*", "\n", normalize_label(label))
    return Sample(name_as_text(picture.relative_to(folder).as_posix()), picture, label)


def _stems(text: Path) -> list[Path]:
    """Return the paths that the picture of a text may have, without their ending."""
    base = text.name.removesuffix(ENDING)
    return [text.with_name(base + variant) for variant in VARIANTS]


def _best_first(files: Sequence[Path]) -> list[Path]:
    """Sort files of one name: endings of pictures, pictures of other endings, other files."""
    usual = [file for file in files if _has_picture_suffix(file)]
    if usual or len(files) < 2:
        return [*reversed(usual), *files]
    return sorted(files, key=lambda file: not holds_picture(file))


def _has_picture_suffix(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES
