"""Safe file access: size limits on input, atomic replacement of output, harmless table cells.

All text files named by a user or a dataset are read here. Pipes, devices and oversized files are
rejected before they are opened. All output goes through ``replacing``, so that a full disk or a
crash leaves the previous file intact.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ocrsearch.core.errors import OcrSearchError

MAX_TEXT_BYTES = 64_000_000
"""Maximum size of label files, corpora and lexicons, in bytes."""

MAX_JSON_BYTES = 32_000_000
"""Maximum size of a JSON file, in bytes. Parsing needs several times as much memory."""

MAX_YAML_BYTES = 1_000_000
"""Maximum size of a YAML file, in bytes."""

SYSTEM_FOLDERS = ("/proc/", "/sys/")
"""Folders of virtual files, which report size 0 although some are endless or block."""

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""Characters that make spreadsheets evaluate a table cell as a formula."""

TEMPORARY = ".tmp"
_TEMPORARY_NAME = re.compile(r"\..*\.(\d+)\.tmp")


def file_problem(path: Path, max_bytes: int) -> str | None:
    """Return the reason why a path cannot be read as a file, or None if it can.

    Args:
        path: Path of the file. Symbolic links are followed.
        max_bytes: Maximum size in bytes.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError) as error:  # ValueError: a null byte in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return f"cannot be read ({reason or error})"
    if stat.S_ISDIR(status.st_mode):
        return "a folder, not a file"
    if not stat.S_ISREG(status.st_mode):
        return "not a file (a pipe, socket or device)"
    if str(real_path(path)).startswith(SYSTEM_FOLDERS):
        return "not a regular file (a virtual file of the system)"
    if status.st_size > max_bytes:
        size, limit = status.st_size / 1e6, max_bytes / 1e6
        return f"too large: {size:,.0f} MB, at most {limit:,.0f} MB"
    return None


def real_path(path: Path) -> Path:
    """Return an absolute path with symbolic links resolved, even if the target is missing."""
    return Path(os.path.realpath(path))  # Path.resolve fails on link loops


def home_path(text: str) -> Path:
    """Return a path with ``~`` expanded to the home folder, if the user exists."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser fails otherwise


@contextmanager
def open_input(
    path: Path, where: str, error_class: type[OcrSearchError], max_bytes: int
) -> Iterator[BinaryIO]:
    """Open a regular file of limited size for reading.

    Args:
        path: Path of the file.
        where: Name of the file in messages.
        error_class: Class of the errors to raise.
        max_bytes: Maximum size in bytes.

    Raises:
        error_class: The file is missing, not regular, too large or cannot be read.
    """
    if problem := file_problem(path, max_bytes):
        raise error_class(f"{where}: {problem}")
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise error_class(f"{where}: cannot be read ({error.strerror or error})") from None


def read_start(path: Path, n_bytes: int) -> bytes:
    """Return the first bytes of a file to detect its type, or ``b""`` if it is unreadable."""
    try:
        with open_input(path, "", OcrSearchError, sys.maxsize) as file:
            return file.read(n_bytes)
    except OcrSearchError:
        return b""


def first_line(path: Path, max_bytes: int) -> bytes:
    """Return the first line of a file up to ``max_bytes``, or ``b""`` if it is unreadable."""
    return read_start(path, max_bytes).partition(b"\n")[0]


def output_problem(path: Path) -> str | None:
    """Return the reason why a file cannot be written, or None if it can.

    Called before hours of work are spent on the output. Missing parent folders are not a
    problem because ``replacing`` creates them.
    """
    try:
        if path.is_dir():
            return "a folder; give the name of a file"
        if path.exists() and not path.is_file():
            return "not a file (a pipe, socket or device)"
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir():
            return f"{folder} is a file, not a folder"
        probe = folder / f".{path.name}.{os.getpid()}.tmp"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return f"cannot be written ({error.strerror or error})"
    return None


def read_text_file(
    path: Path,
    where: str,
    error_class: type[OcrSearchError],
    *,
    max_bytes: int = MAX_TEXT_BYTES,
    errors: str = "strict",
) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark.

    Args:
        path: Path of the file.
        where: Name of the file in messages.
        error_class: Class of the errors to raise.
        max_bytes: Maximum size in bytes.
        errors: Treatment of invalid UTF-8, as in ``bytes.decode``.

    Raises:
        error_class: The file is missing, not regular, too large or not UTF-8.
    """
    with open_input(path, where, error_class, max_bytes) as file:
        content = file.read(max_bytes + 1)  # the file may have grown since the check
    if len(content) > max_bytes:
        raise error_class(f"{where}: too large, at most {max_bytes / 1e6:,.0f} MB")
    if content.startswith(UTF_16_MARKS):
        raise error_class(f"{where}: UTF-16 text, must be UTF-8; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise error_class(f"{where}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Provide a temporary path that replaces the output file when the body succeeds.

    The output appears completely or not at all. If the body fails, the previous file is kept
    and the temporary file is removed. Missing parent folders are created.

    Args:
        path: Path of the output file.

    Yields:
        Path to write to.

    Raises:
        OSError: The file cannot be written. ``filename`` is the output path.
    """
    target = real_path(path)  # keeps symbolic links
    temporary = temporary_path(target)
    _remove_leftovers_of(target)
    try:
        if target.exists() and not target.is_file():
            raise OSError(errno.EINVAL, "is not a file; give the name of a file")
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except OSError as error:
        raise _named(error, path) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_text_file(path: Path, text: str) -> None:
    """Write text as UTF-8 atomically. Lone surrogates become escapes.

    Raises:
        OSError: The file cannot be written; see ``replacing``.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Provide a temporary folder that replaces the output folder when the body succeeds.

    Like ``replacing``. An existing folder is removed once the new folder is complete.

    Args:
        folder: Path of the output folder.

    Yields:
        Empty folder to write to.

    Raises:
        OSError: The folder or a file in it cannot be written. ``filename`` is the output path.
    """
    temporary = temporary_path(folder)
    _remove_leftovers_of(folder)
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # left by a killed process with our id
        temporary.mkdir(parents=True)
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        raise _named(error, folder) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path, min_age_s: float = 0.0) -> None:
    """Remove temporary files and folders left by killed processes.

    Files of processes that are alive on this machine are kept.

    Args:
        folder: Folder to search recursively.
        min_age_s: Minimum age of files to remove, in seconds. Protects other machines' files.
    """
    for path in folder.rglob(f".*{TEMPORARY}"):
        _remove_leftover(path, min_age_s)


def _remove_leftovers_of(output: Path) -> None:
    """Remove the temporary files of earlier, killed attempts to write an output."""
    with suppress(OSError):
        start = _temporary_start(output)
        names = [p.name for p in output.parent.iterdir() if p.name.startswith(start)]
        for name in names:
            if name.removeprefix(start).removesuffix(TEMPORARY).isdecimal():
                _remove_leftover(output.parent / name)


def _remove_leftover(path: Path, min_age_s: float = 0.0) -> None:
    match = _TEMPORARY_NAME.fullmatch(path.name)
    if match is None or _is_alive(int(match[1])):
        return
    with suppress(OSError):  # another process may remove it first
        if time.time() - path.lstat().st_mtime < min_age_s:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_alive(process_id: int) -> bool:
    if os.name == "nt":  # os.kill(id, 0) would send Ctrl-C
        return True
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # belongs to another user
        return True
    return True


def temporary_path(path: Path) -> Path:
    """Return a temporary path beside an output, recognised and removed if we are killed."""
    return path.parent / f"{_temporary_start(path)}{os.getpid()}{TEMPORARY}"


def _temporary_start(path: Path) -> str:
    return f".{path.name[:60]}."  # file names have at most 255 bytes


def _named(error: OSError, path: Path) -> OSError:
    """Return an error that names the output instead of its temporary file."""
    return OSError(error.errno or errno.EIO, error.strerror or str(error), str(path))


def spreadsheet_cell(text: str) -> str:
    """Return a table cell that spreadsheets do not evaluate as a formula.

    Text that begins like a formula gets a leading apostrophe. ``plain_cell`` removes it.
    """
    return f"'{text}" if text.lstrip("'").startswith(FORMULA_STARTS) else text


def plain_cell(cell: str) -> str:
    """Return the text of a cell written by ``spreadsheet_cell``."""
    is_marked = cell.startswith("'") and cell.lstrip("'").startswith(FORMULA_STARTS)
    return cell[1:] if is_marked else cell
