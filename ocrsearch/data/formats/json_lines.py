"""``jsonl:FILE``: an object a line with ``image``, ``text``, and perhaps ``split`` and ``group``.

Keys of other usual names are recognised, see ``data/columns.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ocrsearch.data.columns import NO_COLUMNS, USUAL_NAMES, Columns, find_columns
from ocrsearch.data.formats.label_file import (
    numbered_lines,
    parse_json,
    picture_path,
    read_split,
)
from ocrsearch.data.samples import Sample, normalize_label
from ocrsearch.errors import DataError
from ocrsearch.printable import quoted


def recognise(path: Path) -> bool:
    """Whether a path given without a format is such a file."""
    return path.suffix.lower() in (".jsonl", ".ndjson") and path.is_file()


def read(path: Path, columns: Columns = NO_COLUMNS) -> list[Sample]:
    """Read the lines of a file; picture paths are relative to it and stay in its folder.

    Raises:
        DataError: no such file, not UTF-8, a line that is not such an object, or no lines.
    """
    samples = [_sample(path, where, line, columns) for where, line in numbered_lines(path, "jsonl")]
    if not samples:
        raise DataError(f"jsonl:{path}: no lines; needs an object with image and text in each")
    return samples


def _sample(path: Path, where: str, line: str, chosen: Columns) -> Sample:
    here = f"jsonl:{path}: {where}"
    entry = parse_json(line, here)
    if not isinstance(entry, dict):
        raise DataError(f"{here}: must be an object with image and text")
    keys = {role: chosen.get(role, role) for role in USUAL_NAMES} | find_columns(
        list(entry), chosen
    )
    name = _string(entry, keys["image"], here) or ""
    label = _string(entry, keys["text"], here) or ""
    return Sample(
        name,
        picture_path(path, name, where),
        normalize_label(label),
        read_split(_string(entry, keys["split"], here, needed="split" in chosen), here),
        _string(entry, keys["group"], here, needed="group" in chosen) or None,
    )


def _string(entry: dict[str, Any], key: str, here: str, *, needed: bool = True) -> str | None:
    """Return the value of a key, which may be missing or null unless it is needed."""
    value = entry.get(key)
    if not isinstance(value, str) and (needed or value is not None):
        raise DataError(f"{here}: {key!r} must be a string, found {quoted(value)}")
    return value
