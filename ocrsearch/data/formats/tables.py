"""Labels in a single file: CSV, TSV, JSON lines and JSON.

``csv:FILE`` and ``tsv:FILE`` have a header with ``image``, ``text`` and optionally ``split`` and
``group``; ``jsonl:FILE`` has an object with these keys per line. Common alternative names are
recognised (see ``files.py``). The delimiter is detected: comma, semicolon or tab. A table without
a header is accepted if it has two columns and its first field is a file. ``labels:FILE`` is JSON
with lists ``train``, ``val`` and ``test`` of objects with ``filename`` and ``label``.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from ocrsearch.core import MAX_JSON_BYTES, DataError, quoted
from ocrsearch.data.formats.files import (
    NO_COLUMNS,
    USUAL_NAMES,
    Columns,
    find_columns,
    image_path,
    numbered_lines,
    parse_json,
    read_lines,
    read_split,
    read_text,
)
from ocrsearch.data.samples import SPLITS, Sample, normalize_label

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
DELIMITERS = {"csv": (",", ";", "\t"), "tsv": ("\t", ",", ";")}
"""Possible delimiters by format, the usual one first."""
NO_HEADER = ["image", "text"]

NumberedRows = list[tuple[int, dict[str, str | None]]]


def recognise_csv(path: Path) -> bool:
    """Return whether a path without a prefix is a CSV file."""
    return path.suffix.lower() == ".csv" and path.is_file()


def recognise_tsv(path: Path) -> bool:
    """Return whether a path without a prefix is a TSV file."""
    return path.suffix.lower() == ".tsv" and path.is_file()


def read_csv(path: Path, columns: Columns = NO_COLUMNS) -> list[Sample]:
    """Read the samples of a table, preferring commas as the delimiter; see ``_read``."""
    return _read(path, "csv", columns)


def read_tsv(path: Path, columns: Columns = NO_COLUMNS) -> list[Sample]:
    """Read the samples of a table, preferring tabs as the delimiter; see ``_read``."""
    return _read(path, "tsv", columns)


def _read(path: Path, format_name: str, chosen: Columns) -> list[Sample]:
    """Read the samples of a table. Image paths are relative to it and must stay in its folder.

    Raises:
        DataError: See ``read_rows``. Also raised for an unknown split.
    """
    lines = list(read_lines(path, format_name))
    delimiter, header = _delimiter(path, format_name, lines, chosen)
    found = header or _first_row(lines, delimiter)
    columns = find_columns(found, chosen)
    needed = [role for role in USUAL_NAMES if role in ("image", "text") or role in chosen]
    missing = [chosen.get(role, role) for role in needed if role not in columns]
    if missing:
        raise DataError(_no_columns(path, format_name, missing, found, ("image", "text")))
    image, text = columns["image"], columns["text"]
    split, group = columns.get("split", ""), columns.get("group", "")
    return [
        Sample(
            row[image] or "",
            image_path(path, row[image] or "", f"line {line}"),
            normalize_label(row[text] or ""),
            read_split(row.get(split), f"{format_name}:{path}: line {line}"),
            row.get(group) or None,
        )
        for line, row in _rows(path, format_name, lines, delimiter, header)
    ]


def _delimiter(
    path: Path, format_name: str, lines: Sequence[str], chosen: Columns
) -> tuple[str, list[str] | None]:
    """Return the delimiter, and a header if the table is two columns without a header."""
    for delimiter in DELIMITERS[format_name]:
        if {"image", "text"} <= find_columns(_first_row(lines, delimiter), chosen).keys():
            return delimiter, None
    for delimiter in () if chosen else DELIMITERS[format_name]:
        name, *others = _first_row(lines, delimiter) or [""]
        with suppress(OSError):  # name too long
            if name.strip() and len(others) == 1 and (path.parent / name).is_file():
                return delimiter, NO_HEADER
    return DELIMITERS[format_name][0], None


def _first_row(lines: Sequence[str], delimiter: str) -> list[str]:
    try:
        return next(csv.reader((f"{line}\n" for line in lines), delimiter=delimiter), [])
    except csv.Error:
        return []


def _rows(
    path: Path, format_name: str, lines: Sequence[str], delimiter: str, header: list[str] | None
) -> NumberedRows:
    separators = SEPARATORS[delimiter]
    text = (f"{line}\n" for line in lines)
    reader = csv.DictReader(text, header, delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise DataError(f"{format_name}:{path}: not a table with {separators} ({error})") from None
    if not rows:
        raise DataError(f"{format_name}:{path}: no rows below the header")
    for line, row in rows:
        if None in row:
            raise DataError(
                f"{format_name}:{path}: line {line}: more fields than columns; "
                f"quote text that contains {separators}"
            )
    return rows


def _no_columns(
    path: Path,
    format_name: str,
    missing: Sequence[str],
    found: Sequence[str],
    needed: Sequence[str],
) -> str:
    example = DELIMITERS[format_name][0].join(needed)
    advice = "; or choose columns: `columns='image=NAME,text=NAME'`" if "image" in needed else ""
    return (
        f"{format_name}:{path}: column {' and '.join(missing)} missing; found {quoted(found)}, "
        f"needs {example!r} in the first row{advice}"
    )


def read_rows(path: Path, needed: tuple[str, ...]) -> NumberedRows:
    """Read a table with a header. Blank lines are skipped and the delimiter is detected.

    Args:
        path: Path of the table.
        needed: Names of the required columns.

    Returns:
        Line number of each row (the last line if it has several) and its fields by column.

    Raises:
        DataError: The file is missing, not UTF-8 or not a table, or has no rows or lacks a
            required column.
    """
    lines = list(read_lines(path, "csv"))
    delimiter = next(
        (d for d in DELIMITERS["csv"] if set(needed) <= set(_first_row(lines, d))), ","
    )
    missing = [name for name in needed if name not in _first_row(lines, delimiter)]
    if missing:
        raise DataError(_no_columns(path, "csv", missing, _first_row(lines, delimiter), needed))
    return _rows(path, "csv", lines, delimiter, None)


def recognise_json_lines(path: Path) -> bool:
    """Return whether a path without a prefix is a JSON lines file."""
    return path.suffix.lower() in (".jsonl", ".ndjson") and path.is_file()


def read_json_lines(path: Path, columns: Columns = NO_COLUMNS) -> list[Sample]:
    """Read the samples of a JSON lines file. Image paths must stay in its folder.

    Raises:
        DataError: The file is missing, not UTF-8 or empty, or a line is not a valid object.
    """
    samples = []
    for where, line in numbered_lines(path, "jsonl"):
        here = f"jsonl:{path}: {where}"
        entry = parse_json(line, here)
        if not isinstance(entry, dict):
            raise DataError(f"{here}: must be an object with image and text")
        keys = {role: columns.get(role, role) for role in USUAL_NAMES}
        keys |= find_columns(list(entry), columns)
        name = _string(entry, keys["image"], here) or ""
        label = normalize_label(_string(entry, keys["text"], here) or "")
        image = image_path(path, name, where)
        split = read_split(_string(entry, keys["split"], here, needed="split" in columns), here)
        group = _string(entry, keys["group"], here, needed="group" in columns) or None
        samples.append(Sample(name, image, label, split, group))
    if not samples:
        raise DataError(f"jsonl:{path}: empty; each line must be an object with image and text")
    return samples


def _string(entry: Mapping[str, object], key: str, here: str, *, needed: bool = True) -> str | None:
    """Return the string value of a key. Unless needed, it may be missing or null."""
    value = entry.get(key)
    if not isinstance(value, str) and (needed or value is not None):
        raise DataError(f"{here}: {key!r} must be a string, found {quoted(value)}")
    return value


def recognise_labels(path: Path) -> bool:
    """Return whether a path without a prefix is a JSON file."""
    return path.suffix.lower() == ".json" and path.is_file()


def read_labels(path: Path) -> list[Sample]:
    """Read the samples of a JSON file. Image paths must stay in its folder.

    Raises:
        DataError: The file is missing or empty, or is not JSON of this form.
    """
    content = parse_json(read_text(path, "labels", MAX_JSON_BYTES), f"labels:{path}")
    lists = content if isinstance(content, dict) else {}
    for key, value in lists.items():
        if isinstance(value, list) and key not in SPLITS:  # other values are metadata
            raise DataError(
                f"labels:{path}: unknown list {quoted(key)}, must be one of {SPLITS}; rename it"
            )
    if not lists.keys() & set(SPLITS):
        raise DataError(f"labels:{path}: must be an object with at least one list of {SPLITS}")
    samples = []
    for split in SPLITS:
        entries = lists.get(split, [])
        if not isinstance(entries, list):
            found = type(entries).__name__
            raise DataError(f"labels:{path}: {split}: must be a list, found {found}")
        for i, entry in enumerate(entries):
            here = f"labels:{path}: {split}[{i}]"
            if not isinstance(entry, dict):
                raise DataError(f"{here}: must be an object with filename and label")
            name = _string(entry, "filename", here) or ""
            label = normalize_label(_string(entry, "label", here) or "")
            samples.append(Sample(name, image_path(path, name, f"{split}[{i}]"), label, split))
    if not samples:
        raise DataError(f"labels:{path}: all lists are empty: {quoted(sorted(lists))}")
    return samples
