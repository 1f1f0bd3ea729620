"""Learning a language model from the labels of a data set and from corpora."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ocrsearch.data.bidi import resolve_bidi
from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import split_samples
from ocrsearch.data.options import DataOptions
from ocrsearch.data.splits import by_split
from ocrsearch.data.text_file import read_texts
from ocrsearch.data.usable import label_problem
from ocrsearch.errors import OptionError
from ocrsearch.models.language_model import LanguageModel, perplexity
from ocrsearch.models.ngrams import NgramCounts, count_ngrams


@dataclass(frozen=True)
class LearntModel:
    """Counts of n-grams, and how well they foretell labels that were not counted.

    Attributes:
        ngrams: what was counted.
        n_left_out: texts with a symbol that no training label has.
        perplexity: of the validation split's labels, see ``perplexity``; None without any.
        n_val: labels that it is of.
        n_val_left_out: those with a symbol that no training label has.
    """

    ngrams: NgramCounts
    n_left_out: int
    perplexity: float | None
    n_val: int
    n_val_left_out: int


def learn_language_model(
    spec: str | None, corpora: Sequence[Path], order: int, options: DataOptions
) -> LearntModel:
    """Count the n-grams of texts.

    Args:
        spec: data set of which the labels of the training split are counted; its pictures are not
            read. The symbols of these labels are the charset.
        corpora: files of texts, one a line. Without a data set theirs is the charset; with one,
            texts with other symbols are left out.
        order: the longest n-gram.
        options: how to split the data set.

    Raises:
        OptionError: neither a data set nor a corpus.
        DataError: texts that cannot be read.
        LanguageModelError: no text is left, or an order out of range.
    """
    if spec is None and not corpora:
        raise OptionError("no texts to learn from; give --data SPEC, --corpus FILE, or both")
    labels: list[str] = []
    val: list[str] = []
    if spec is not None:
        parts = by_split(split_samples(spec, options))
        labels, val = (
            [sample.text for sample in parts[split] if label_problem(sample) is None]
            for split in ("train", "val")
        )
    texts = [text for path in corpora for text in read_texts(path, "corpus")]
    bidi = resolve_bidi(options.bidi, [*labels, *texts])
    charset = Charset.from_texts(labels or texts, bidi)
    ngrams, n_left_out = count_ngrams([*labels, *texts], charset, order)
    found, n_val_left_out = perplexity(LanguageModel(ngrams, charset), val, charset)
    n_val = len(val) - n_val_left_out
    return LearntModel(ngrams, n_left_out, found if n_val else None, n_val, n_val_left_out)
