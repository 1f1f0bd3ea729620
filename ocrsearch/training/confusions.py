"""Which symbols are taken for which: edits by symbol, and for single symbols the matrix.

Edits are those of one shortest way from label to reading (Levenshtein), so the counts add up
to the edits of the CER.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from rapidfuzz.distance import Levenshtein

MAX_MATRIX_SYMBOLS = 1000
"""Of more there is no matrix: it would take gigabytes, and nobody would read it."""

OTHER = "other"
"""The class of all texts that are not one symbol."""

Kind = Literal["substitution", "insertion", "deletion"]

KINDS: dict[str, Kind] = {
    "replace": "substitution",
    "insert": "insertion",
    "delete": "deletion",
}


@dataclass(frozen=True)
class Confusion:
    """An edit of a symbol, and how often it is needed.

    Attributes:
        kind: an insertion is a symbol too many, a deletion one that was not read.
        expected: symbol of the label; empty for an insertion.
        read: what was read instead; empty for a deletion.
        n: how often.
    """

    kind: Kind
    expected: str
    read: str
    n: int


def count_confusions(references: Sequence[str], hypotheses: Sequence[str]) -> list[Confusion]:
    """Return the edits from labels to readings, the most frequent first."""
    counts: Counter[tuple[Kind, str, str]] = Counter()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        for edit in Levenshtein.editops(reference, hypothesis):
            expected = "" if edit.tag == "insert" else reference[edit.src_pos]
            read = "" if edit.tag == "delete" else hypothesis[edit.dest_pos]
            counts[KINDS[edit.tag], expected, read] += 1
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(*key, n) for key, n in ordered]


@dataclass(frozen=True)
class ConfusionMatrix:
    """How single symbols were read.

    Attributes:
        symbols: of labels and readings in code point order; OTHER last, if there is such.
        counts: (V, V) int64, a row for each label, a column for each reading.
        report: scikit-learn's precision, recall and F1 by symbol, as text.
        report_values: the same as nested values.
    """

    symbols: tuple[str, ...]
    counts: np.ndarray
    report: str
    report_values: dict[str, Any]


def build_confusion_matrix(
    references: Sequence[str], hypotheses: Sequence[str]
) -> ConfusionMatrix | None:
    """Count labels of one symbol against what was read; None if there are too many symbols."""
    expected, read = _classes(references), _classes(hypotheses)
    symbols = sorted({*expected, *read}, key=lambda symbol: (symbol == OTHER, symbol))
    if len(symbols) > MAX_MATRIX_SYMBOLS:
        return None
    from sklearn.metrics import classification_report  # half a second

    ids = {symbol: i for i, symbol in enumerate(symbols)}
    counts = np.zeros((len(symbols), len(symbols)), np.int64)
    np.add.at(counts, ([ids[s] for s in expected], [ids[s] for s in read]), 1)
    options: dict[str, Any] = {"labels": symbols, "zero_division": 0.0}
    return ConfusionMatrix(
        tuple(symbols),
        counts,
        classification_report(expected, read, digits=4, **options),
        classification_report(expected, read, output_dict=True, **options),
    )


def _classes(texts: Sequence[str]) -> list[str]:
    return [text if len(text) == 1 else OTHER for text in texts]
