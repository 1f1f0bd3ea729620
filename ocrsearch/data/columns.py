"""Columns of tables, and keys of JSON lines: which of them hold image, text, split and group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from ocrsearch.errors import OptionError

USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "image": (
        *("image", "image_path", "img_path", "file_path", "filepath", "path", "file_name"),
        *("filename", "file", "image_name", "image_file", "img", "picture"),
    ),
    "text": (
        *("text", "label", "transcription", "transcript", "ground_truth", "groundtruth", "gt"),
        *("gt_text", "words", "word", "labels", "target"),
    ),
    "split": ("split",),
    "group": ("group",),
}
"""Names that are recognised in any case, the first one that is there."""

Columns = Mapping[str, str]
"""Chosen names, by what the column holds."""

NO_COLUMNS: Columns = MappingProxyType({})


def parse_columns(text: str) -> Columns:
    """Return the columns that a text such as ``image=FILE,text=LABEL`` chooses.

    Raises:
        OptionError: not such a text.
    """
    columns: dict[str, str] = {}
    for part in text.split(",") if text else []:
        role, equals, name = part.partition("=")
        if not equals or not name or role.strip() not in USUAL_NAMES:
            allowed = ", ".join(f"{role}=NAME" for role in USUAL_NAMES)
            raise OptionError(f"--columns {text}: found {part!r}, allowed are {allowed}")
        columns[role.strip()] = name.strip()
    return columns


def find_columns(found: Sequence[str], chosen: Columns) -> dict[str, str]:
    """Return the names among those found that hold image, text, split and group, if any does.

    Args:
        found: names of all columns.
        chosen: columns that the user names; these must be there as written.
    """
    by_name = {name.strip().casefold().replace(" ", "_"): name for name in reversed(found)}
    columns: dict[str, str] = {}
    for role, usual in USUAL_NAMES.items():
        if role in chosen:
            names = [name for name in found if name.strip() == chosen[role]]
        else:
            names = [by_name[name] for name in usual if name in by_name]
        if names:
            columns[role] = names[0]
    return columns
