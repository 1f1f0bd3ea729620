"""Data specifications: ``FORMAT:PATH``, a bare path, or the name of a built-in set."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ocrsearch.core import (
    DataError,
    home_path,
    real_path,
    shortened,
    shown,
)
from ocrsearch.data.formats import (
    FORMATS,
    NO_COLUMNS,
    Columns,
    LabelFormat,
    all_formats,
)
from ocrsearch.data.samples import Sample
from ocrsearch.data.synthesis import change_path, make_digits

DATA_PLACE = "data_place"
"""Fact of a study: the specification of its data with an absolute path."""


def absolute_spec(spec: str) -> str:
    """Return a specification of data that means the same in any working folder."""
    return change_path(spec, absolute_path)


def absolute_path(path: str) -> str:
    """Return an absolute path, with the home folder in place of ``~``."""
    return str(real_path(home_path(path)))


BUILT_IN: dict[str, Callable[[], list[Sample]]] = {"digits": make_digits}

ACCEPTED = "a path, text such as 'captcha:FOLDER', or 'digits'"
"""Values that users give for a dataset."""

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
"""Endings of label files that can lie beside the images that they name."""

LABEL_FILE_NAMES = ("labels", "data", "train", "metadata", "words", "lines")
"""Label files of these names say nothing of what they are about; their folder does."""


def read_samples(spec: str, columns: Columns = NO_COLUMNS) -> list[Sample]:
    """Return the samples that a specification names; no picture is read.

    Args:
        spec: ``FORMAT:PATH`` with a format of ``FORMATS``, a path whose format is recognised
            (a folder's by the one label file in it, if need be), or ``digits``.
        columns: names of the columns of a table, or of the keys of JSON lines. Other data has
            none: a model may be evaluated on it that was trained on a table.

    Raises:
        DataError: unknown format or path, or labels that cannot be read.
    """
    if spec in BUILT_IN:
        return BUILT_IN[spec]()
    name, colon, path = spec.partition(":")
    formats = all_formats()
    if colon and name in formats:
        return _read(formats[name], _path(spec, path), columns)
    return _read_bare_path(spec, columns)


def data_spec(data: str | Path) -> str:
    """Return the specification of a dataset that is given as text or as a path.

    A path is never taken for ``FORMAT:PATH`` or a built-in set, whatever its name.

    Raises:
        DataError: a value of another type.
    """
    if isinstance(data, Path):
        path = data.absolute() if data.parts[:1] and data.parts[0].startswith("~") else data
        return str(path) if path.is_absolute() else f".{os.sep}{path}"
    if not isinstance(data, str) or not data:
        raise DataError(f"data: found {shown(data)}, must be {ACCEPTED}")
    return str(data)


def same_data(spec: str, other: str) -> bool:
    """Whether two specifications name the same file or folder, or the same built-in set."""
    return spec == other or _place(spec) == _place(other)


def _place(spec: str) -> str:
    name, _, path = spec.partition(":")
    if spec in BUILT_IN:
        return spec
    text = path if name in all_formats() else spec
    try:
        return str(_path(spec, text).resolve())
    except (DataError, OSError, RuntimeError, ValueError):  # no path, or links in a circle
        return spec


def data_name(spec: str) -> str:
    """Return a short name for a specification, for the name of a study."""
    path = Path(spec.rpartition(":")[2])
    folder_counts = path.suffix and path.stem in LABEL_FILE_NAMES
    return real_path(path).parent.name if folder_counts else path.stem or real_path(path).name


def _path(spec: str, text: str) -> Path:
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        problem = f"not a path ({reason})"
        raise DataError(f"{shortened(spec)}: {problem}; allowed are {_allowed()}") from None
    return path


def _allowed() -> str:
    return ", ".join([*(f"{name}:PATH" for name in FORMATS), *BUILT_IN])


def _read(label_format: LabelFormat, path: Path, columns: Columns) -> list[Sample]:
    if columns and label_format.read_columns is not None:
        return label_format.read_columns(path, columns)
    return label_format.read(path)


def _read_bare_path(spec: str, columns: Columns) -> list[Sample]:
    path = _path(spec, spec)
    formats = list(all_formats().values())
    label_format = _recognised(path, formats)
    if label_format is FORMATS["captcha"]:
        _refuse_table_among_images(spec, path)
    if label_format:
        return _read(label_format, path, columns)
    if path.is_dir():
        return _read_label_file_in(spec, path, formats, columns)
    problem = "format not recognised" if path.exists() else "no such file, folder or built-in set"
    raise DataError(f"{spec}: {problem}; allowed are {_allowed()}")


def _refuse_table_among_images(spec: str, folder: Path) -> None:
    """Refuse a folder whose labels can be the names of its images or the rows of a table."""
    tables = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in TABLE_SUFFIXES]
    if tables:
        raise DataError(
            f"{spec}: holds images and the table {tables[0].name}; give captcha:{folder} if the "
            f"names of the images are their labels, or {tables[0]}"
        )


def _recognised(path: Path, formats: list[LabelFormat]) -> LabelFormat | None:
    return next((one for one in formats if one.recognise(path)), None)


def _read_label_file_in(
    spec: str, folder: Path, formats: list[LabelFormat], columns: Columns
) -> list[Sample]:
    """Read the one label file of a folder whose pictures lie in folders below it."""
    paths = [path for path in sorted(folder.iterdir()) if path.is_file()]
    found = [(path, _recognised(path, formats)) for path in paths]
    label_files = [(path, label_format) for path, label_format in found if label_format]
    if len(label_files) > 1:
        names = ", ".join(path.name for path, _ in label_files)
        raise DataError(f"{spec}: several label files in this folder ({names}); name one of them")
    if not label_files:
        problem = "no images in this folder and no label format recognised"
        raise DataError(f"{spec}: {problem}; allowed are {_allowed()}")
    path, label_format = label_files[0]
    return _read(label_format, path, columns)
