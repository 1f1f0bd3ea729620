"""Files are read with limits and replaced whole; text is made harmless for a terminal."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ocrsearch.errors import DataError
from ocrsearch.files import read_text_file, replacing, write_text_file
from ocrsearch.printable import printable


def test_text_is_read_with_and_without_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\rc\n")
    assert read_text_file(path, "a.txt", DataError) == "a\nb\nc\n"


def test_what_is_not_a_text_file_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(4_000_000_000)
    link = tmp_path / "link"
    link.symlink_to("/dev/zero")
    for path, reason in (
        (pipe, "a pipe, socket or device"),
        (link, "a pipe, socket or device"),
        (sparse, "too large: 4,000 MB"),
        (tmp_path, "a folder"),
        (tmp_path / "none", "no such file"),
        (Path("a\0b"), "cannot be read"),
    ):
        with pytest.raises(DataError, match=rf"here: .*{reason}"):
            read_text_file(path, "here", DataError)


def test_bytes_that_are_not_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"abc\xff")
    with pytest.raises(DataError, match=r"a\.txt: not UTF-8 \(byte 3\)"):
        read_text_file(path, "a.txt", DataError)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out.txt"
    write_text_file(path, "old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as caught:
        fail()
    assert caught.value.filename == str(path)
    assert [p.name for p in path.parent.iterdir()] == ["out.txt"]
    assert path.read_text() == "old"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 数", "plain é 数"),
        ("\x1b]0;pwn\x07", r"\x1b]0;pwn\x07"),
        ("a\x9bb\x7f", r"a\x9bb\x7f"),
        ("a\nb\tc", r"a\nb\tc"),
        ("\u202eevil", r"\u202eevil"),
        ("\u2028", r"\u2028"),
        ("\udcc3", r"\udcc3"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_what_a_terminal_acts_upon_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut_and_some_characters_can_be_kept() -> None:
    assert printable("a\nb" * 3, keep="\n", max_length=4) == "a\nba..."
