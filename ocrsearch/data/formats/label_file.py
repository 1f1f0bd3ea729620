"""What label files share: their text, their lines and splits, paths that stay in their folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ocrsearch.data.file_names import name_of_text
from ocrsearch.data.samples import SPLITS, Split, is_split
from ocrsearch.errors import DataError
from ocrsearch.files import MAX_TEXT_BYTES, read_text_file, real_path
from ocrsearch.printable import quoted

MAX_LINES = 1_000_000
MAX_LINE = 1_000_000
"""Longest line, in characters."""


def read_text(path: Path, format_name: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return a label file's text, UTF-8 with or without a byte order mark.

    Raises:
        DataError: no such file, not a regular file, too large, or not UTF-8.
    """
    return read_text_file(path, f"{format_name}:{path}", DataError, max_bytes=max_bytes)


def read_lines(path: Path, format_name: str, max_bytes: int = MAX_TEXT_BYTES) -> list[str]:
    """Return the lines of a label file.

    Raises:
        DataError: see ``read_text``; too many lines, or a line that is too long.
    """
    text = read_text(path, format_name, max_bytes)
    if text.count("\n") > MAX_LINES:
        raise DataError(f"{format_name}:{path}: more than {MAX_LINES:,} lines; use a part of it")
    lines = text.split("\n")  # labels may hold other line separators
    for number, line in enumerate(lines, start=1):
        if len(line) > MAX_LINE:
            raise DataError(
                f"{format_name}:{path}: line {number}: {len(line):,} characters, at most "
                f"{MAX_LINE:,}"
            )
    return lines


def numbered_lines(
    path: Path, format_name: str, max_bytes: int = MAX_TEXT_BYTES
) -> Iterator[tuple[str, str]]:
    """Yield the lines of a label file that are not blank, each with where it is.

    Raises:
        DataError: see ``read_lines``.
    """
    for number, line in enumerate(read_lines(path, format_name, max_bytes), start=1):
        if line.strip():
            yield f"line {number}", line


def parse_json(text: str, where: str) -> Any:
    """Return the value of JSON text.

    Raises:
        DataError: not JSON, or JSON that no data set needs: a key given twice, a huge number,
            deep nesting.
    """
    try:
        return json.loads(text, object_pairs_hook=_without_doubles)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError) as error:  # too long a number, too deeply nested
        raise DataError(f"{where}: not JSON that can be read ({error})") from None


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"key {quoted(key)} twice")
        content[key] = value
    return content


def tab_lines(path: Path, format_name: str) -> Iterator[tuple[str, str, str]]:
    """Yield where, picture and label of each line of a file of ``picture TAB label``.

    Raises:
        DataError: see ``read_text``; a line without a tab.
    """
    for where, line in numbered_lines(path, format_name):
        picture, tab, label = line.partition("\t")
        if not tab:
            raise DataError(
                f"{format_name}:{path}: {where}: no tab in {line[:40]!r}; "
                "needs the picture's path, a tab, and its text"
            )
        yield where, picture, label


def picture_path(label_file: Path, name: str, where: str, folder: Path | None = None) -> Path:
    """Return the path of a picture that a label file names.

    Args:
        label_file: named in messages.
        name: the path as it stands there.
        where: in the file, for messages.
        folder: what the path is relative to; the label file's own if none is given.

    Raises:
        DataError: no name, or the path leaves the folder.
    """
    folder = folder or label_file.parent
    path = folder / name_of_text(name)
    if not name.strip():
        raise DataError(f"{label_file}: {where}: the picture's name is empty")
    try:
        inside = is_inside(path, folder)
    except (OSError, ValueError) as error:  # a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{label_file}: {where}: picture {quoted(name)}: {reason}") from None
    if not inside:
        raise DataError(
            f"{label_file}: {where}: picture {quoted(name)} is outside the file's folder; "
            "move the label file above its pictures"
        )
    return path


def check_inside(path: Path, folder: Path, format_name: str) -> None:
    """Refuse a text that a folder brings with it and that is a link to elsewhere.

    Raises:
        DataError: the link leaves the folder.
    """
    if not is_inside(path, folder):
        raise DataError(f"{format_name}:{path}: a link to a file outside {folder}; copy the file")


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, with all links followed, lies in a folder."""
    return real_path(path).is_relative_to(real_path(folder))


SPLIT_NAMES = {"training": "train", "validation": "val", "valid": "val", "dev": "val"}
"""Other usual names of splits."""


def read_split(value: str | None, where: str) -> Split | None:
    """Return the split that a field names, in any case, or None where it is empty.

    Raises:
        DataError: another word.
    """
    name = (value or "").strip().lower()
    name = SPLIT_NAMES.get(name, name)
    if is_split(name):
        return name
    if name:
        raise DataError(f"{where}: split is {quoted(value)}, must be one of {SPLITS}")
    return None
