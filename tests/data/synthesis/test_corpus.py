"""The corpus: entries, cases, and splits that share nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrsearch.core.errors import DataError
from ocrsearch.data.samples import SPLITS
from ocrsearch.data.synthesis.text import (
    covering,
    in_cases,
    part_entries,
    read_entries,
)


def write(folder: Path, content: bytes) -> Path:
    path = folder / "corpus.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "entries"),
    [
        (b"", []),
        (b"\n \n", []),
        (b"ab", ["ab"]),
        (b"b\r\na\r\nb\n", ["b", "a"]),
        (b"  a  b \n", ["a b"]),
        ("e\u0301".encode(), ["\u00e9"]),
        ("\ufeffab\n".encode(), ["ab"]),
        ("a\u2028b".encode(), ["a b"]),
    ],
)
def test_entries_are_lines_once_and_nfc(content: bytes, entries: list[str], tmp_path: Path) -> None:
    assert read_entries(write(tmp_path, content)) == entries


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"a\nb\tc\n", r"line 2: control character '\\t'"), (b"\xff", "not UTF-8")],
)
def test_what_is_no_entry_is_said(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_entries(write(tmp_path, content))


def test_missing_corpus(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_entries(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("entry", "cases", "texts"),
    [
        ("hà Nội", ["kept"], ("hà Nội",)),
        ("hà nội", ["title", "upper", "lower"], ("Hà Nội", "HÀ NỘI", "hà nội")),
        ("7 b", ["kept", "lower"], ("7 b",)),
        ("đHQG", ["title"], ("ĐHQG",)),
    ],
)
def test_cases(entry: str, cases: list[str], texts: tuple[str, ...]) -> None:
    assert in_cases(entry, cases) == texts


def test_variants_of_an_entry_stay_together() -> None:
    entries = [f"word{i}" for i in range(40)]

    parts = part_entries({e: [e, e.upper()] for e in entries}, seed=0)

    assert [len(parts[split]) for split in SPLITS] == [64, 8, 8]
    for split in SPLITS:
        assert {text.lower() for text in parts[split]} == {t for t in parts[split] if t.islower()}


def test_a_text_of_two_entries_is_in_one_split() -> None:
    entries = [text for i in range(20) for text in (f"w{i}", f"W{i}")]

    parts = part_entries({e: [e.upper()] for e in entries}, seed=0)

    found = [text for split in SPLITS for text in parts[split]]
    assert len(found) == len(set(found)) == 20


def test_symbols_of_all_variants_are_in_train() -> None:
    entries = [f"a{i} b" for i in range(30)] + ["ü b"]
    variants = {e: in_cases(e, ["kept", "title"]) for e in entries}
    for seed in range(8):
        parts = part_entries(variants, seed)
        assert set("".join(parts["train"])) >= set("".join(parts["val"] + parts["test"]))


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [([], []), (["ab", "ba", "bc"], ["ab", "bc"]), (["a", "ab", "b"], ["a", "ab"])],
)
def test_covering_has_all_symbols(texts: list[str], chosen: list[str]) -> None:
    assert covering(texts) == chosen
