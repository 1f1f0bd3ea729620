"""``csv:FILE`` and ``tsv:FILE``: columns ``image``, ``text``, and perhaps ``split`` and ``group``.

Fields are parted by commas or by tabs; either way a field in quotes may hold them.
"""

from __future__ import annotations

import csv
from pathlib import Path

from ocrsearch.data.formats.label_file import picture_path, read_lines, read_split
from ocrsearch.data.samples import Sample, normalize_label
from ocrsearch.errors import DataError
from ocrsearch.printable import quoted

DELIMITERS = {"csv": ("commas", ","), "tsv": ("tabs", "\t")}

NumberedRows = list[tuple[int, dict[str, str | None]]]


def recognise_csv(path: Path) -> bool:
    """Whether a path given without a format is a table with commas."""
    return path.suffix.lower() == ".csv" and path.is_file()


def recognise_tsv(path: Path) -> bool:
    """Whether a path given without a format is a table with tabs."""
    return path.suffix.lower() == ".tsv" and path.is_file()


def read_csv(path: Path) -> list[Sample]:
    """Read the rows of a table with commas; see ``_read``."""
    return _read(path, "csv")


def read_tsv(path: Path) -> list[Sample]:
    """Read the rows of a table with tabs; see ``_read``."""
    return _read(path, "tsv")


def read_rows(path: Path, format_name: str, needed: tuple[str, ...]) -> NumberedRows:
    """Read a table with a header; blank lines are skipped.

    Args:
        path: the file.
        format_name: "csv" or "tsv".
        needed: names of columns that must be there.

    Returns:
        The number of the (last) line of each row, and its fields by their column.

    Raises:
        DataError: no such file, not UTF-8, not such a table, a column missing, no rows.
    """
    lines = read_lines(path, format_name)
    separators, delimiter = DELIMITERS[format_name]
    file = (f"{line}\n" for line in lines)
    reader = csv.DictReader(file, delimiter=delimiter, strict=True)
    try:
        found = list(reader.fieldnames or [])
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{format_name}:{path}: not a table with {separators} ({error})") from None
    missing = [name for name in needed if name not in found]
    if missing:
        raise DataError(
            f"{format_name}:{path}: column {' and '.join(missing)} missing; found {quoted(found)}, "
            f"needs {delimiter.join(needed)!r} in the first row"
        )
    if not rows:
        raise DataError(f"{format_name}:{path}: no rows below the header")
    for line, row in rows:
        if None in row:
            raise DataError(
                f"{format_name}:{path}: line {line}: more fields than columns; "
                f"put quotes around a text with {separators}"
            )
    return rows


def _read(path: Path, format_name: str) -> list[Sample]:
    """Read the rows of a table; picture paths are relative to it and stay in its folder.

    Raises:
        DataError: see ``read_rows``; an unknown split.
    """
    return [
        Sample(
            row["image"] or "",
            picture_path(path, row["image"] or "", f"line {line}"),
            normalize_label(row["text"] or ""),
            read_split(row.get("split"), f"{format_name}:{path}: line {line}"),
            row.get("group") or None,
        )
        for line, row in read_rows(path, format_name, ("image", "text"))
    ]
