"""Data specifications: ``FORMAT:PATH``, a bare path, or the name of a built-in dataset.

``FORMATS`` lists the label formats. Other packages can add formats with an entry point in the
group ``ocrsearch.formats`` that names a module with functions ``read`` and ``recognise``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrsearch.core import DataError, home_path, real_path, shortened
from ocrsearch.data import synthesis

if TYPE_CHECKING:
    from ocrsearch.data.formats.files import Columns
    from ocrsearch.data.samples import Sample

ENTRY_POINTS = "ocrsearch.formats"


@dataclass(frozen=True)
class LabelFormat:
    """Reader and detector of one kind of labelled data.

    Attributes:
        read: Function that lists the samples of a path.
        recognise: Function that returns whether a path without a prefix has this format.
        read_columns: Like ``read``, with column names chosen by the user. None if the format
            has no columns.
    """

    read: Callable[[Path], list[Sample]]
    recognise: Callable[[Path], bool]
    read_columns: Callable[[Path, Columns], list[Sample]] | None = None


def _built_in(module: str, name: str, *, has_columns: bool = False) -> LabelFormat:
    """Return a format of this package, with the functions ``read_NAME`` and ``recognise_NAME``.

    Their module is imported when the format is first used, because the help of commands lists the
    formats and must not load numpy or image libraries.
    """

    def function(kind: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            loaded = import_module(f"ocrsearch.data.formats.{module}")
            return getattr(loaded, f"{kind}_{name}")(*arguments)

        return call

    read = function("read")
    return LabelFormat(read, function("recognise"), read if has_columns else None)


FORMATS: dict[str, LabelFormat] = {  # tried in this order for a path without a prefix
    "iam": _built_in("published", "iam"),
    "kalapa": _built_in("published", "kalapa"),
    "mnist": _built_in("published", "mnist"),
    "gt": _built_in("folders", "gt"),
    "labels": _built_in("tables", "labels"),
    "synth": LabelFormat(
        lambda path: synthesis.read_synth(path), lambda path: synthesis.is_recipe_file(path)
    ),
    "jsonl": _built_in("tables", "json_lines", has_columns=True),
    "csv": _built_in("tables", "csv", has_columns=True),
    "tsv": _built_in("tables", "tsv", has_columns=True),
    "ppocr": _built_in("published", "ppocr"),
    "folders": _built_in("folders", "folders"),
    "captcha": _built_in("folders", "captcha"),
}

BUILT_IN: dict[str, Callable[[], list[Sample]]] = {"digits": lambda: synthesis.make_digits()}

ALLOWED = ", ".join([*(f"{name}:PATH" for name in FORMATS), *BUILT_IN])
"""Allowed specifications, for messages."""

ACCEPTED = "a path, text such as 'captcha:FOLDER', or 'digits'"
"""Values that users give for a dataset."""

DATA_PLACE = "data_place"
"""Study attribute: the data specification with an absolute path."""

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
"""Extensions of label files that may be stored beside their images."""

LABEL_FILE_NAMES = ("labels", "data", "train", "metadata", "words", "lines")
"""Usual names of label files. A dataset is named after their folder."""


def all_formats() -> dict[str, LabelFormat]:
    """Return all formats. Those of other packages come first, as they are more specific.

    Raises:
        DataError: A format of another package cannot be loaded.
    """
    others: dict[str, LabelFormat] = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            module = point.load()
            others[point.name] = LabelFormat(module.read, module.recognise)
        except Exception as error:  # another package's code may raise anything
            raise DataError(
                f"label format {point.name!r} ({point.value}): cannot be loaded ({error}); "
                "update or uninstall the package that provides it"
            ) from None
    return {**others, **FORMATS}


def read_samples(spec: str, columns: Columns | None = None) -> list[Sample]:
    """Return the samples of a dataset. Images are not read.

    Args:
        spec: ``FORMAT:PATH`` with a format of ``FORMATS``, a path whose format is recognised, or
            ``digits``. A folder may contain a single label file of a recognised format.
        columns: Column names of a table, or keys of JSON lines. Other formats ignore them, so
            that a model trained on a table can be evaluated on any data.

    Raises:
        DataError: The format or path is unknown, or the labels cannot be read.
    """
    if spec in BUILT_IN:
        return BUILT_IN[spec]()
    name, colon, text = spec.partition(":")
    formats = all_formats()
    if colon and name in formats:
        path, label_format = _path(spec, text), formats[name]
    else:
        path, label_format = _detect(spec, formats)
    if columns and label_format.read_columns is not None:
        return label_format.read_columns(path, columns)
    return label_format.read(path)


def _detect(spec: str, formats: Mapping[str, LabelFormat]) -> tuple[Path, LabelFormat]:
    """Return the path and the format of a specification without a format."""

    def recognised(path: Path) -> LabelFormat | None:
        return next((f for f in formats.values() if f.recognise(path)), None)

    path = _path(spec, spec)
    label_format = recognised(path)
    if label_format is FORMATS["captcha"]:
        # the labels can be the names of the images or the rows of a table
        label_files = [p for p in sorted(path.iterdir()) if p.suffix.lower() in TABLE_SUFFIXES]
        if label_files:
            raise DataError(
                f"{spec}: holds images and the table {label_files[0].name}; give captcha:{path} "
                f"if the names of the images are their labels, or {label_files[0]}"
            )
    if label_format:
        return path, label_format
    if not path.is_dir():
        exists = path.exists()
        problem = "format not recognised" if exists else "no such file, folder or built-in set"
        raise DataError(f"{spec}: {problem}; allowed are {ALLOWED}")
    # a folder with a single label file, whose images are in subfolders
    files = [p for p in sorted(path.iterdir()) if p.is_file()]
    found = [(p, file_format) for p in files if (file_format := recognised(p))]
    if len(found) > 1:
        names = ", ".join(p.name for p, _ in found)
        raise DataError(f"{spec}: several label files in this folder ({names}); name one of them")
    if not found:
        problem = "no images in this folder and no label format recognised"
        raise DataError(f"{spec}: {problem}; allowed are {ALLOWED}")
    return found[0]


def _path(spec: str, text: str) -> Path:
    try:
        path = Path(text).expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:  # too long, no such user, a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        problem = f"not a path ({reason})"
        raise DataError(f"{shortened(spec)}: {problem}; allowed are {ALLOWED}") from None
    return path


def data_spec(data: str | Path) -> str:
    """Return the specification of a dataset given as text or as a path.

    A path is never interpreted as ``FORMAT:PATH`` or as a built-in dataset.

    Raises:
        DataError: The value has another type or is empty.
    """
    if isinstance(data, Path):
        path = data.absolute() if data.parts[:1] and data.parts[0].startswith("~") else data
        return str(path) if path.is_absolute() else f".{os.sep}{path}"
    if not isinstance(data, str) or not data:
        from ocrsearch.core import shown  # loads pydantic

        raise DataError(f"data: found {shown(data)}, must be {ACCEPTED}")
    return str(data)


def absolute_spec(spec: str) -> str:
    """Return a specification with an absolute path, valid in any working folder."""
    return synthesis.change_path(spec, absolute_path)


def absolute_path(path: str) -> str:
    """Return an absolute path, with the home folder in place of ``~``."""
    return str(real_path(home_path(path)))


def same_data(spec: str, other: str) -> bool:
    """Return whether two specifications name the same file, folder or built-in dataset."""
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
