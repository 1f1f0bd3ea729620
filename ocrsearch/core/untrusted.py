"""Untrusted input, read within limits: zip archives, YAML files and regular expressions.

Archive members may claim any size, overlap or unpack to terabytes, so they are checked against
the file before any is read. YAML may contain only plain values, and aliases count with
everything they repeat. Regular expressions run in a separate process with a time limit because
Python's engine can take years on a short pattern.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from yaml.resolver import BaseResolver

from ocrsearch.core.errors import (
    OcrSearchError,
    OptionError,
    SpaceError,
    printable,
    quoted,
    shortened,
)
from ocrsearch.core.files import MAX_YAML_BYTES, file_problem, read_text_file

MAX_FILE_BYTES = 1_000_000_000
"""Maximum size of an archive, in bytes."""

MAX_MEMBERS = 20_000

MAX_READ_BYTES = 4_000_000
"""Maximum number of bytes per read, for the member list or part of a member."""

_ENCRYPTED_OR_PATCHED = 0x61
"""Flags of members that cannot be read directly."""

_HEADER_BYTES = 30
"""Minimum size of the header before a member's data, in bytes."""


class ArchiveError(Exception):
    """Missing, damaged or dangerous archive. The message is the reason."""


class NotAnArchiveError(ArchiveError):
    """File of another type, or truncated archive."""


class _CarefulFile(io.BufferedReader):
    """File that returns at most ``MAX_READ_BYTES`` per read."""

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = MAX_READ_BYTES + 1 if size is None or size < 0 else size
        data = super().read(min(wanted, MAX_READ_BYTES + 1))
        if len(data) > MAX_READ_BYTES:
            raise zipfile.BadZipFile("member list too long")
        return data


@contextmanager
def open_archive(path: Path, max_unpacked: int | None = None) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive and check the sizes and positions of its members.

    Args:
        path: Path of the archive.
        max_unpacked: Maximum total size of the unpacked members, in bytes. None rejects
            compressed members.

    Raises:
        ArchiveError: The archive is missing, damaged or dangerous. Also raised if a member
            turns out to be damaged in the body.
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
            raise NotAnArchiveError("not a zip archive, or truncated") from None
        n_bytes = os.fstat(file.fileno()).st_size
        if problem := _member_problem(archive.infolist(), n_bytes, max_unpacked):
            raise ArchiveError(problem)
        try:
            yield archive
        except (zipfile.BadZipFile, EOFError, zlib.error) as error:
            raise ArchiveError(f"damaged ({printable(str(error), max_length=100)})") from None


def unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytearray:
    """Return the contents of a member, using no more memory than its size.

    Raises:
        zipfile.BadZipFile: The member is damaged or its checksum is wrong.
        EOFError: The member is truncated.
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
        return "two members with the same name"
    allowed = [zipfile.ZIP_STORED] + ([] if max_unpacked is None else [zipfile.ZIP_DEFLATED])
    end = 0
    for member in sorted(members, key=lambda member: member.header_offset):
        if member.flag_bits & _ENCRYPTED_OR_PATCHED or member.compress_type not in allowed:
            return "a member is encrypted or uses a compression that ocrsearch never writes"
        if member.header_offset < end:
            return "members overlap"
        end = member.header_offset + _HEADER_BYTES + member.compress_size
    unpacked = sum(member.file_size for member in members)
    if end > file_bytes or (max_unpacked is None and unpacked > file_bytes):
        return "members are larger than the file"
    if max_unpacked is not None and unpacked > max_unpacked:
        return f"unpacks to {unpacked / 1e6:,.0f} MB, at most {max_unpacked / 1e6:,.0f} MB"
    return None


MAX_VALUES = 20_000
"""Maximum number of keys and values in a file. Aliases count with everything they repeat."""

MAX_LEVELS = 50
"""Maximum nesting depth of sections and lists."""

MAX_DIGITS = 100
"""Maximum length of a number, in characters."""

MERGE = "tag:yaml.org,2002:merge"
KINDS = ("null", "bool", "int", "float", "str", "seq", "map", "merge")
PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in KINDS)
"""Tags of allowed values. Bytes, dates, sets and objects are rejected."""


class _Loader(yaml.SafeLoader):
    """Safe loader with limits. It rejects duplicate keys and reads dates as text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in its base class
        first: [(tag, regexp) for tag, regexp in resolvers if tag in PLAIN_TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._n_levels = self._n_composed = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node:
        """Compose a node and check its depth, size and aliases."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        self._n_composed += 1
        if self._n_composed > MAX_VALUES:
            raise _problem(f"more than {MAX_VALUES:,} values", event)
        self._n_levels += 1
        if self._n_levels > MAX_LEVELS:
            raise _problem(f"nested more than {MAX_LEVELS} levels deep", event)
        node = super().compose_node(parent, index)
        assert node is not None
        self._n_levels -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._sizes[node] = _checked_size(node, self._sizes)
        elif node not in self._sizes:
            raise _problem("an alias refers to a section that contains it; remove it", event)
        return node


class _Refused(yaml.MarkedYAMLError):
    """Valid YAML that is not allowed in our files."""


def _problem(problem: str, place: Any) -> _Refused:
    """Return an error located at a node or an event."""
    return _Refused(problem=problem, problem_mark=place.start_mark)


def _checked_size(node: yaml.Node, sizes: dict[yaml.Node, int]) -> int:
    """Return the number of values in a composed node, with everything that aliases repeat."""
    if node.tag not in PLAIN_TAGS:
        raise _problem(f"tag {quoted(node.tag)} is not allowed; write a plain value", node)
    if isinstance(node, yaml.ScalarNode):
        if node.tag.endswith((":int", ":float")) and len(node.value) > MAX_DIGITS:
            problem = f"a number of {len(node.value):,} characters, at most {MAX_DIGITS}"
            raise _problem(problem, node)
        return 1
    pairs = isinstance(node, yaml.MappingNode)
    parts = [part for pair in node.value for part in pair] if pairs else node.value
    size = 1 + sum(sizes[part] for part in parts)
    if size > MAX_VALUES:
        raise _problem(f"more than {MAX_VALUES:,} values with aliases expanded", node)
    return size


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        if key_node.tag not in (BaseResolver.DEFAULT_SCALAR_TAG, MERGE):
            raise _problem("a key must be text; put it in quotes", key_node)
        if key_node.value in seen:
            raise _problem(f"duplicate key {quoted(key_node.value)}; keep one of them", key_node)
        seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_yaml(path: Path, error_class: type[OcrSearchError] = SpaceError) -> dict[str, Any]:
    """Read a YAML file that contains a mapping.

    Raises:
        error_class: The file is missing, too large, not YAML or not a mapping.
    """
    text = read_text_file(path, str(path), error_class, max_bytes=MAX_YAML_BYTES)
    return parse_yaml(text, str(path), error_class)


def parse_yaml(
    text: str, where: str, error_class: type[OcrSearchError] = SpaceError
) -> dict[str, Any]:
    """Parse YAML text that contains a mapping. ``where`` is the name in messages."""
    try:
        content = parse_value(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}:" if mark else ""
        kind = "" if isinstance(error, _Refused) else " not YAML:"
        raise error_class(f"{where}:{line}{kind} {shortened(str(error.problem))}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible number
        reason = shortened(" ".join(str(error).split()))
        raise error_class(f"{where}: not YAML: {reason}") from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise error_class(f"{where}: must be a mapping of sections, found {found}")
    return content


def parse_value(text: str) -> Any:
    """Return the value of YAML text, with the same limits as for a file.

    Raises:
        yaml.YAMLError: The text is not YAML or exceeds a limit.
        ValueError: The text contains an impossible number.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader


MAX_PATTERN = 500
"""Maximum length of a pattern, in characters."""

SECONDS = 5.0
SECONDS_PER_NAME = 2e-5
"""Time limit for a search: a constant and an allowance per name, in seconds."""

MAX_MEMORY_BYTES = 1_000_000_000

_PROGRAM = f"""
import json, re, sys, warnings
try:
    import resource
    resource.setrlimit(resource.RLIMIT_AS, ({MAX_MEMORY_BYTES}, {MAX_MEMORY_BYTES}))
except (ImportError, OSError, ValueError):
    pass
warnings.simplefilter("ignore")
pattern, names = json.load(sys.stdin)
regex = re.compile(pattern)
found = [match and match.group(1 if regex.groups else 0) for match in map(regex.search, names)]
json.dump(found, sys.stdout)
"""


def pattern_problem(pattern: str) -> str | None:
    """Return the reason why a text is not a valid regular expression, or None if it is."""
    if len(pattern) > MAX_PATTERN:
        return f"longer than {MAX_PATTERN} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(pattern)
    except re.error as error:
        return str(error)
    except (RecursionError, OverflowError):
        return "nested too deeply, or a number too large"
    return None


def search_names(pattern: str, names: Sequence[str]) -> list[str | None]:
    """Return the match of a pattern in each name: its first group, or else the whole match.

    Args:
        pattern: Regular expression that passed ``pattern_problem``.
        names: Names to search.

    Raises:
        OptionError: The search takes too much time or memory.
    """
    seconds = SECONDS + SECONDS_PER_NAME * len(names)
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-I", "-S", "-c", _PROGRAM],
            input=json.dumps([pattern, list(names)]),
            capture_output=True,
            timeout=seconds,
            check=True,
            encoding="ascii",
        )
    except subprocess.TimeoutExpired:
        raise OptionError(
            f"{quoted(pattern)} takes over {seconds:.0f} s for {len(names)} names; avoid "
            "nested repetitions such as (a+)+",
            "group",
        ) from None
    except subprocess.CalledProcessError:
        problem = f"{quoted(pattern)} cannot be applied; use a simpler pattern"

        raise OptionError(problem, "group") from None
    found: list[str | None] = json.loads(done.stdout)
    return found
