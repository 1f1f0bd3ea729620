"""Zip archives from outside, checked before anything in them is unpacked.

Model files and language models are such archives. A member may claim any size, share its bytes
with others or unpack to terabytes: each is compared with the file before a byte is read.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ocrsearch.files import file_problem
from ocrsearch.printable import printable

MAX_FILE_BYTES = 1_000_000_000
"""Largest archive that is opened."""

MAX_MEMBERS = 20_000

MAX_READ_BYTES = 4_000_000
"""Most bytes that are read at once: the list of members, or a piece of a member."""

_ENCRYPTED_OR_PATCHED = 0x61
"""Flags of members that cannot be read as they are."""

_HEADER_BYTES = 30
"""Smallest header before the bytes of a member."""


class ArchiveError(Exception):
    """An archive that is missing, damaged or dangerous; the message is the reason."""


class NotAnArchiveError(ArchiveError):
    """A file of another kind, or one that was cut off."""


class _CarefulFile(io.BufferedReader):
    """A file of which at most ``MAX_READ_BYTES`` are read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = MAX_READ_BYTES + 1 if size is None or size < 0 else size
        data = super().read(min(wanted, MAX_READ_BYTES + 1))
        if len(data) > MAX_READ_BYTES:
            raise zipfile.BadZipFile("list of members too long")
        return data


@contextmanager
def open_archive(path: Path, max_unpacked: int | None = None) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive, and check that its members can be what they claim to be.

    Args:
        path: file to read.
        max_unpacked: number of bytes that all members together may unpack to; None if no member
            may be compressed.

    Raises:
        ArchiveError: see the class; also if a member turns out to be damaged in the body.
    """
    if problem := file_problem(path, MAX_FILE_BYTES):
        raise ArchiveError(problem)
    try:
        raw = io.FileIO(path)
    except OSError as error:
        raise ArchiveError(f"cannot be read ({error.strerror or error})") from None
    with _CarefulFile(raw) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error):
            raise NotAnArchiveError("not a zip archive, or cut off") from None
        n_bytes = os.fstat(file.fileno()).st_size
        if problem := _member_problem(archive.infolist(), n_bytes, max_unpacked):
            raise ArchiveError(problem)
        try:
            yield archive
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise ArchiveError(f"damaged ({printable(str(error), max_length=100)})") from None


def unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytearray:
    """Return the bytes of a member, in memory of just their size; its checksum is compared.

    Raises:
        zipfile.BadZipFile: damaged.
        EOFError: cut off.
    """
    content = bytearray(member.file_size)
    view, start = memoryview(content), 0
    with archive.open(member) as file:
        while start < len(content):
            piece = file.read(min(MAX_READ_BYTES, len(content) - start))
            if not piece:
                raise EOFError
            view[start : start + len(piece)] = piece
            start += len(piece)
    return content


def _member_problem(
    members: list[zipfile.ZipInfo], file_bytes: int, max_unpacked: int | None
) -> str | None:
    if len(members) > MAX_MEMBERS:
        return f"{len(members)} members, at most {MAX_MEMBERS}"
    if len({member.filename for member in members}) < len(members):
        return "two members of one name"
    allowed = [zipfile.ZIP_STORED] + ([] if max_unpacked is None else [zipfile.ZIP_DEFLATED])
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.flag_bits & _ENCRYPTED_OR_PATCHED or member.compress_type not in allowed:
            return "a member is compressed or encrypted in a way that ocrsearch never writes"
        if member.header_offset < end:
            return "members overlap"
        end = member.header_offset + _HEADER_BYTES + member.compress_size
    unpacked = sum(member.file_size for member in members)
    if end > file_bytes or (max_unpacked is None and unpacked > file_bytes):
        return "members are larger than the file"
    if max_unpacked is not None and unpacked > max_unpacked:
        return f"unpacks to {unpacked / 1e6:,.0f} MB, at most {max_unpacked / 1e6:,.0f} MB"
    return None
