"""Files are read with limits and replaced whole; text is made harmless for a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocrsearch.core.errors import DataError, printable, quoted
from ocrsearch.core.files import (
    plain_cell,
    read_text_file,
    remove_leftovers,
    replacing,
    replacing_folder,
    spreadsheet_cell,
    write_text_file,
)


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


def test_a_link_stays_a_link_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "out.txt").write_text("old")
    (tmp_path / "link").symlink_to("below/out.txt")
    write_text_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "below" / "out.txt").read_text() == "new"


@pytest.mark.parametrize("name", ["pipe", "folder", "zero"])
def test_only_files_are_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="is not a file") as caught:
        write_text_file(tmp_path / name, "new")
    assert caught.value.filename == str(tmp_path / name)
    assert not Path("/dev/zero").is_file()


def test_names_as_long_as_a_name_can_be(tmp_path: Path) -> None:
    write_text_file(tmp_path / ("ü" * 127), "new")
    with pytest.raises(OSError, match="File name too long") as caught:
        write_text_file(tmp_path / ("x" * 256), "new")
    assert caught.value.filename == str(tmp_path / ("x" * 256))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    def write(content: str, *, fails: bool = False) -> None:
        with replacing_folder(tmp_path / "out") as temporary:
            (temporary / content).write_text(content)
            if fails:
                raise OSError(28, "No space left on device")

    write("old")
    with pytest.raises(OSError, match="No space left") as caught:
        write("new", fails=True)
    assert caught.value.filename == str(tmp_path / "out")
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "old"]
    write("new")
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "new"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@a", "'@a"),
        ("+49", "'+49"),
        ("-1", "'-1"),
        ("\t=1", "'\t=1"),
        ("'=1", "''=1"),
        ("'a", "'a"),
        ("a=1", "a=1"),
        ("", ""),
    ],
)
def test_cells_are_no_formulas_and_can_be_read_back(text: str, cell: str) -> None:
    assert spreadsheet_cell(text) == cell
    assert plain_cell(cell) == text


def test_values_in_messages_are_short() -> None:
    assert quoted("a\x1b") == r"'a\x1b'"
    assert quoted("x" * 500) == f"'{'x' * 199}..."
    assert quoted(1 << 100_000) == "a huge integer"
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    assert len(quoted(deep)) < 210


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


@pytest.fixture(scope="module")
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_what_killed_processes_left_is_removed(tmp_path: Path, dead: int) -> None:
    stay = {
        "trial-00001",
        f"trial-00001/.last.pt.{os.getpid()}.tmp",
        "trial-00001/last.pt",
        f"last.{dead}.tmp",
        ".hidden.tmp",
        ".hidden.12a.tmp",
    }
    left = {
        f"trial-00001/.last.pt.{dead}.tmp",
        f".trial-00002.{dead}.tmp",
        f".trial-00002.{dead}.tmp/a",
        f".a b.{10**30}.tmp",
    }
    for name in sorted(stay | left):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if name.endswith((".pt", ".tmp")) and "trial-00002" not in name:
            path.write_bytes(b"x")
        else:
            path.mkdir(exist_ok=True)
    remove_leftovers(tmp_path, min_age_s=60.0)
    assert names(tmp_path) == stay | left
    remove_leftovers(tmp_path)
    assert names(tmp_path) == stay
    remove_leftovers(tmp_path / "missing")


def test_a_link_among_what_was_left_is_not_followed(tmp_path: Path, dead: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("x")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / f".x.{dead}.tmp").symlink_to(tmp_path / "folder")
    remove_leftovers(tmp_path / "own")
    assert names(tmp_path) == {"folder", "folder/file", "own"}


@pytest.mark.parametrize("name", ["out[1].txt", "out.txt", "x" * 100])
def test_an_output_takes_what_was_left_of_it_away(tmp_path: Path, dead: int, name: str) -> None:
    other = tmp_path / f".other.{dead}.tmp"
    for path in (other, tmp_path / f".{name[:60]}.{dead}.tmp"):
        path.write_text("half")
    write_text_file(tmp_path / name, "whole")
    assert names(tmp_path) == {name, other.name}
