"""Labels in a folder: file names, folder names, or a text file beside each image.

``captcha:FOLDER``: each picture's file name, without its ending, is its label.

``folders:FOLDER``: a folder for each label, whose name is the label of the pictures in it.

Folders ``train``, ``val`` and ``test`` with such folders in them give the splits.

``gt:FOLDER``: pictures with their text beside them in a ``.gt.txt``, also in nested folders.

As kraken, Calamari and Tesseract train on: ``0001.png`` and ``0001.gt.txt``; for a text without
such a picture, ``0001.bin.png`` or ``0001.nrm.png``. Pictures without a text are not read; their
number is a warning of the log.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ocrsearch.core import DataError, read_text_file
from ocrsearch.data.formats.files import PictureFiles, check_inside, find_pictures, name_as_text
from ocrsearch.data.images import PICTURE_SUFFIXES, holds_picture
from ocrsearch.data.samples import Sample, Split, normalize_label

logger = logging.getLogger(__name__)


def recognise_captcha(path: Path) -> bool:
    """Whether a path given without a format is such a folder."""
    return path.is_dir() and any(_is_picture(p) for p in path.iterdir())


def read_captcha(path: Path) -> list[Sample]:
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


SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}

MIN_RECOGNISED = 2
"""Folders of labels that a bare path must have."""


def recognise_folders(path: Path) -> bool:
    """Whether a path given without a format has only folders, and pictures in those of labels."""
    if not path.is_dir() or any(p.is_file() and p.name[0] != "." for p in path.iterdir()):
        return False
    labels = _label_folders(path)
    return len(labels) >= MIN_RECOGNISED and all(
        find_pictures(folder).pictures for folder, _ in labels
    )


def read_folders(path: Path) -> list[Sample]:
    """List the pictures in the folders of a folder.

    Raises:
        DataError: no such folder, or no pictures in folders below.
    """
    if not path.is_dir():
        raise DataError(f"folders:{path}: no such folder")
    samples: list[Sample] = []
    skipped: Counter[str] = Counter()
    for folder, split in _label_folders(path):
        found = find_pictures(folder)
        skipped.update(found.skipped)
        label = normalize_label(name_as_text(folder.name))
        samples += [
            Sample(name_as_text(p.relative_to(path).as_posix()), p, label, split)
            for p in found.pictures
        ]
    if not samples:
        raise DataError(
            f"folders:{path}: no pictures; needs a folder for each label, with its pictures in it"
        )
    if told := PictureFiles([], dict(skipped.most_common())).describe_skipped():
        logger.warning("folders:%s: %s", path, told)
    return samples


def _label_folders(path: Path) -> list[tuple[Path, Split | None]]:
    """Return the folders of labels, each with its split if these are in folders of splits."""
    folders = _folders_in(path)
    if not all(folder.name.lower() in SPLIT_FOLDERS for folder in folders):
        return [(folder, None) for folder in folders]
    return [
        (below, SPLIT_FOLDERS[folder.name.lower()])
        for folder in folders
        for below in _folders_in(folder)
    ]


def _folders_in(path: Path) -> list[Path]:
    return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))


ENDING = ".gt.txt"
MAX_LABEL_BYTES = 1_000_000
"""Largest text of a picture that is read, in bytes."""

VARIANTS = ("", ".bin", ".nrm")
"""What may stand before the ending of a picture's name."""

NO_PICTURES = frozenset({".txt", ".xml", ".json", ".box"})
"""Other descriptions of a line that may lie beside its picture."""

Files = Mapping[Path, Sequence[Path]]
"""Files by their path without its ending."""


def recognise_gt(path: Path) -> bool:
    """Whether a path given without a format is such a folder."""
    return path.is_dir() and any(path.rglob(f"?*{ENDING}"))


def read_gt(path: Path) -> list[Sample]:
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
