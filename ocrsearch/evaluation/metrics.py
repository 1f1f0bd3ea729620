"""Error rates of recognised texts with intervals, confusions of characters, and calibration.

CER is the sum of all edits divided by the number of all reference characters, not a mean of
ratios; WER is the same for words separated by white space. SER is the fraction of texts with an
error; exact match is 1 - SER. Edits are those of a shortest Levenshtein path from label to
prediction, so the counts of confusions add up to the edits of the CER.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

import numpy as np
from rapidfuzz.distance import Levenshtein

from ocrsearch.core import TrainingError, read_text_file, write_text_file

logger = logging.getLogger(__name__)

NOTHING_READ_CER = 0.95
"""Lowest CER at which a network without a correct text counts as reading nothing."""

N_RESAMPLES = 2000
BOOTSTRAP_SEED = 0


def reads_nothing(cer: float, exact: float) -> bool:
    """Return whether no text is correct and nearly every character is wrong or missing."""
    return exact == 0 and cer >= NOTHING_READ_CER


@dataclass(frozen=True)
class Metrics:
    """Error rates of n texts as fractions; CER and WER can exceed 1."""

    n: int
    cer: float
    wer: float
    ser: float
    exact: float


@dataclass(frozen=True)
class EditCounts:
    """Edits and reference lengths of each text in symbols and words, and whether it has an error.

    All are (n,) int64.
    """

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
        """Return the counts from a ``table``."""
        return cls(*table.T)


def save_counts(counts: EditCounts, path: Path) -> None:
    """Write counts to a JSON file."""
    write_text_file(path, json.dumps(counts.table().tolist()))


def read_counts(path: Path) -> EditCounts | None:
    """Return the counts from a file; None if it is missing or damaged."""
    try:
        table = np.array(json.loads(read_text_file(path, str(path), TrainingError)), dtype=np.int64)
    except (TrainingError, ValueError, TypeError, OverflowError, RecursionError):
        return None
    if table.ndim != 2 or table.shape[1] != len(fields(EditCounts)) or (table < 0).any():
        return None
    return EditCounts.from_table(table)


def count_edits(references: Sequence[str], hypotheses: Sequence[str]) -> EditCounts:
    """Return the Levenshtein edits from each reference to its hypothesis."""
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
    """Return the error rates of hypotheses.

    Without any reference characters, CER and WER are the number of edits. Without texts, all
    rates are 0.
    """
    return rates(count_edits(references, hypotheses))


def rates(counts: EditCounts) -> Metrics:
    """Return the error rates for counted edits."""
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
    """Return 95 % intervals of the error rates of hypotheses; see ``count_intervals``."""
    return count_intervals(count_edits(references, hypotheses))


def count_intervals(counts: EditCounts) -> dict[str, tuple[float, float]]:
    """Return 95 % percentile bootstrap intervals (Efron, 1979) of cer, wer, ser and exact.

    Texts are resampled with a fixed seed, so equal inputs give equal intervals. If all texts are
    correct, resampling would give intervals of width 0. Then the upper bounds are those of Clopper
    and Pearson (1934) for the fraction of texts with an error, each with one edit. Likewise, if
    no text is correct, the bounds of exact match and SER are theirs. Without texts the intervals
    are (0, 1).
    """
    n = len(counts.wrong)
    if n == 0:
        return dict.fromkeys(("cer", "wer", "ser", "exact"), (0.0, 1.0))
    none_high = 1.0 - 0.025 ** (1 / n)  # upper bound for an observed fraction of 0
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
    intervals: dict[str, tuple[float, float]] = {}
    for name, values in found.items():
        low, high = np.quantile(values, [0.025, 0.975])
        intervals[name] = (float(low), float(high))
    if counts.wrong.all():
        intervals |= {"ser": (1.0 - none_high, 1.0), "exact": (0.0, none_high)}
    return intervals


def _ratio(errors: int, total: int) -> float:
    return float(errors) / max(int(total), 1)


MAX_MATRIX_SYMBOLS = 1000
"""Largest number of symbols in a matrix: a larger one would take gigabytes."""

OTHER = "other"
"""Class of all texts that are not a single symbol."""

Kind = Literal["substitution", "insertion", "deletion"]

KINDS: dict[str, Kind] = {
    "replace": "substitution",
    "insert": "insertion",
    "delete": "deletion",
}


@dataclass(frozen=True)
class Confusion:
    """An edit of a symbol and its frequency.

    Attributes:
        kind: an insertion is an extra symbol in the prediction, a deletion a missing symbol.
        expected: symbol of the label; empty for an insertion.
        read: predicted symbol; empty for a deletion.
        n: number of occurrences.
    """

    kind: Kind
    expected: str
    read: str
    n: int


def count_confusions(references: Sequence[str], hypotheses: Sequence[str]) -> list[Confusion]:
    """Return the edits from labels to predictions, the most frequent first."""
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
    """Confusion matrix of texts of one symbol.

    Attributes:
        symbols: symbols of labels and predictions in code point order; OTHER last, if it occurs.
        counts: (V, V) int64, a row for each label, a column for each prediction.
        report: scikit-learn's precision, recall and F1 for each symbol, as text.
        report_values: the same as nested values.
    """

    symbols: tuple[str, ...]
    counts: np.ndarray
    report: str
    report_values: dict[str, object]


def build_confusion_matrix(
    references: Sequence[str], hypotheses: Sequence[str]
) -> ConfusionMatrix | None:
    """Return the matrix of labels and predictions.

    None above MAX_MATRIX_SYMBOLS symbols, or without scikit-learn, which the light distribution
    does not need.
    """
    expected, read = _classes(references), _classes(hypotheses)
    symbols = sorted({*expected, *read}, key=lambda symbol: (symbol == OTHER, symbol))
    if len(symbols) > MAX_MATRIX_SYMBOLS:
        return None
    try:
        from sklearn.metrics import classification_report  # takes half a second to import
    except ModuleNotFoundError:
        logger.warning("no confusion matrix: it needs scikit-learn, which is not installed")
        return None

    ids = {symbol: i for i, symbol in enumerate(symbols)}
    counts = np.zeros((len(symbols), len(symbols)), np.int64)
    np.add.at(counts, ([ids[s] for s in expected], [ids[s] for s in read]), 1)
    options: dict[str, object] = {"labels": symbols, "zero_division": 0.0}
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
    """The n predictions with a confidence in one tenth of the range.

    Attributes:
        n: number of predictions, at least 1.
        confidence: mean confidence.
        right: fraction of correct predictions.
    """

    n: int
    confidence: float
    right: float


def confidence_bins(confidences: Sequence[float], right: Sequence[bool]) -> list[ConfidenceBin]:
    """Return the bins with predictions, by ascending confidence.

    Args:
        confidences: confidence of each prediction, 0 to 1.
        right: whether each prediction is correct.
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

    It is the mean distance between a bin's confidence and its fraction of correct predictions,
    weighted by n; 0 without bins.
    """
    n = sum(b.n for b in bins)
    return sum(b.n * abs(b.confidence - b.right) for b in bins) / max(n, 1)
