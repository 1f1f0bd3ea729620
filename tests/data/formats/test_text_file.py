"""Text files of entries."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from ocrsearch.core.errors import DataError
from ocrsearch.data.formats.files import read_texts


def test_lines_are_normalised_and_repeats_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    decomposed = unicodedata.normalize("NFD", "Hà Nội")
    path.write_text(f"\ufeff{decomposed}\r\n\n  xã\t an   hoà \n \nHà Nội", encoding="utf-8")
    assert read_texts(path, "corpus") == ["Hà Nội", "xã an hoà", "Hà Nội"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "lexicon:.*: no such file"),
        (b"", "lexicon:.*: empty; write one entry per line"),
        (b" \n\n", "lexicon:.*: empty"),
        (b"\xff\xfe\x00", "lexicon:.*: UTF-16 text"),
        (b"\xff", "lexicon:.*: not UTF-8"),
        (b"a\n" * 1_000_001, "lexicon:.*: more than 1,000,000 lines"),
        (b"a\n" + b"b" * 1_000_001, "lexicon:.*: line 2: 1,000,001 characters"),
        (b"a" * 10_000_001, "lexicon:.*: too large"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "a.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_texts(path, "lexicon")
