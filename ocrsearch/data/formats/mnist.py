"""``mnist:FOLDER``: IDX files of digits, plain or ``.gz``; ``mnist:FILE.csv``: label, 784 pixels.

The files are named as those of Y. LeCun, C. Cortes and C. Burges, "The MNIST database of
handwritten digits", 1998: ``train-images-idx3-ubyte``, ``t10k-labels.idx1-ubyte``. The digits
stay as they are, light on dark. Where ``t10k`` lies beside ``train`` it is the test split.
"""

from __future__ import annotations

import gzip
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from ocrsearch.data.samples import Sample, Split
from ocrsearch.errors import DataError
from ocrsearch.files import file_problem, first_line, open_input

PARTS: dict[str, Split] = {"train": "train", "t10k": "test"}
SIDE_PX = 28
MAX_LINE_BYTES = 1 << 16
N_COLUMNS = 1 + SIDE_PX * SIDE_PX
MAX_BYTES = 400_000_000
"""Most that is unpacked of a file: eight times the pictures of MNIST."""

MAX_TABLE_BYTES = 200_000_000
"""Largest table that is read: twice that of MNIST."""

Bytes = NDArray[np.uint8]


def recognise(path: Path) -> bool:
    """Whether a path given without a format is such a folder or such a table."""
    if path.is_dir():
        return any(_find(path, part, "images", 3) for part in PARTS)
    return path.suffix.lower() == ".csv" and _has_columns(first_line(path, MAX_LINE_BYTES))


def read(path: Path) -> list[Sample]:
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
