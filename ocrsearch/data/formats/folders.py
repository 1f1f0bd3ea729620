"""Labels in a folder tree: file names, folder names or a text file beside each image.

``captcha:FOLDER``: the label is the file name without its extension. ``folders:FOLDER``: each
label is a folder with its images; folders ``train``, ``val`` and ``test`` above them define the
splits. ``gt:FOLDER``: ``0001.gt.txt`` beside ``0001.png``, ``0001.bin.png`` or ``0001.nrm.png``,
also in subfolders, as used by kraken, Calamari and Tesseract. Images without a text are skipped
with a warning.
"""

from __future__ import annotations

import logging
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from ocrsearch.core import DataError, read_text_file
from ocrsearch.data.formats.files import ImageFiles, check_inside, find_images, name_as_text
from ocrsearch.data.images import IMAGE_SUFFIXES, is_image_file
from ocrsearch.data.samples import Sample, Split, normalize_label

logger = logging.getLogger(__name__)


def recognise_captcha(path: Path) -> bool:
    """Return whether a path without a prefix is a folder that directly contains images."""
    return path.is_dir() and any(
        not p.name.startswith("._") and not p.is_dir() and is_image_file(p) for p in path.iterdir()
    )


def read_captcha(path: Path) -> list[Sample]:
    """Read the samples of a folder in the order of their file names.

    Raises:
        DataError: The folder is missing or contains no images.
    """
    if not path.is_dir():
        raise DataError(f"captcha:{path}: no such folder")
    found = find_images(path)
    skipped = found.describe_skipped()
    if not found.images:
        files = f" ({skipped})" if skipped else ""
        raise DataError(f"captcha:{path}: no images in this folder{files}")
    if skipped:
        logger.warning("captcha:%s: %s", path, skipped)
    names = [name_as_text(p.name) for p in found.images]
    return [
        Sample(name, path, normalize_label(name.rpartition(".")[0] or name))
        for name, path in zip(names, found.images, strict=True)
    ]


SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}

MIN_RECOGNISED = 2
"""Minimum number of label folders for a path without a prefix."""


def recognise_folders(path: Path) -> bool:
    """Return whether a path without a prefix contains only folders, and images in all of them."""
    if not path.is_dir() or any(p.is_file() and p.name[0] != "." for p in path.iterdir()):
        return False
    labels = _label_folders(path)
    return len(labels) >= MIN_RECOGNISED and all(find_images(folder).images for folder, _ in labels)


def read_folders(path: Path) -> list[Sample]:
    """Read the samples in the label folders of a folder.

    Raises:
        DataError: The folder is missing, or there are no images in its subfolders.
    """
    if not path.is_dir():
        raise DataError(f"folders:{path}: no such folder")
    samples: list[Sample] = []
    skipped: Counter[str] = Counter()
    for folder, split in _label_folders(path):
        found = find_images(folder)
        skipped.update(found.skipped)
        label = normalize_label(name_as_text(folder.name))
        samples += [
            Sample(name_as_text(p.relative_to(path).as_posix()), p, label, split)
            for p in found.images
        ]
    if not samples:
        raise DataError(
            f"folders:{path}: no images; needs a folder per label that contains its images"
        )
    if summary := ImageFiles([], dict(skipped.most_common())).describe_skipped():
        logger.warning("folders:%s: %s", path, summary)
    return samples


def _label_folders(path: Path) -> list[tuple[Path, Split | None]]:
    """Return the label folders. Each has its split if all folders above are split folders."""

    def folders_in(path: Path) -> list[Path]:
        return sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))

    folders = folders_in(path)
    if not all(folder.name.lower() in SPLIT_FOLDERS for folder in folders):
        return [(folder, None) for folder in folders]
    return [
        (below, SPLIT_FOLDERS[folder.name.lower()])
        for folder in folders
        for below in folders_in(folder)
    ]


ENDING = ".gt.txt"
MAX_LABEL_BYTES = 1_000_000
"""Maximum size of a label file, in bytes."""

VARIANTS = ("", ".bin", ".nrm")
"""Optional suffixes between the name of the text and the extension of its image."""

OTHER_SUFFIXES = frozenset({".txt", ".xml", ".json", ".box"})
"""Extensions of other annotations that may be stored beside an image."""


def recognise_gt(path: Path) -> bool:
    """Return whether a path without a prefix is a folder with ``.gt.txt`` files."""
    return path.is_dir() and any(path.rglob(f"?*{ENDING}"))


def read_gt(path: Path) -> list[Sample]:
    """Read the samples of a folder and its subfolders.

    Raises:
        DataError: The folder is missing or has no ``.gt.txt`` files, or a file cannot be read.
    """
    if not path.is_dir():
        raise DataError(f"gt:{path}: no such folder")
    texts = sorted(p for p in path.rglob(f"?*{ENDING}") if not p.name.startswith("."))
    if not texts:
        raise DataError(f"gt:{path}: no images with a {ENDING} beside them in this folder")
    files: dict[Path, list[Path]] = defaultdict(list)  # by path without extension
    for file in sorted(path.rglob("*")):
        if not file.name.startswith(".") and file.suffix.lower() not in OTHER_SUFFIXES:
            files[file.with_suffix("")].append(file)
    known = {stem for text in texts for stem in _stems(text)}
    others = files.keys() - known
    n = sum(any(file.suffix.lower() in IMAGE_SUFFIXES for file in files[s]) for s in others)
    if n:
        noun = "image" if n == 1 else "images"
        logger.warning("gt:%s: %d %s without %s skipped", path, n, noun, ENDING)
    samples = []
    for text in texts:
        check_inside(text, path, "gt")
        image = _find_image(text, files)
        label = read_text_file(
            text, f"gt:{text}", DataError, max_bytes=MAX_LABEL_BYTES, errors="surrogateescape"
        )
        label = re.sub(r"\s*\n\s*", "\n", normalize_label(label))
        samples.append(Sample(name_as_text(image.relative_to(path).as_posix()), image, label))
    return samples


def _find_image(text: Path, files: Mapping[Path, Sequence[Path]]) -> Path:
    """Return the image of a text. A missing image is reported when it is read.

    Args:
        text: Path of the label file.
        files: Files of the dataset by path without extension.
    """
    for stem in _stems(text):
        found = files.get(stem, ())
        if usual := [file for file in found if file.suffix.lower() in IMAGE_SUFFIXES]:
            return usual[-1]
        if found:
            return min(found, key=lambda file: not is_image_file(file))
    return text.with_name(f"{text.name.removesuffix(ENDING)}.png")


def _stems(text: Path) -> list[Path]:
    """Return the possible paths of a text's image, without extension."""
    base = text.name.removesuffix(ENDING)
    return [text.with_name(base + variant) for variant in VARIANTS]
