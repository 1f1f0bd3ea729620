"""Layouts of published datasets and tools.

``iam:FOLDER``: IAM words or lines, with the official splits or those of Aachen (OpenSLR 56).
``kalapa:FOLDER``: ``images/WRITER/N.jpg`` and ``annotations/WRITER.txt``, grouped by writer.
``mnist:FOLDER``: IDX files, plain or ``.gz``; ``mnist:FILE.csv``: label and 784 pixels per row.
``ppocr:FILE``: image path, tab and text per line, as in PaddleOCR.
"""

from __future__ import annotations

import gzip
import re
import struct
import warnings
import zlib
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocrsearch.core import DataError, file_problem, first_line, open_input
from ocrsearch.data.formats.files import (
    check_inside,
    image_path,
    numbered_lines,
    read_text,
    tab_lines,
)
from ocrsearch.data.samples import Sample, Split, normalize_label

NAMES = ("words.txt", "lines.txt")
TEXT_FIELD = 8
"""Number of fields before the text, in both words.txt and lines.txt."""

ID = re.compile(r"(([a-z]\d\d)-\d{3}[a-z]*)-\d\d(-\d\d)?")

SPLIT_LISTS: tuple[dict[str, Split], ...] = (
    {
        "trainset.txt": "train",
        "validationset1.txt": "val",
        "validationset2.txt": "val",
        "testset.txt": "test",
    },
    {"train.uttlist": "train", "validation.uttlist": "val", "test.uttlist": "test"},
)
"""Split lists. The official lists contain line ids, those of Aachen form ids."""


def recognise_iam(path: Path) -> bool:
    """Return whether a path without a prefix is an IAM folder, or a label file in it."""
    return bool(_label_files(path))


def read_iam(path: Path) -> list[Sample]:
    """Read the IAM words or lines. Entries marked ``err`` become flagged samples.

    ``words.txt`` or ``lines.txt``, also in ``ascii/``, lies beside the folder of its images,
    such as ``words/a01/a01-000u/a01-000u-00-00.png``. Samples that no split list names are
    skipped. Without lists, the samples are grouped by form. Source: Marti and Bunke, "The
    IAM-database: an English sentence database for offline handwriting recognition", 2002.

    Args:
        path: Path of the folder. If it has both kinds, path of the label file in it.

    Raises:
        DataError: The folder is missing, has both kinds or no entries, or an entry is invalid.
    """
    files = _label_files(path)
    if not files:
        raise DataError(
            f"iam:{path}: needs words.txt beside the folder words, or lines.txt beside lines"
        )
    if len(files) > 1:
        names = " or ".join(f"iam:{file}" for file in files)
        raise DataError(f"iam:{path}: found both words and lines; choose one: {names}")
    (file,) = files
    root = _root(file)
    check_inside(file, root, "iam")
    samples = [
        _sample(root, file, where, line)
        for where, line in numbered_lines(file, "iam")
        if not line.startswith("#")
    ]
    splits = _read_splits(root)
    if splits:
        found = [(sample, _split_of(sample, splits)) for sample in samples]
        samples = [replace(sample, split=split) for sample, split in found if split]
    if not samples:
        reason = "no entry is named by a split list" if splits else "no entries"
        raise DataError(f"iam:{file}: {reason}")
    return samples


def _label_files(path: Path) -> list[Path]:
    """Return the label files that have their image folder beside them, at most one per name."""
    if path.is_file():
        files = [path] if path.name in NAMES else []
    else:  # files in the folder itself override those in ascii/
        files = [path / below / name for below in ("ascii", ".") for name in NAMES]
    return list(
        {
            file.name: file
            for file in files
            if file.is_file() and (_root(file) / file.stem).is_dir()
        }.values()
    )


def _root(file: Path) -> Path:
    folder = file.parent
    return folder.parent if folder.resolve().name == "ascii" else folder


def _sample(root: Path, file: Path, where: str, line: str) -> Sample:
    fields = line.split(" ", TEXT_FIELD)
    match = ID.fullmatch(fields[0])
    if match is None or len(fields) <= TEXT_FIELD or fields[1] not in ("ok", "err"):
        raise DataError(
            f"iam:{file}: {where}: found {line[:60]!r}; must be an id such as a01-000u-00, "
            f"ok or err, {TEXT_FIELD - 2} more fields and the text"
        )
    form, part = match.group(1), match.group(2)
    text = fields[TEXT_FIELD]
    if file.stem == "lines":
        text = text.replace("|", " ")
    name = f"{file.stem}/{part}/{form}/{fields[0]}.png"
    return Sample(name, root / name, normalize_label(text), group=form, flagged=fields[1] == "err")


def _read_splits(root: Path) -> dict[str, Split]:
    """Return the split of each listed id, from the first kind of lists found."""
    for lists in SPLIT_LISTS:
        splits: dict[str, Split] = {}
        for name, split in lists.items():
            for file in [root / name, *sorted(root.glob(f"*/{name}"))]:
                if file.is_file():
                    check_inside(file, root, "iam")
                    splits.update(dict.fromkeys(read_text(file, "iam").split(), split))
                    break
        if splits:
            return splits
    return {}


def _split_of(sample: Sample, splits: dict[str, Split]) -> Split | None:
    """Return the split of a sample, listed by its own id or that of its line or form."""
    parts = Path(sample.name).stem.split("-")
    ids = ("-".join(parts[:n]) for n in (4, 3, 2))
    return next((splits[i] for i in ids if i in splits), None)


def recognise_kalapa(path: Path) -> bool:
    """Return whether a path without a prefix is a folder in the Kalapa layout."""
    return (path / "images").is_dir() and any((path / "annotations").glob("*.txt"))


def read_kalapa(path: Path) -> list[Sample]:
    """Read the annotations of all writers in the Kalapa handwriting challenge layout.

    Raises:
        DataError: A folder or the annotations are missing, or a file cannot be read.
    """
    images = path / "images"
    if not images.is_dir():
        raise DataError(f"kalapa:{path}: needs folders images and annotations; no {images}")
    files = sorted((path / "annotations").glob("*.txt"))
    if not files:
        raise DataError(f"kalapa:{path}: no annotations/WRITER.txt in this folder")
    for file in files:
        check_inside(file, path, "kalapa")
    samples = [
        Sample(name, image_path(file, name, where, images), normalize_label(label), None, group)
        for file, group in ((file, file.stem) for file in files)
        for where, name, label in tab_lines(file, "kalapa")
    ]
    if not samples:
        raise DataError(f"kalapa:{path}: all {len(files)} annotation files are empty")
    return samples


PARTS: dict[str, Split] = {"train": "train", "t10k": "test"}
SIDE_PX = 28
MAX_LINE_BYTES = 1 << 16
N_COLUMNS = 1 + SIDE_PX * SIDE_PX
MAX_BYTES = 400_000_000
"""Maximum unpacked size of a file, in bytes: eight times the images of MNIST."""

MAX_TABLE_BYTES = 200_000_000
"""Maximum size of a CSV file, in bytes: twice that of MNIST."""

Bytes = NDArray[np.uint8]


def recognise_mnist(path: Path) -> bool:
    """Return whether a path without a prefix is a folder of IDX files or an MNIST table."""
    if path.is_dir():
        return any(_find(path, part, "images", 3) for part in PARTS)
    return path.suffix.lower() == ".csv" and (
        first_line(path, MAX_LINE_BYTES).count(b",") == N_COLUMNS - 1
    )


def read_mnist(path: Path) -> list[Sample]:
    """Read all digits as (28, 28) images, light on dark as they are stored.

    Files are named as in "The MNIST database of handwritten digits" by Y. LeCun, C. Cortes and
    C. Burges, 1998: ``train-images-idx3-ubyte`` or ``t10k-labels.idx1-ubyte``. If both are
    present, ``t10k`` is the test split.

    Raises:
        DataError: A file is missing or has a wrong shape, length or label.
    """
    if path.is_file():
        table = _read_table(path)
        images = table[:, 1:].reshape(-1, SIDE_PX, SIDE_PX)
        return _samples(path, "", images, table[:, 0], None)
    if not path.is_dir():
        raise DataError(f"mnist:{path}: no such file or folder")
    parts = [part for part in PARTS if _find(path, part, "images", 3)]
    if not parts:
        raise DataError(f"mnist:{path}: no train-images-idx3-ubyte(.gz) in this folder")
    samples = []
    for part in parts:
        images = _read_idx(path, part, "images", 3)
        labels = _read_idx(path, part, "labels", 1)
        split = PARTS[part] if len(parts) == len(PARTS) else None
        samples += _samples(path, f"{part}/", images, labels, split)
    return samples


def _read_table(path: Path) -> Bytes:
    """Read the rows of a table, with or without a header, as (N, 785) uint8."""
    if problem := file_problem(path, MAX_TABLE_BYTES):
        raise DataError(f"mnist:{path}: {problem}")
    line = first_line(path, MAX_LINE_BYTES)
    if line.count(b",") != N_COLUMNS - 1:
        raise DataError(
            f"mnist:{path}: {line.count(b',') + 1} columns in the first line, must be "
            f"{N_COLUMNS}: the label and {N_COLUMNS - 1} pixels"
        )
    n_header = 0 if line.split(b",", 1)[0].strip().isdigit() else 1
    try:
        with warnings.catch_warnings(action="ignore"):  # numpy warns about an empty table
            table: Bytes = np.loadtxt(
                path, np.uint8, delimiter=",", skiprows=n_header, ndmin=2, comments=None
            )
    except ValueError as error:
        raise DataError(f"mnist:{path}: labels and pixels must be 0 to 255 ({error})") from None
    if not len(table):
        raise DataError(f"mnist:{path}: no rows below the header")
    return table


def _samples(
    path: Path, prefix: str, images: Bytes, labels: Bytes, split: Split | None
) -> list[Sample]:
    if len(images) != len(labels):
        raise DataError(f"mnist:{path}: {len(images)} images but {len(labels)} labels")
    if labels.max(initial=0) > 9:
        i = int(np.argmax(labels > 9))
        raise DataError(f"mnist:{path}: {prefix}{i}: label {labels[i]}, must be 0 to 9")
    return [
        Sample(f"{prefix}{i:05d}", image, str(label), split)
        for i, (image, label) in enumerate(zip(images, labels.tolist(), strict=True))
    ]


def _find(folder: Path, part: str, kind: str, n_dims: int) -> Path | None:
    names = [f"{part}-{kind}{sign}idx{n_dims}-ubyte" for sign in "-."]
    files = [folder / (name + ending) for name in names for ending in ("", ".gz")]
    return next((file for file in files if file.is_file()), None)


def _read_idx(folder: Path, part: str, kind: str, n_dims: int) -> Bytes:
    """Read an IDX file: two zeros, data type, number of dimensions, sizes and data."""
    file = _find(folder, part, kind, n_dims)
    if file is None:
        raise DataError(f"mnist:{folder}: no {part}-{kind}-idx{n_dims}-ubyte beside the others")
    try:
        with ExitStack() as opened:
            packed = opened.enter_context(open_input(file, f"mnist:{file}", DataError, MAX_BYTES))
            is_packed = file.suffix == ".gz"
            stream = opened.enter_context(gzip.open(packed)) if is_packed else packed
            header = stream.read(4 + 4 * n_dims)
            if len(header) < 4 + 4 * n_dims or header[:4] != bytes((0, 0, 8, n_dims)):
                raise DataError(f"mnist:{file}: not an IDX file of bytes in {n_dims} dimensions")
            shape: tuple[int, ...] = struct.unpack_from(f">{n_dims}I", header, 4)
            if shape[0] == 0 or (n_dims == 3 and shape[1:] != (SIDE_PX, SIDE_PX)):
                sides = f"{SIDE_PX} x {SIDE_PX}"
                raise DataError(f"mnist:{file}: shape {shape}, images must be {sides}")
            n_bytes = int(np.prod(shape, dtype=object))
            if n_bytes > MAX_BYTES:
                raise DataError(f"mnist:{file}: shape {shape}, at most {MAX_BYTES:,} bytes")
            content = stream.read(n_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"mnist:{file}: cannot be read ({error})") from None
    if len(content) != n_bytes:
        found = f"{len(content)}" if len(content) < n_bytes else f"over {n_bytes}"
        raise DataError(
            f"mnist:{file}: {found} bytes after the header, must be {n_bytes} for shape {shape}; "
            "copy the file again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def recognise_ppocr(path: Path) -> bool:
    """Return whether a path without a prefix is a text file with a tab in its first line."""
    return path.suffix.lower() == ".txt" and b"\t" in first_line(path, 4096)


def read_ppocr(path: Path) -> list[Sample]:
    """Read the samples of a PaddleOCR label file. Image paths must stay in its folder.

    Raises:
        DataError: The file is missing, not UTF-8 or empty, or a line has no tab.
    """
    samples = [
        Sample(name, image_path(path, name, where), normalize_label(label))
        for where, name, label in tab_lines(path, "ppocr")
    ]
    if not samples:
        raise DataError(f"ppocr:{path}: empty; each line must be an image path, a tab and text")
    return samples
