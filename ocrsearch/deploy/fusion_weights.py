"""What a language model weighs beside a recogniser: chosen on pictures, not guessed.

The better a recogniser reads and the worse a language model foretells, the less that one ought to
weigh; so the weights are those that read the validation split best.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ocrsearch.data.dataset import LabelledImages
from ocrsearch.data.usable import Progress
from ocrsearch.deploy.bundle import Bundle
from ocrsearch.deploy.decoding import LENGTH_BONUS, LM_WEIGHT, DecodingOptions
from ocrsearch.deploy.predictor import Predictor
from ocrsearch.models.ngrams import NgramCounts
from ocrsearch.training.metrics import compute_metrics

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
