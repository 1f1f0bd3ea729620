"""``jsonl:FILE``: an object a line with ``image``, ``text``, and perhaps ``split`` and ``group``.

``file``, ``file_name`` and ``filename`` are taken for ``image``, ``label`` for ``text``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ocrsearch.data.formats.label_file import (
    numbered_lines,
    parse_json,
    picture_path,
    read_split,
)
from ocrsearch.data.samples import Sample, normalize_label
from ocrsearch.errors import DataError
from ocrsearch.printable import quoted

IMAGE_KEYS = ("image", "file", "file_name", "filename")
TEXT_KEYS = ("text", "label")


def recognise(path: Path) -> bool:
    """Whether a path given without a format is such a file."""
    return path.suffix.lower() in (".jsonl", ".ndjson") and path.is_file()


def read(path: Path) -> list[Sample]:
    """Read the lines of a file; picture paths are relative to it and stay in its folder.

    Raises:
        DataError: no such file, not UTF-8, a line that is not such an object, or no lines.
    """
    samples = [_sample(path, where, line) for where, line in numbered_lines(path, "jsonl")]
    if not samples:
        raise DataError(f"jsonl:{path}: no lines; needs an object with image and text in each")
    return samples


def _sample(path: Path, where: str, line: str) -> Sample:
    here = f"jsonl:{path}: {where}"
    entry = parse_json(line, here)
    if not isinstance(entry, dict):
        raise DataError(f"{here}: must be an object with image and text")
    name = _string(entry, IMAGE_KEYS, here) or ""
    label = _string(entry, TEXT_KEYS, here) or ""
    return Sample(
        name,
        picture_path(path, name, where),
        normalize_label(label),
        read_split(_string(entry, ("split",), here, needed=False), here),
        _string(entry, ("group",), here, needed=False) or None,
    )


def _string(
    entry: dict[str, Any], keys: tuple[str, ...], here: str, *, needed: bool = True
) -> str | None:
    """Return the value of the first key that is there."""
    key = next((key for key in keys if key in entry), keys[0])
    value = entry.get(key)
    if not isinstance(value, str) and (needed or value is not None):
        raise DataError(f"{here}: {key!r} must be a string, found {quoted(value)}")
    return value
