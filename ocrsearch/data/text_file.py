"""Text files of entries, one a line: a corpus for a language model, the words of a lexicon."""

from __future__ import annotations

from pathlib import Path

from ocrsearch.data.formats.label_file import numbered_lines
from ocrsearch.data.samples import normalize_label
from ocrsearch.errors import DataError

MAX_BYTES = 10_000_000
"""Largest file of entries: counting its n-grams takes many times its size."""


def read_texts(path: Path, kind: str) -> list[str]:
    """Return the lines of a text file that are not blank, NFC, as often as they are there.

    White space within a line becomes one space.

    Args:
        path: UTF-8, with or without a byte order mark.
        kind: what to call it in messages: "corpus" or "lexicon".

    Raises:
        DataError: see ``read_lines``; nothing in it.
    """
    lines = (normalize_label(line) for _, line in numbered_lines(path, kind, MAX_BYTES))
    texts = [" ".join(line.split()) for line in lines if line]
    if not texts:
        raise DataError(f"{kind}:{path}: empty; give one entry a line")
    return texts
