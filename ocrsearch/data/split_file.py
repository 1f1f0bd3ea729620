"""Files that say the split of each sample: a table with columns ``name``, ``split``, ``group``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ocrsearch.data.formats.label_file import read_split
from ocrsearch.data.formats.table import read_rows
from ocrsearch.data.samples import Sample
from ocrsearch.errors import DataError
from ocrsearch.files import write_text_file
from ocrsearch.printable import plain_cell, quoted, spreadsheet_cell

COLUMNS = ("name", "split", "group")


def write_splits(samples: Sequence[Sample], path: Path) -> None:
    """Write the splits and groups of samples; the file appears whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows((_cell(s.name), s.split or "", _cell(s.group or "")) for s in samples)
    try:
        write_text_file(path, text.getvalue())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None


def apply_splits(samples: Sequence[Sample], path: Path) -> list[Sample]:
    """Return the samples with the splits and groups of a file, without those it leaves out.

    Args:
        samples: of the data that the file is about.
        path: a table with commas; a sample with an empty split is left out. The column group
            may be missing, and what else it names is not looked at.

    Raises:
        DataError: the file cannot be read, or does not name a sample.
    """
    rows = {
        plain_cell(row["name"] or ""): (
            read_split(row["split"], f"{path}: line {line}"),
            plain_cell(row.get("group") or ""),
        )
        for line, row in read_rows(path, ("name", "split"))
    }
    missing = [s.name for s in samples if _key(s.name) not in rows]
    if missing:
        raise DataError(
            f"{path} does not name {len(missing)} of {len(samples)} samples, first "
            f"{quoted(missing[0])}; write it anew with 'ocrsearch data split', or add them with an "
            "empty split to leave them out",
            "splits",
        )
    found = [(s, *rows[_key(s.name)]) for s in samples]
    return [replace(s, split=split, group=group or s.group) for s, split, group in found if split]


def is_splits_file(path: Path) -> bool:
    """Whether a file is a table with the columns that splits need."""
    try:
        return bool(read_rows(path, ("name", "split")))
    except DataError:
        return False


def _key(name: str) -> str:
    """Return a name, or a group found in one, as it can be written: it need not be Unicode."""
    return name.encode(errors="backslashreplace").decode().replace("\r", "\\r")


def _cell(name: str) -> str:
    return spreadsheet_cell(_key(name))
