"""Error rates with intervals, confusions and calibration of recognised texts.

Error rates of recognised texts, with intervals.

CER is all edits over all reference symbols, not a mean of ratios; WER the same over words
parted by white space. SER is the share of texts that are not wholly right; exact is 1 - SER.

Which symbols are taken for which: edits by symbol, and for single symbols the matrix.

Edits are those of one shortest way from label to reading (Levenshtein), so the counts add up
to the edits of the CER.

Whether confidences can be believed: of what is read with 0.9, nine in ten should be right.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rapidfuzz.distance import Levenshtein

from ocrsearch.core import TrainingError, read_text_file, write_text_file

NOTHING_READ_CER = 0.95
"""CER from which on a network without a right text counts as one that reads nothing."""

N_RESAMPLES = 2000
BOOTSTRAP_SEED = 0


def reads_nothing(cer: float, exact: float) -> bool:
    """Return whether no text is right and nearly each character is wrong or missing."""
    return exact == 0 and cer >= NOTHING_READ_CER


@dataclass(frozen=True)
class Metrics:
    """Error rates of n texts as fractions; CER and WER may exceed 1."""

    n: int
    cer: float
    wer: float
    ser: float
    exact: float


@dataclass(frozen=True)
class EditCounts:
    """Per text: edits and reference lengths in symbols and words, and whether it is wrong."""

    edits: np.ndarray
    symbols: np.ndarray
    word_edits: np.ndarray
    words: np.ndarray
    wrong: np.ndarray

    def table(self) -> np.ndarray:
        """Return (n, 5) int64 counts, a row for each text."""
        return np.stack([self.edits, self.symbols, self.word_edits, self.words, self.wrong], axis=1)

    @classmethod
    def from_table(cls, table: np.ndarray) -> EditCounts:
        """Return the counts of a ``table``."""
        return cls(*table.T)


def save_counts(counts: EditCounts, path: Path) -> None:
    """Write counts to a small file."""
    write_text_file(path, json.dumps(counts.table().tolist()))


def read_counts(path: Path) -> EditCounts | None:
    """Return the counts of a file; None if there is none or it is damaged."""
    try:
        table = np.array(json.loads(read_text_file(path, str(path), TrainingError)), dtype=np.int64)
    except (TrainingError, ValueError, TypeError, OverflowError, RecursionError):
        return None
    if table.ndim != 2 or table.shape[1] != len(fields(EditCounts)) or (table < 0).any():
        return None
    return EditCounts.from_table(table)


def count_edits(references: Sequence[str], hypotheses: Sequence[str]) -> EditCounts:
    """Compare texts pairwise by Levenshtein distance."""
    pairs = list(zip(references, hypotheses, strict=True))
    word_pairs = [(r.split(), h.split()) for r, h in pairs]
    return EditCounts(
        edits=np.array([Levenshtein.distance(r, h) for r, h in pairs], dtype=np.int64),
        symbols=np.array([len(r) for r, _ in pairs], dtype=np.int64),
        word_edits=np.array([Levenshtein.distance(r, h) for r, h in word_pairs], dtype=np.int64),
        words=np.array([len(r) for r, _ in word_pairs], dtype=np.int64),
        wrong=np.array([r != h for r, h in pairs], dtype=np.int64),
    )


def compute_metrics(references: Sequence[str], hypotheses: Sequence[str]) -> Metrics:
    """Return the error rates.

    Without any reference symbol a rate is 0 if nothing was read, else the number of edits.
    """
    return rates(count_edits(references, hypotheses))


def rates(counts: EditCounts) -> Metrics:
    """Return the error rates of texts whose edits are counted."""
    n = len(counts.wrong)
    ser = _ratio(counts.wrong.sum(), n)
    return Metrics(
        n=n,
        cer=_ratio(counts.edits.sum(), counts.symbols.sum()),
        wer=_ratio(counts.word_edits.sum(), counts.words.sum()),
        ser=ser,
        exact=1.0 - ser if n else 0.0,
    )


def bootstrap_intervals(
    references: Sequence[str], hypotheses: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Return 95 % percentile bootstrap intervals (Efron, 1979) of cer, wer, ser and exact.

    Texts are drawn with replacement, from a fixed seed; the same input gives the same output.
    Of texts that are all right this would say that none is ever wrong; there the upper ends are
    those of Clopper and Pearson (1934) for the share of wrong texts, with one edit in each; so is
    the upper end of the share of right ones where none is right.
    """
    counts = count_edits(references, hypotheses)
    n = len(counts.wrong)
    if n == 0:
        return dict.fromkeys(("cer", "wer", "ser", "exact"), (0.0, 1.0))
    none_high = 1.0 - 0.025 ** (1 / n)  # of a share that was found to be 0
    if not counts.wrong.any():
        return {
            "cer": (0.0, none_high * n / max(int(counts.symbols.sum()), 1)),
            "wer": (0.0, none_high * n / max(int(counts.words.sum()), 1)),
            "ser": (0.0, none_high),
            "exact": (1.0 - none_high, 1.0),
        }
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    columns = counts.table()
    sums = np.stack([columns[rng.integers(n, size=n)].sum(0) for _ in range(N_RESAMPLES)])
    ser = sums[:, 4] / n
    found = {
        "cer": sums[:, 0] / np.maximum(sums[:, 1], 1),
        "wer": sums[:, 2] / np.maximum(sums[:, 3], 1),
        "ser": ser,
        "exact": 1.0 - ser,
    }
    intervals = {name: _percentiles(values) for name, values in found.items()}
    if counts.wrong.all():
        intervals |= {"ser": (1.0 - none_high, 1.0), "exact": (0.0, none_high)}
    return intervals


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)


def _ratio(errors: int, total: int) -> float:
    return float(errors) / max(int(total), 1)


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


N_BINS = 10


@dataclass(frozen=True)
class ConfidenceBin:
    """The n readings whose confidence lies in one tenth of the range, and the share right."""

    n: int
    confidence: float
    right: float


def confidence_bins(confidences: Sequence[float], right: Sequence[bool]) -> list[ConfidenceBin]:
    """Return the bins that hold readings, by rising mean confidence.

    Args:
        confidences: from 0 to 1.
        right: whether each reading is.
    """
    values, correct = np.array(confidences, float), np.array(right, bool)
    ids = np.minimum((values * N_BINS).astype(int), N_BINS - 1)
    return [
        ConfidenceBin(
            int(inside.sum()), float(values[inside].mean()), float(correct[inside].mean())
        )
        for inside in (ids == i for i in np.unique(ids))
    ]


def calibration_error(bins: Sequence[ConfidenceBin]) -> float:
    """Return the expected calibration error (Naeini, Cooper and Hauskrecht, 2015).

    The mean distance of a bin's confidence from its share right, weighted by n; 0 without any.
    """
    n = sum(b.n for b in bins)
    return sum(b.n * abs(b.confidence - b.right) for b in bins) / max(n, 1)
