"""Registry of label formats.

A format is a module with ``read`` and ``recognise`` functions. Other packages can add formats
with an entry point in the group ``ocrsearch.formats`` that names such a module.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ocrsearch.core import DataError

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
    "synth": _built_in("published", "synth"),
    "jsonl": _built_in("tables", "json_lines", has_columns=True),
    "csv": _built_in("tables", "csv", has_columns=True),
    "tsv": _built_in("tables", "tsv", has_columns=True),
    "ppocr": _built_in("published", "ppocr"),
    "folders": _built_in("folders", "folders"),
    "captcha": _built_in("folders", "captcha"),
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
