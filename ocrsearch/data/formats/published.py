"""Layouts of published datasets and tools: IAM, Kalapa, MNIST and PaddleOCR; and our own recipes.

``iam:FOLDER``: words or lines of the IAM handwriting database, in its own layout.

``words.txt`` or ``lines.txt``, also below ``ascii/``, beside the pictures in nested folders,
``words/a01/a01-000u/a01-000u-00-00.png``. Splits are those of the lists that lie in the folder
or one below it, the official ones or those of Aachen (OpenSLR 56); what they do not name is left
out. Without lists, what is split together is a form. Source: Marti and Bunke, "The IAM-database:
an English sentence database for offline handwriting recognition", 2002.

``kalapa:FOLDER``: ``images/WRITER/N.jpg`` and ``annotations/WRITER.txt``, a tab in each line.

The layout of the Kalapa handwriting challenge; what is split together is a writer.

``mnist:FOLDER``: IDX files of digits, plain or ``.gz``; ``mnist:FILE.csv``: label, 784 pixels.

The files are named as those of Y. LeCun, C. Cortes and C. Burges, "The MNIST database of
handwritten digits", 1998: ``train-images-idx3-ubyte``, ``t10k-labels.idx1-ubyte``. The digits
stay as they are, light on dark. Where ``t10k`` lies beside ``train`` it is the test split.

``ppocr:FILE``: lines of a picture's path, a tab and its text, as PaddleOCR trains on.

``synth:FILE``: a recipe of a synthetic data set, whose pictures are drawn when read.
"""

from __future__ import annotations

import gzip
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ocrsearch.core import DataError, file_problem, first_line, open_input, real_path
from ocrsearch.data.formats.files import (
    check_inside,
    numbered_lines,
    picture_path,
    read_text,
    tab_lines,
)
from ocrsearch.data.samples import Sample, Split, normalize_label

NAMES = ("words.txt", "lines.txt")
TEXT_FIELD = 8
"""Fields before the text: in both kinds of file the same number."""

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
"""The official lists hold the ids of lines, those of Aachen the ids of forms."""


def recognise_iam(path: Path) -> bool:
    """Whether a path given without a format is such a folder, or such a text in it."""
    return bool(_label_files(path))


def read_iam(path: Path) -> list[Sample]:
    """Read the words or the lines; those marked ``err`` are doubtful samples.

    Args:
        path: the folder, or where it has both kinds, ``words.txt`` or ``lines.txt`` in it.

    Raises:
        DataError: no such folder, both kinds in it, no entries, or one that is not as it should.
    """
    files = _label_files(path)
    if not files:
        raise DataError(
            f"iam:{path}: needs words.txt beside the folder words, or lines.txt beside lines"
        )
    if len(files) > 1:
        names = " or ".join(f"iam:{file}" for file in files)
        raise DataError(f"iam:{path}: has both words and lines; say which: {names}")
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
        named = " that a split list names" if splits else ""
        raise DataError(f"iam:{file}: no entries{named}")
    return samples


def _label_files(path: Path) -> list[Path]:
    """Return the texts that have the folder of their pictures beside them, one of a kind."""
    if path.is_file():
        files = [path] if path.name in NAMES else []
    else:  # what lies in the folder itself goes before what lies below
        files = [path / below / name for below in ("ascii", ".") for name in NAMES]
    return list({file.name: file for file in files if _has_pictures(file)}.values())


def _has_pictures(file: Path) -> bool:
    return file.is_file() and (_root(file) / file.stem).is_dir()


def _root(file: Path) -> Path:
    folder = file.parent
    return folder.parent if folder.resolve().name == "ascii" else folder


def _sample(root: Path, file: Path, where: str, line: str) -> Sample:
    fields = line.split(" ", TEXT_FIELD)
    match = ID.fullmatch(fields[0])
    if match is None or len(fields) <= TEXT_FIELD or fields[1] not in ("ok", "err"):
        raise DataError(
            f"iam:{file}: {where}: found {line[:60]!r}; needs an id such as a01-000u-00, "
            f"ok or err, {TEXT_FIELD - 2} more fields and the text"
        )
    form, part = match.group(1), match.group(2)
    text = fields[TEXT_FIELD]
    if file.stem == "lines":
        text = text.replace("|", " ")
    name = f"{file.stem}/{part}/{form}/{fields[0]}.png"
    return Sample(name, root / name, normalize_label(text), group=form, doubtful=fields[1] == "err")


def _read_splits(root: Path) -> dict[str, Split]:
    """Return the split of each id that the lists name, of the first kind of lists found."""
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
    """Return the split of a sample, which a list may name by its own, its line's or form's id."""
    parts = Path(sample.name).stem.split("-")
    ids = ("-".join(parts[:n]) for n in (4, 3, 2))
    return next((splits[i] for i in ids if i in splits), None)


def recognise_kalapa(path: Path) -> bool:
    """Whether a path given without a format is such a folder."""
    return (path / "images").is_dir() and any((path / "annotations").glob("*.txt"))


def read_kalapa(path: Path) -> list[Sample]:
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


PARTS: dict[str, Split] = {"train": "train", "t10k": "test"}
SIDE_PX = 28
MAX_LINE_BYTES = 1 << 16
N_COLUMNS = 1 + SIDE_PX * SIDE_PX
MAX_BYTES = 400_000_000
"""Most that is unpacked of a file: eight times the pictures of MNIST."""

MAX_TABLE_BYTES = 200_000_000
"""Largest table that is read: twice that of MNIST."""

Bytes = NDArray[np.uint8]


def recognise_mnist(path: Path) -> bool:
    """Whether a path given without a format is such a folder or such a table."""
    if path.is_dir():
        return any(_find(path, part, "images", 3) for part in PARTS)
    return path.suffix.lower() == ".csv" and _has_columns(first_line(path, MAX_LINE_BYTES))


def read_mnist(path: Path) -> list[Sample]:
    """Read all digits, each a (28, 28) picture.

    Raises:
        DataError: no such files, or one of another shape, length or with other labels.
    """
    if path.is_file():
        table = _read_table(path)
        pictures = table[:, 1:].reshape(-1, SIDE_PX, SIDE_PX)
        return _samples(path, "", pictures, table[:, 0], None)
    if not path.is_dir():
        raise DataError(f"mnist:{path}: no such file or folder")
    parts = [part for part in PARTS if _find(path, part, "images", 3)]
    if not parts:
        raise DataError(f"mnist:{path}: no train-images-idx3-ubyte or .gz of it in this folder")
    samples = []
    for part in parts:
        pictures = _read_idx(path, part, "images", 3)
        labels = _read_idx(path, part, "labels", 1)
        split = PARTS[part] if len(parts) == len(PARTS) else None
        samples += _samples(path, f"{part}/", pictures, labels, split)
    return samples


def _samples(
    path: Path, prefix: str, pictures: Bytes, labels: Bytes, split: Split | None
) -> list[Sample]:
    if len(pictures) != len(labels):
        raise DataError(f"mnist:{path}: {len(pictures)} pictures, but {len(labels)} labels")
    if labels.max(initial=0) > 9:
        i = int(np.argmax(labels > 9))
        raise DataError(f"mnist:{path}: {prefix}{i}: label {labels[i]}, must be 0 to 9")
    return [
        Sample(f"{prefix}{i:05d}", picture, str(label), split)
        for i, (picture, label) in enumerate(zip(pictures, labels.tolist(), strict=True))
    ]


def _find(folder: Path, part: str, kind: str, n_dims: int) -> Path | None:
    names = [f"{part}-{kind}{sign}idx{n_dims}-ubyte" for sign in "-."]
    files = [folder / (name + ending) for name in names for ending in ("", ".gz")]
    return next((file for file in files if file.is_file()), None)


def _read_idx(folder: Path, part: str, kind: str, n_dims: int) -> Bytes:
    """Read an IDX file: two zeros, the type, the number of dimensions, their sizes, the bytes."""
    file = _find(folder, part, kind, n_dims)
    if file is None:
        raise DataError(f"mnist:{folder}: no {part}-{kind}-idx{n_dims}-ubyte beside the others")
    try:
        with _opened(file) as stream:
            header = stream.read(4 + 4 * n_dims)
            shape = _shape(file, header, n_dims)
            n_bytes = int(np.prod(shape, dtype=object))
            if n_bytes > MAX_BYTES:
                raise DataError(f"mnist:{file}: {shape} bytes, at most {MAX_BYTES} are read")
            content = stream.read(n_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"mnist:{file}: cannot be read ({error})") from None
    if len(content) != n_bytes:
        found = f"{len(content)}" if len(content) < n_bytes else "more"
        raise DataError(
            f"mnist:{file}: {found} bytes behind its header, which says {shape}; copy it again"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    with open_input(file, f"mnist:{file}", DataError, MAX_BYTES) as packed:
        if file.suffix != ".gz":
            yield packed
            return
        with gzip.open(packed) as unpacked:
            yield cast(BinaryIO, unpacked)


def _shape(file: Path, header: bytes, n_dims: int) -> tuple[int, ...]:
    if len(header) < 4 + 4 * n_dims or header[:4] != bytes((0, 0, 8, n_dims)):
        raise DataError(f"mnist:{file}: not an IDX file of bytes in {n_dims} dimensions")
    shape: tuple[int, ...] = struct.unpack_from(f">{n_dims}I", header, 4)
    if shape[0] == 0 or (n_dims == 3 and shape[1:] != (SIDE_PX, SIDE_PX)):
        raise DataError(f"mnist:{file}: shape {shape}; needs pictures of {SIDE_PX} x {SIDE_PX}")
    return shape


def _has_columns(line: bytes) -> bool:
    return line.count(b",") == N_COLUMNS - 1


def _read_table(path: Path) -> Bytes:
    """Read the rows of a table with or without a header as (N, 785) uint8."""
    if problem := file_problem(path, MAX_TABLE_BYTES):
        raise DataError(f"mnist:{path}: {problem}")
    line = first_line(path, MAX_LINE_BYTES)
    if not _has_columns(line):
        raise DataError(
            f"mnist:{path}: {line.count(b',') + 1} columns in its first line, must be "
            f"{N_COLUMNS}: the label and {N_COLUMNS - 1} pixels"
        )
    n_header = 0 if line.split(b",", 1)[0].strip().isdigit() else 1
    try:
        with warnings.catch_warnings(action="ignore"):  # that there are no rows
            table: Bytes = np.loadtxt(
                path, np.uint8, delimiter=",", skiprows=n_header, ndmin=2, comments=None
            )
    except ValueError as error:
        raise DataError(f"mnist:{path}: labels and pixels must be 0 to 255 ({error})") from None
    if not len(table):
        raise DataError(f"mnist:{path}: no rows below the header")
    return table


def recognise_ppocr(path: Path) -> bool:
    """Whether a path given without a format is a text file with a tab in its first line."""
    return path.suffix.lower() == ".txt" and b"\t" in first_line(path, 4096)


def read_ppocr(path: Path) -> list[Sample]:
    """Read the lines of a file; picture paths are relative to it and stay in its folder.

    Raises:
        DataError: no such file, not UTF-8, a line without a tab, or no lines.
    """
    samples = [
        Sample(name, picture_path(path, name, where), normalize_label(label))
        for where, name, label in tab_lines(path, "ppocr")
    ]
    if not samples:
        raise DataError(f"ppocr:{path}: no lines; needs the picture's path, a tab, and its text")
    return samples


logger = logging.getLogger(__name__)

_being_read: ContextVar[frozenset[Path]] = ContextVar("recipes being read", default=frozenset())
"""Recipes whose source is being read: a source may be a recipe too."""


def recognise_synth(path: Path) -> bool:
    """Whether a path given without a format is such a file."""
    return path.suffix.lower() in (".yaml", ".yml") and path.is_file()


def read_synth(path: Path) -> list[Sample]:
    """Return the samples of a recipe; see ``data/synthesis``.

    What fonts lack and what of a corpus is left out is a warning of the log.

    Raises:
        DataError: not a recipe, or a source that cannot be used.
    """
    # a recipe's source of digits is itself of any label format
    from ocrsearch.data.synthesis import load_recipe, open_synthesizer

    outer = _being_read.get()
    if real_path(path) in outer:
        raise DataError(f"synth:{path}: its source leads back to it; name single symbols")
    token = _being_read.set(outer | {real_path(path)})
    try:
        synthesizer = open_synthesizer(load_recipe(path))
    finally:
        _being_read.reset(token)
    for note in synthesizer.notes:
        logger.warning("%s: %s", path, note)
    return synthesizer.samples()
