"""Files read and written with care: text of a limited size, and outputs replaced atomically.

Every text file that a user names, or that a dataset brings with it, is read here: a pipe, a
device or a file of gigabytes is refused before it is opened. Every output goes through
``replacing``, so that a full disk or a crash leaves the old file in place.
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
"""Largest text file that is read, in bytes: label files, corpora, lexicons."""

MAX_JSON_BYTES = 32_000_000
"""Largest JSON file that is read, in bytes: parsed, it takes many times its size."""

MAX_YAML_BYTES = 1_000_000
"""Largest YAML file that is read, in bytes."""

SYSTEM_FOLDERS = ("/proc/", "/sys/")
"""Their files say that they are empty, and some have no end or wait for messages."""

UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")

TEMPORARY = ".tmp"
_TEMPORARY_NAME = re.compile(r"\..*\.(\d+)\.tmp")


def file_problem(path: Path, max_bytes: int) -> str | None:
    """Return the reason why a path cannot be read as a file, or None if it can.

    Args:
        path: file to be read; symbolic links are followed.
        max_bytes: largest size that is allowed.
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
        return "not a file (made by the system when it is read)"
    if status.st_size > max_bytes:
        size, limit = status.st_size / 1e6, max_bytes / 1e6
        return f"too large: {size:,.0f} MB, at most {limit:,.0f} MB"
    return None


def real_path(path: Path) -> Path:
    """Return an absolute path with all links followed, as far as they lead anywhere."""
    return Path(os.path.realpath(path))  # Path.resolve fails on a loop of links


def home_path(text: str) -> Path:
    """Return a path of which ``~`` is the home folder, if there is such a user."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path's fails if there is none


@contextmanager
def open_input(
    path: Path, where: str, error_class: type[OcrSearchError], max_bytes: int
) -> Iterator[BinaryIO]:
    """Open a file for reading, if it is a regular one and not too large.

    Args:
        path: file to read.
        where: name of the file in messages.
        error_class: class of the error to raise.
        max_bytes: largest size that is allowed.

    Raises:
        error_class: no such file, not a regular file, too large, or an error while it is read.
    """
    if problem := file_problem(path, max_bytes):
        raise error_class(f"{where}: {problem}")
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise error_class(f"{where}: cannot be read ({error.strerror or error})") from None


def read_start(path: Path, n_bytes: int) -> bytes:
    """Return the first bytes of a file, to see what it holds; none if it cannot be read."""
    try:
        with open_input(path, "", OcrSearchError, sys.maxsize) as file:
            return file.read(n_bytes)
    except OcrSearchError:
        return b""


def first_line(path: Path, max_bytes: int) -> bytes:
    """Return the first line of a file, or its beginning; nothing if it cannot be read."""
    return read_start(path, max_bytes).partition(b"\n")[0]


def output_problem(path: Path) -> str | None:
    """Return the reason why a file cannot be written, or None if it can.

    An output is checked before the work of hours that it is for. Missing parent folders are no
    reason: ``replacing`` makes them.
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
        path: file to read.
        where: name of the file in messages.
        error_class: class of the error to raise.
        max_bytes: largest size that is read.
        errors: handling of bytes that are not UTF-8, as for ``bytes.decode``.

    Raises:
        error_class: no such file, not a regular file, too large, or not UTF-8.
    """
    with open_input(path, where, error_class, max_bytes) as file:
        content = file.read(max_bytes + 1)  # it may have grown since
    if len(content) > max_bytes:
        raise error_class(f"{where}: too large: over {max_bytes / 1e6:,.0f} MB")
    if content.startswith(UTF_16_MARKS):
        raise error_class(f"{where}: UTF-16 text; save it as UTF-8")
    try:
        text = content.decode("utf-8-sig", errors)
    except UnicodeDecodeError as error:
        raise error_class(f"{where}: not UTF-8 (byte {error.start}); save it as UTF-8") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside an output, which replaces the output at the end.

    The output appears whole or not at all. If the body fails, the old file stays and the
    temporary one is removed. Missing parent folders are made.

    Args:
        path: file to write.

    Yields:
        The path to write to.

    Raises:
        OSError: the file cannot be written; ``filename`` is the output's.
    """
    target = real_path(path)  # a link stays a link
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


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside an output folder, which replaces it at the end.

    As ``replacing``; a folder that is there already is removed when the new one is complete.

    Args:
        folder: to write.

    Yields:
        The folder to write to, which is empty.

    Raises:
        OSError: the folder or a file in it cannot be written; ``filename`` is the folder's.
    """
    temporary = temporary_path(folder)
    _remove_leftovers_of(folder)
    try:
        shutil.rmtree(temporary, ignore_errors=True)  # of a killed process with this number
        temporary.mkdir(parents=True)
        yield temporary
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as error:
        raise _named(error, folder) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(folder: Path, min_age_s: float = 0.0) -> None:
    """Remove the temporary files and folders of ``replacing`` that killed processes left.

    Files of a process that is alive on this machine stay.

    Args:
        folder: searched with all folders in it.
        min_age_s: younger files stay, as those of another machine.
    """
    for path in folder.rglob(f".*{TEMPORARY}"):
        _remove_leftover(path, min_age_s)


def _remove_leftovers_of(output: Path) -> None:
    """Remove what a killed process left of an earlier attempt to write an output."""
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
    with suppress(OSError):  # another process was quicker
        if time.time() - path.lstat().st_mtime < min_age_s:
            return
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _is_alive(process_id: int) -> bool:
    if os.name == "nt":  # where this would be Ctrl-C
        return True
    try:
        os.kill(process_id, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's
        return True
    return True


def temporary_path(path: Path) -> Path:
    """Return a path beside an output; what a killed process leaves there is removed later."""
    return path.parent / f"{_temporary_start(path)}{os.getpid()}{TEMPORARY}"


def _temporary_start(path: Path) -> str:
    return f".{path.name[:60]}."  # a name has at most 255 bytes


def _named(error: OSError, path: Path) -> OSError:
    return OSError(error.errno or errno.EIO, error.strerror or str(error), str(path))


def write_text_file(path: Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all; parts that are not Unicode become escapes.

    Raises:
        OSError: it cannot be written; see ``replacing``.
    """
    with replacing(path) as temporary:
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))
