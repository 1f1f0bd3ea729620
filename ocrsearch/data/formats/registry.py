"""Registry of label formats.

A format is a module with ``read`` and ``recognise`` functions. Other packages can add formats
with an entry point in the group ``ocrsearch.formats`` that names such a module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ocrsearch.core import DataError
from ocrsearch.data.formats import folders, published, tables
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


FORMATS: dict[str, LabelFormat] = {  # tried in this order for a path without a prefix
    "iam": LabelFormat(published.read_iam, published.recognise_iam),
    "kalapa": LabelFormat(published.read_kalapa, published.recognise_kalapa),
    "mnist": LabelFormat(published.read_mnist, published.recognise_mnist),
    "gt": LabelFormat(folders.read_gt, folders.recognise_gt),
    "labels": LabelFormat(tables.read_labels, tables.recognise_labels),
    "synth": LabelFormat(published.read_synth, published.recognise_synth),
    "jsonl": LabelFormat(
        tables.read_json_lines, tables.recognise_json_lines, tables.read_json_lines
    ),
    "csv": LabelFormat(tables.read_csv, tables.recognise_csv, tables.read_csv),
    "tsv": LabelFormat(tables.read_tsv, tables.recognise_tsv, tables.read_tsv),
    "ppocr": LabelFormat(published.read_ppocr, published.recognise_ppocr),
    "folders": LabelFormat(folders.read_folders, folders.recognise_folders),
    "captcha": LabelFormat(folders.read_captcha, folders.recognise_captcha),
}


def all_formats() -> dict[str, LabelFormat]:
    """Return all formats. Those of other packages come first, as they are more specific.

    Raises:
        DataError: A format of another package cannot be loaded.
    """
    others = {point.name: _load(point) for point in entry_points(group=ENTRY_POINTS)}
    return {**others, **FORMATS}


def _load(point: EntryPoint) -> LabelFormat:
    try:
        module = point.load()
        return LabelFormat(module.read, module.recognise)
    except Exception as error:  # another package's code may raise anything
        raise DataError(
            f"label format {point.name!r} ({point.value}): cannot be loaded ({error}); "
            "update or uninstall the package that provides it"
        ) from None
