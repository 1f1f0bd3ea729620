"""Building blocks shared by the label formats.

Reads label files, JSON and word lists within limits, finds the columns of a table, resolves image
paths within the dataset folder and lists the images of a folder. File names are treated as UTF-8
in any locale: with ``LANG=C`` Python would lose the letters of labels in file names.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ocrsearch.core import MAX_TEXT_BYTES, DataError, OptionError, quoted, read_text_file, real_path
from ocrsearch.data.images import is_image_file
from ocrsearch.data.samples import SPLITS, Split, is_split, normalize_label

MAX_LINES = 1_000_000
MAX_LINE = 1_000_000
"""Maximum length of a line, in characters."""

SPLIT_NAMES = {"training": "train", "validation": "val", "valid": "val", "dev": "val"}
"""Alternative names of splits."""

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
"""Recognised column names per role, ignoring case. The first name found is used."""

Columns = Mapping[str, str]
"""Column names chosen by the user, by role."""

NO_COLUMNS: Columns = MappingProxyType({})

MAX_NAMED = 5
"""Maximum number of file name extensions listed in a message."""

HEIC = frozenset({".heic", ".heif"})

MAX_CORPUS_BYTES = 10_000_000
"""Maximum size of a text file, in bytes. Counting its n-grams takes many times its size."""


def read_text(path: Path, format_name: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """Return the text of a label file, UTF-8 with or without a byte order mark.

    Raises:
        DataError: The file is missing, not regular, too large or not UTF-8.
    """
    return read_text_file(path, f"{format_name}:{path}", DataError, max_bytes=max_bytes)


def read_lines(path: Path, format_name: str, max_bytes: int = MAX_TEXT_BYTES) -> list[str]:
    """Return the lines of a label file.

    Raises:
        DataError: See ``read_text``. Also raised for too many lines or a line that is too long.
    """
    text = read_text(path, format_name, max_bytes)
    if text.count("\n") > MAX_LINES:
        raise DataError(f"{format_name}:{path}: more than {MAX_LINES:,} lines; split the file")
    lines = text.split("\n")  # not splitlines: labels may contain other line separators
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
    """Yield the position and the text of each line of a label file that is not blank.

    Raises:
        DataError: See ``read_lines``.
    """
    for number, line in enumerate(read_lines(path, format_name, max_bytes), start=1):
        if line.strip():
            yield f"line {number}", line


def parse_json(text: str, where: str) -> Any:
    """Return the value of JSON text.

    Raises:
        DataError: The text is not JSON, or has a duplicate key, a huge number or deep nesting.
    """
    try:
        return json.loads(text, object_pairs_hook=_reject_duplicate_keys)
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON (line {error.lineno}: {error.msg})") from None
    except (ValueError, RecursionError) as error:  # number too long, nesting too deep
        raise DataError(f"{where}: not JSON that can be read ({error})") from None


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    content: dict[str, object] = {}
    for key, value in pairs:
        if key in content:
            raise ValueError(f"duplicate key {quoted(key)}")
        content[key] = value
    return content


def tab_lines(path: Path, format_name: str) -> Iterator[tuple[str, str, str]]:
    """Yield the position, image path and label of each line of the form ``IMAGE TAB LABEL``.

    Raises:
        DataError: See ``read_lines``. Also raised for a line without a tab.
    """
    for where, line in numbered_lines(path, format_name):
        image, tab, label = line.partition("\t")
        if not tab:
            raise DataError(
                f"{format_name}:{path}: {where}: no tab in {line[:40]!r}; "
                "must be the image path, a tab and the text"
            )
        yield where, image, label


def image_path(label_file: Path, name: str, where: str, folder: Path | None = None) -> Path:
    """Return the path of an image listed in a label file.

    Args:
        label_file: Path of the label file, for messages.
        name: Image path as written in the label file.
        where: Position in the label file, for messages.
        folder: Folder that the path is relative to; by default that of the label file.

    Raises:
        DataError: The name is empty or the path leaves the folder.
    """
    folder = folder or label_file.parent
    path = folder / name_of_text(name)
    if not name.strip():
        raise DataError(f"{label_file}: {where}: image path is empty")
    try:
        inside = is_inside(path, folder)
    except (OSError, ValueError) as error:  # a null byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{label_file}: {where}: image {quoted(name)}: {reason}") from None
    if not inside:
        raise DataError(
            f"{label_file}: {where}: image {quoted(name)} is outside the file's folder; "
            "move the label file above its images"
        )
    return path


def check_inside(path: Path, folder: Path, format_name: str) -> None:
    """Reject a file of the dataset that is a link to a file outside its folder.

    Raises:
        DataError: The link leaves the folder.
    """
    if not is_inside(path, folder):
        raise DataError(f"{format_name}:{path}: a link to a file outside {folder}; copy the file")


def is_inside(path: Path, folder: Path) -> bool:
    """Return whether a path lies in a folder, after resolving all links."""
    return real_path(path).is_relative_to(real_path(folder))


def read_split(value: str | None, where: str) -> Split | None:
    """Return the split named by a field, ignoring case, or None for an empty field.

    Raises:
        DataError: The field names no split.
    """
    name = (value or "").strip().lower()
    name = SPLIT_NAMES.get(name, name)
    if is_split(name):
        return name
    if name:
        raise DataError(f"{where}: split is {quoted(value)}, must be one of {SPLITS}")
    return None


def parse_columns(text: str) -> Columns:
    """Return the columns chosen by a text such as ``image=FILE,text=LABEL``.

    Raises:
        OptionError: The text does not have this form.
    """
    columns: dict[str, str] = {}
    for part in text.split(",") if text else []:
        role, equals, name = part.partition("=")
        if not equals or not name or role.strip() not in USUAL_NAMES:
            allowed = ", ".join(f"{role}=NAME" for role in USUAL_NAMES)
            raise OptionError(f"must be some of {allowed}, got {part!r}", "columns")
        columns[role.strip()] = name.strip()
    return columns


def find_columns(found: Sequence[str], chosen: Columns) -> dict[str, str]:
    """Return the column name of each role (image, text, split, group) that is present.

    Args:
        found: Names of all columns.
        chosen: Names chosen by the user. They must match exactly.
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


def name_as_text(name: str) -> str:
    """Return the UTF-8 text of a file name as decoded by Python."""
    return (
        name
        if sys.getfilesystemencoding() == "utf-8"
        else os.fsencode(name).decode("utf-8", "surrogateescape")
    )


def name_of_text(text: str) -> str:
    """Return the file name for a text from a label file: the inverse of ``name_as_text``."""
    if sys.getfilesystemencoding() == "utf-8":
        return text
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


@dataclass(frozen=True)
class ImageFiles:
    """Sorted image files, and the number of other files per file name extension."""

    images: list[Path]
    skipped: dict[str, int]

    def describe_skipped(self) -> str:
        """Return "3 files skipped: .txt 2, .db 1", or "" if none were skipped."""
        n = sum(self.skipped.values())
        if not n:
            return ""
        counts = [f"{ending} {count}" for ending, count in self.skipped.items()]
        more = ["..."] if len(counts) > MAX_NAMED else []
        named = ", ".join([*counts[:MAX_NAMED], *more])
        heic = "; convert HEIC to JPEG or PNG" if HEIC & self.skipped.keys() else ""
        return f"{n} {'file' if n == 1 else 'files'} skipped: {named}{heic}"


def find_images(
    folder: Path, is_wanted: Callable[[Path], bool] = is_image_file, *, nested: bool = False
) -> ImageFiles:
    """Split the files of a folder into images and others. Hidden files are ignored.

    Args:
        folder: Folder to search.
        is_wanted: Function that returns whether a file is an image.
        nested: Whether to search subfolders too.
    """
    images: list[Path] = []
    skipped: Counter[str] = Counter()
    for path in sorted(folder.rglob("*") if nested else folder.iterdir()):
        *folders, name = path.relative_to(folder).parts
        # an image such as ``.75.png`` is not hidden: its label is .75
        is_hidden = name.startswith("._") or (name[0] == "." and not Path(name[1:]).suffix)
        if is_hidden or any(part[0] == "." for part in folders) or path.is_dir():
            continue
        if is_wanted(path):
            images.append(path)
        else:
            skipped[path.suffix.lower() or "without an extension"] += 1
    return ImageFiles(images, dict(skipped.most_common()))


def read_texts(path: Path, kind: str) -> list[str]:
    """Return the non-blank lines of a text file, in NFC and including repeated lines.

    White space within a line is collapsed to single spaces.

    Args:
        path: Path of the file, UTF-8 with or without a byte order mark.
        kind: Name of the file's role in messages: "corpus" or "lexicon".

    Raises:
        DataError: See ``read_lines``. Also raised if there are no entries.
    """
    lines = (normalize_label(line) for _, line in numbered_lines(path, kind, MAX_CORPUS_BYTES))
    texts = [" ".join(line.split()) for line in lines if line]
    if not texts:
        raise DataError(f"{kind}:{path}: empty; write one entry per line")
    return texts
