"""What the label files share: reading their text, and paths that stay in their folder."""

from __future__ import annotations

from pathlib import Path

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


def picture_path(label_file: Path, name: str, where: str) -> Path:
    """Return the path of a picture that a label file names, relative to that file.

    Raises:
        DataError: no name, or the path leaves the label file's folder.
    """
    folder = label_file.parent
    path = folder / name
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
