"""The corpus: entries of a text file, parted before anything is drawn."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ocrsearch.data.formats.label_file import numbered_lines
from ocrsearch.data.samples import Sample, Split, normalize_label
from ocrsearch.data.splits import assign_splits, by_split
from ocrsearch.errors import DataError

CASES: dict[str, Callable[[str], str]] = {
    "kept": str,
    "lower": str.lower,
    "title": lambda text: " ".join(word[:1].upper() + word[1:] for word in text.split(" ")),
    "upper": str.upper,
}


def read_entries(path: Path) -> list[str]:
    """Return the entries of a corpus, one a line, NFC, each once, in their order.

    Raises:
        DataError: no such file, not UTF-8, or a control character such as a tab.
    """
    entries: dict[str, None] = {}
    for where, line in numbered_lines(path, "corpus"):
        entry = normalize_label(line)
        control = next((c for c in entry if unicodedata.category(c) == "Cc"), None)
        if control is not None:
            raise DataError(
                f"corpus:{path}: {where}: control character {control!r}; "
                "give one entry a line and nothing else"
            )
        entries[" ".join(entry.split())] = None
    return [entry for entry in entries if entry]


def in_cases(entry: str, cases: Iterable[str]) -> tuple[str, ...]:
    """Return an entry in each of the given cases, each text once."""
    return tuple(dict.fromkeys(normalize_label(CASES[case](entry)) for case in cases))


def part_entries(variants: Mapping[str, Sequence[str]], seed: int) -> dict[Split, list[str]]:
    """Part entries 80/10/10 by seed, all variants of one together; no text is in two splits.

    Entries with a symbol that is found nowhere else are in train.
    """
    nothing = np.zeros((1, 1), np.uint8)
    samples = [Sample(entry, nothing, "".join(texts)) for entry, texts in variants.items()]
    seen: set[str] = set()
    parts: dict[Split, list[str]] = {}
    for split, part in by_split(assign_splits(samples, seed, keep_symbols=True)).items():
        texts = dict.fromkeys(text for sample in part for text in variants[sample.name])
        parts[split] = [text for text in texts if text not in seen]
        seen.update(texts)
    return parts


def covering(texts: Sequence[str]) -> list[str]:
    """Return some of the texts that together have all symbols of all of them."""
    known: set[str] = set()
    chosen = []
    for text in texts:
        if not known.issuperset(text):
            known.update(text)
            chosen.append(text)
    return chosen
