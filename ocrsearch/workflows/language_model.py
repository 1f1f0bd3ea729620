"""Language models: learned from labels and corpora, with a weight tuned on images.

The better a recogniser reads and the worse a language model predicts, the smaller its weight
should be. So the weight with the lowest error rate on the validation split is chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ocrsearch.core import OptionError
from ocrsearch.data import (
    Charset,
    DataOptions,
    LabelledImages,
    Progress,
    by_split,
    label_problem,
    resolve_bidi,
    split_samples,
)
from ocrsearch.data.formats import read_texts
from ocrsearch.evaluation import compute_metrics
from ocrsearch.inference import LENGTH_BONUS, LM_WEIGHT, Bundle, DecodingOptions, Predictor
from ocrsearch.models.decoding import LanguageModel, NgramCounts, count_ngrams, perplexity


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
        raise OptionError("no texts to learn from; give `data`, `corpus` or both")
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


BEAM = 10
MAX_PICTURES = 300
WEIGHTS = (LM_WEIGHT, 0.2, 0.4, 0.8, 1.0)
BONUSES = (0.0, LENGTH_BONUS, 2 * LENGTH_BONUS)
"""With the best weight; one of them is mostly the default, with which the weights are tried."""


@dataclass(frozen=True)
class FusionWeights:
    """How to decode with a language model, and what that brings.

    Attributes:
        lm_weight: of its log probability.
        length_bonus: for each symbol, in nats; None for the default.
        cer: of the pictures it was chosen on.
        greedy_cer: of the same, without language model.
        n: pictures.
    """

    lm_weight: float
    length_bonus: float | None
    cer: float
    greedy_cer: float
    n: int


def choose_weights(
    bundle: Bundle, ngrams: NgramCounts, data: LabelledImages, progress: Progress | None = None
) -> FusionWeights:
    """Read pictures with several weights, then with several bonuses, and keep the best.

    Args:
        bundle: the recogniser.
        ngrams: of the language model, of which nothing is chosen yet.
        data: of its pictures at most MAX_PICTURES are read, evenly spread.
        progress: told how many of the readings are done.

    Raises:
        OptionError: a recogniser that does not decode by beam search.
    """
    some = np.linspace(0, len(data) - 1, min(len(data), MAX_PICTURES)).astype(int).tolist()
    images, texts = [data.images[i] for i in some], [data.texts[i] for i in some]
    cers: dict[tuple[float, float | None], float] = {}

    default = Predictor(bundle, decoding=DecodingOptions(BEAM, ngrams)).decoder.about
    bonuses = [bonus for bonus in BONUSES if bonus != default["length_bonus"]]

    def read(options: DecodingOptions) -> float:
        found = Predictor(bundle, decoding=options).predict_many(images)
        return compute_metrics(texts, [prediction.text for prediction in found]).cer

    def best_of(pairs: Iterable[tuple[float, float | None]]) -> tuple[float, float | None]:
        for weight, bonus in pairs:
            cers[weight, bonus] = read(DecodingOptions(BEAM, ngrams, weight, bonus))
            if progress:
                progress(1 + len(cers), 1 + len(WEIGHTS) + len(bonuses))
        return min(cers, key=lambda pair: cers[pair])

    greedy_cer = read(DecodingOptions())
    weight, _ = best_of((weight, None) for weight in WEIGHTS)
    weight, bonus = best_of((weight, bonus) for bonus in bonuses)
    return FusionWeights(weight, bonus, cers[weight, bonus], greedy_cer, len(images))
