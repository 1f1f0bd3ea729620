"""``labels:FILE``: JSON with lists ``train``, ``val``, ``test`` of ``filename``, ``label``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ocrsearch.data.formats.label_file import parse_json, picture_path, read_text
from ocrsearch.data.samples import SPLITS, Sample, Split, normalize_label
from ocrsearch.errors import DataError
from ocrsearch.files import MAX_JSON_BYTES
from ocrsearch.printable import quoted


def recognise(path: Path) -> bool:
    """Whether a path given without a format is such a file."""
    return path.suffix.lower() == ".json" and path.is_file()


def read(path: Path) -> list[Sample]:
    """Read the splits of a labels file; picture paths are relative to it and stay in its folder.

    Raises:
        DataError: no such file, not JSON of this shape, or no entries.
    """
    content = parse_json(read_text(path, "labels", MAX_JSON_BYTES), f"labels:{path}")
    if not isinstance(content, dict):
        raise DataError(f"labels:{path}: needs an object with at least one list of {SPLITS}")
    _refuse_unknown_lists(path, content)
    if not content.keys() & set(SPLITS):
        raise DataError(f"labels:{path}: needs an object with at least one list of {SPLITS}")
    samples = [
        _sample(path, split, i, entry)
        for split in SPLITS
        for i, entry in enumerate(_entries(path, split, content.get(split, [])))
    ]
    if not samples:
        raise DataError(f"labels:{path}: its lists {quoted(sorted(content))} are all empty")
    return samples


def _refuse_unknown_lists(path: Path, content: dict[str, Any]) -> None:
    """What is no list, such as a description, is no misspelt split."""
    for key, value in content.items():
        if isinstance(value, list) and key not in SPLITS:
            raise DataError(
                f"labels:{path}: unknown list {quoted(key)}; the lists must be of {SPLITS}"
            )


def _entries(path: Path, split: Split, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"labels:{path}: {split}: must be a list, found {type(value).__name__}")
    return value


def _sample(path: Path, split: Split, i: int, entry: Any) -> Sample:
    where = f"{split}[{i}]"
    if not isinstance(entry, dict):
        raise DataError(f"labels:{path}: {where}: must be an object with filename and label")
    for key in ("filename", "label"):
        if not isinstance(entry.get(key), str):
            raise DataError(
                f"labels:{path}: {where}: {key!r} must be a string, found {quoted(entry.get(key))}"
            )
    name = entry["filename"]
    image = picture_path(path, name, where)
    return Sample(name, image, normalize_label(entry["label"]), split)
