"""``folders:FOLDER``: a folder for each label, whose name is the label of the pictures in it.

Folders ``train``, ``val`` and ``test`` with such folders in them give the splits.
"""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

from ocrsearch.data.file_names import name_as_text
from ocrsearch.data.picture_files import PictureFiles, find_pictures
from ocrsearch.data.samples import Sample, Split, normalize_label
from ocrsearch.errors import DataError

logger = logging.getLogger(__name__)

SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}

MIN_RECOGNISED = 2
"""Folders of labels that a bare path must have."""


def recognise(path: Path) -> bool:
    """Whether a path given without a format has only folders, and pictures in those of labels."""
    if not path.is_dir() or any(p.is_file() and p.name[0] != "." for p in path.iterdir()):
        return False
    labels = _label_folders(path)
    return len(labels) >= MIN_RECOGNISED and all(
        find_pictures(folder).pictures for folder, _ in labels
    )


def read(path: Path) -> list[Sample]:
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
