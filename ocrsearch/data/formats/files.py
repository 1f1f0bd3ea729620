"""Files that label formats share: label files, columns, file names and image files.

What label files share: their text, their lines and splits, paths that stay in their folder.

Columns of tables, and keys of JSON lines: which of them hold image, text, split and group.

File names as text: UTF-8, whatever the locale says.

Python decodes names by the locale. With ``LANG=C`` and without its UTF-8 mode, the letters of a
label in a file name would be lost, and with a Latin-1 locale they would be others.

Which files of a folder are pictures, by their contents, and which are skipped.

Hidden files, and those that macOS leaves beside others, are ignored.

Text files of entries, one a line: a corpus for a language model, the words of a lexicon.
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
from ocrsearch.data.images import holds_picture
from ocrsearch.data.samples import SPLITS, Split, is_split, normalize_label

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
            raise OptionError(f"{text}: found {part!r}, allowed are {allowed}", "columns")
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


def name_as_text(name: str) -> str:
    """Return a file name, as Python gives it, as the text that its bytes are in UTF-8."""
    return name if _is_utf8() else os.fsencode(name).decode("utf-8", "surrogateescape")


def name_of_text(text: str) -> str:
    """Return the file name for Python of a text in a label file; the inverse of the other."""
    if _is_utf8():
        return text
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def _is_utf8() -> bool:
    return sys.getfilesystemencoding() == "utf-8"


MAX_NAMED = 5
"""Endings that a message names."""

HEIC = frozenset({".heic", ".heif"})


@dataclass(frozen=True)
class PictureFiles:
    """The pictures among some files, sorted, and how many others there are of each ending."""

    pictures: list[Path]
    skipped: dict[str, int]

    def describe_skipped(self) -> str:
        """Return "3 files skipped: .txt 2, .db 1", or nothing if there are none."""
        n = sum(self.skipped.values())
        if not n:
            return ""
        counts = [f"{ending} {count}" for ending, count in self.skipped.items()]
        more = ["..."] if len(counts) > MAX_NAMED else []
        named = ", ".join([*counts[:MAX_NAMED], *more])
        heic = "; convert HEIC to JPEG or PNG" if HEIC & self.skipped.keys() else ""
        return f"{n} {'file' if n == 1 else 'files'} skipped: {named}{heic}"


def find_pictures(
    folder: Path, is_wanted: Callable[[Path], bool] = holds_picture, *, nested: bool = False
) -> PictureFiles:
    """Sort the files of a folder into pictures and others; hidden ones count as neither.

    Args:
        folder: where to look.
        is_wanted: whether a file is taken.
        nested: whether folders below are looked into.
    """
    paths = sorted(folder.rglob("*") if nested else folder.iterdir())
    files = [path for path in paths if not _is_hidden(path, folder) and not path.is_dir()]
    taken = [is_wanted(path) for path in files]
    skipped = Counter(
        path.suffix.lower() or "without an ending"
        for path, is_taken in zip(files, taken, strict=True)
        if not is_taken
    )
    pictures = [path for path, is_taken in zip(files, taken, strict=True) if is_taken]
    return PictureFiles(pictures, dict(skipped.most_common()))


def _is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file is hidden; not an image whose label begins with a point, as ``.75.png``."""
    *folders, name = path.relative_to(folder).parts
    if any(part.startswith(".") for part in folders) or name.startswith("._"):
        return True
    return name.startswith(".") and not Path(name[1:]).suffix


MAX_BYTES = 10_000_000
"""Largest file of entries: counting its n-grams takes many times its size."""


def read_texts(path: Path, kind: str) -> list[str]:
    """Return the lines of a text file that are not blank, NFC, as often as they are there.

    White space within a line becomes one space.

    Args:
        path: UTF-8, with or without a byte order mark.
        kind: what to call it in messages: "corpus" or "lexicon".

    Raises:
        DataError: see ``read_lines``; nothing in it.
    """
    lines = (normalize_label(line) for _, line in numbered_lines(path, kind, MAX_BYTES))
    texts = [" ".join(line.split()) for line in lines if line]
    if not texts:
        raise DataError(f"{kind}:{path}: empty; give one entry a line")
    return texts
