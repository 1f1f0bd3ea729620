"""Language models: learned from labels and corpora, with a weight tuned on images.

The best weight is small if the recogniser is good or the language model is poor. So the weight
with the lowest error rate on the validation split is chosen.
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
from ocrsearch.inference import LENGTH_BONUS, LM_WEIGHT, DecodingOptions, Predictor
from ocrsearch.models.decoding import LanguageModel, NgramCounts, count_ngrams, perplexity
from ocrsearch.training import Model


@dataclass(frozen=True)
class LearntModel:
    """N-gram counts and their perplexity on held-out labels.

    Attributes:
        ngrams: n-gram counts.
        n_left_out: number of texts skipped because of characters outside the charset.
        perplexity: perplexity on the labels of the validation split, see ``perplexity``; None
            if there are no labels.
        n_val: number of validation labels used for the perplexity.
        n_val_left_out: number of validation labels skipped because of characters outside the
            charset.
    """

    ngrams: NgramCounts
    n_left_out: int
    perplexity: float | None
    n_val: int
    n_val_left_out: int


def learn_language_model(
    spec: str | None, corpora: Sequence[Path], order: int, options: DataOptions
) -> LearntModel:
    """Count the n-grams of labels and corpora.

    Args:
        spec: specification of a dataset. The labels of its training split are counted and define
            the charset; no images are read.
        corpora: text files with one text per line. With a dataset, texts with characters outside
            its charset are skipped. Without a dataset the corpora define the charset.
        order: length of the longest n-gram.
        options: options to split the dataset.

    Raises:
        OptionError: neither a dataset nor a corpus is given.
        DataError: the texts cannot be read.
        LanguageModelError: no text remains, or the order is out of range.
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
"""Bonuses to try with the best weight. The default, used to choose the weight, is not repeated."""


@dataclass(frozen=True)
class FusionWeights:
    """Weights for decoding with a language model, and their effect.

    Attributes:
        lm_weight: weight for the log probability of the language model.
        length_bonus: bonus for each character, in nats; None for the default.
        cer: CER with these weights, on the images used to choose them.
        greedy_cer: CER of greedy decoding on the same images.
        n: number of images.
    """

    lm_weight: float
    length_bonus: float | None
    cer: float
    greedy_cer: float
    n: int


def choose_weights(
    bundle: Model, ngrams: NgramCounts, data: LabelledImages, progress: Progress | None = None
) -> FusionWeights:
    """Choose the language model weight and the length bonus with the lowest CER.

    The weights are tried first, with the default bonus. The bonuses are then tried with the best
    weight.

    Args:
        bundle: recogniser.
        ngrams: n-gram counts without stored weights.
        data: labelled images; at most MAX_PICTURES of them, evenly spread, are used.
        progress: called with the number of finished evaluations.

    Raises:
        OptionError: the recogniser does not support beam search.
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
