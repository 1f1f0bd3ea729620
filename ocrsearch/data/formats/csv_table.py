"""``csv:FILE``: a table with columns ``image`` and ``text`` and perhaps ``split``."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ocrsearch.data.formats.paths import picture_path, read_text
from ocrsearch.data.samples import SPLITS, Sample, Split, is_split, normalize_label
from ocrsearch.errors import DataError


def recognise(path: Path) -> bool:
    """Whether a path given without a format is such a file."""
    return path.suffix.lower() == ".csv" and path.is_file()


def read(path: Path) -> list[Sample]:
    """Read the rows of a table; picture paths are relative to it and stay in its folder.

    Raises:
        DataError: no such file, not UTF-8, a column missing, an unknown split, no rows.
    """
    text = read_text(path, "csv")
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"csv:{path}: not a table with commas ({error})") from None
    found = list(rows[0]) if rows else next(csv.reader(io.StringIO(text, newline="")), [])
    missing = [name for name in ("image", "text") if name not in found]
    if missing:
        raise DataError(
            f"csv:{path}: column {' and '.join(missing)} missing; found {found}, "
            "needs image,text and optionally split in the first row"
        )
    if not rows:
        raise DataError(f"csv:{path}: no rows below the header")
    for i, row in enumerate(rows, start=2):
        if None in row:
            raise DataError(
                f"csv:{path}: row {i}: more fields than columns; "
                "put quotes around a text with commas"
            )
    return [
        Sample(
            row["image"] or f"row {i}",
            picture_path(path, row["image"] or "", f"row {i}"),
            normalize_label(row["text"] or ""),
            _split(path, i, row.get("split")),
        )
        for i, row in enumerate(rows, start=2)
    ]


def _split(path: Path, row: int, value: str | None) -> Split | None:
    name = (value or "").strip().lower()
    if is_split(name):
        return name
    if name:
        raise DataError(f"csv:{path}: row {row}: split is {value!r}, must be one of {SPLITS}")
    return None
