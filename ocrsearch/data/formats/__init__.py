"""Label formats: each a module with ``read`` and ``recognise``, and a line in the registry.

Other packages add theirs by an entry point of the group ``ocrsearch.formats`` that names such
a module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from ocrsearch.data.columns import Columns
from ocrsearch.data.formats import (
    captcha,
    class_folders,
    gt_folder,
    iam,
    json_lines,
    kalapa,
    labels_json,
    mnist,
    ppocr,
    synth,
    table,
)
from ocrsearch.data.samples import Sample
from ocrsearch.errors import DataError

ENTRY_POINTS = "ocrsearch.formats"


@dataclass(frozen=True)
class LabelFormat:
    """How to read a kind of labelled data, and to know it by a bare path.

    Attributes:
        read: lists the samples of a path.
        recognise: whether a bare path is of this kind.
        read_columns: does what ``read`` does with columns of other names, if it has columns.
    """

    read: Callable[[Path], list[Sample]]
    recognise: Callable[[Path], bool]
    read_columns: Callable[[Path, Columns], list[Sample]] | None = None


FORMATS: dict[str, LabelFormat] = {  # a bare path is of the first one that recognises it
    "iam": LabelFormat(iam.read, iam.recognise),
    "kalapa": LabelFormat(kalapa.read, kalapa.recognise),
    "mnist": LabelFormat(mnist.read, mnist.recognise),
    "gt": LabelFormat(gt_folder.read, gt_folder.recognise),
    "labels": LabelFormat(labels_json.read, labels_json.recognise),
    "synth": LabelFormat(synth.read, synth.recognise),
    "jsonl": LabelFormat(json_lines.read, json_lines.recognise, json_lines.read),
    "csv": LabelFormat(table.read_csv, table.recognise_csv, table.read_csv),
    "tsv": LabelFormat(table.read_tsv, table.recognise_tsv, table.read_tsv),
    "ppocr": LabelFormat(ppocr.read, ppocr.recognise),
    "folders": LabelFormat(class_folders.read, class_folders.recognise),
    "captcha": LabelFormat(captcha.read, captcha.recognise),
}


def all_formats() -> dict[str, LabelFormat]:
    """Return the formats of other packages, which know their data best, and then ours.

    Raises:
        DataError: one of another package cannot be loaded.
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
            "mend or remove the package that brings it"
        ) from None
