"""What label files share: their text, their lines and splits, paths that stay in their folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ocrsearch.data.file_names import name_of_text
from ocrsearch.data.samples import SPLITS, Split, is_split
from ocrsearch.errors import DataError


def read_text(path: Path, format_name: str) -> str:
    """Return a label file's text, UTF-8 with or without a byte order mark.

    Raises:
        DataError: no such file, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{format_name}:{path}: no such file") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{format_name}:{path}: not UTF-8 (byte {error.start}); save it as UTF-8"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{format_name}:{path}: not a file that can be read ({error})") from None


def numbered_lines(path: Path, format_name: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of a label file that are not blank, each with where it is.

    Raises:
        DataError: see ``read_text``.
    """
    lines = read_text(path, format_name).split("\n")  # labels may hold other line separators
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"line {number}", line.removesuffix("\r")


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
        inside = path.resolve().is_relative_to(folder.resolve())
    except RuntimeError:  # a loop of links: nothing is read there, and reading says why
        return path
    except (OSError, ValueError) as error:  # a null byte
        raise DataError(f"{label_file}: {where}: picture {name!r}: {error}") from None
    if not inside:
        raise DataError(
            f"{label_file}: {where}: picture {name!r} is outside the file's folder; "
            "move the label file above its pictures"
        )
    return path


def read_split(value: str | None, where: str) -> Split | None:
    """Return the split that a field names, in any case, or None where it is empty.

    Raises:
        DataError: another word.
    """
    name = (value or "").strip().lower()
    if is_split(name):
        return name
    if name:
        raise DataError(f"{where}: split is {value!r}, must be one of {SPLITS}")
    return None
