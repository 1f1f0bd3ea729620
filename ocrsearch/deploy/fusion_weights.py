"""What a language model weighs beside a recogniser: chosen on pictures, not guessed.

The better a recogniser reads and the worse a language model foretells, the less that one ought to
weigh; so the weights are those that read the validation split best.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from ocrsearch.data.dataset import LabelledImages
from ocrsearch.data.usable import Progress
from ocrsearch.deploy.bundle import Bundle
from ocrsearch.deploy.decoding import LENGTH_BONUS, LM_WEIGHT, DecodingOptions
from ocrsearch.deploy.predictor import Predictor
from ocrsearch.models.factory import ARCHITECTURES
from ocrsearch.training.metrics import compute_metrics

BEAM = 10
MAX_PICTURES = 300
WEIGHTS = (LM_WEIGHT, 0.2, 0.4, 0.8, 1.0)
BONUSES = (0.0, 2 * LENGTH_BONUS)
"""Tried besides the default with the best weight."""


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


def can_fuse(bundle: Bundle) -> bool:
    """Whether all of a bundle's networks decode by beam search."""
    names = {member.config.model.architecture for member in bundle.members}
    return all(ARCHITECTURES[name].beam is not None for name in names)


def choose_weights(
    bundle: Bundle, language_model: Path, data: LabelledImages, progress: Progress | None = None
) -> FusionWeights:
    """Read pictures with several weights, then with several bonuses, and keep the best.

    Args:
        bundle: a recogniser that decodes by beam search.
        language_model: its file.
        data: at most MAX_PICTURES of it are read, evenly spread.
        progress: told how many of the readings are done.
    """
    some = range(0, len(data), math.ceil(len(data) / MAX_PICTURES))
    images, texts = [data.images[i] for i in some], [data.texts[i] for i in some]
    cers: dict[DecodingOptions, float] = {}

    def best_of(tried: Iterable[DecodingOptions]) -> DecodingOptions:
        for options in tried:
            read = Predictor(bundle, decoding=options).predict_many(images)
            cers[options] = compute_metrics(texts, [prediction.text for prediction in read]).cer
            if progress:
                progress(len(cers), 1 + len(WEIGHTS) + len(BONUSES))
        return min((o for o in cers if o.language_model), key=lambda options: cers[options])

    greedy, default = DecodingOptions(), DecodingOptions(BEAM, language_model, WEIGHTS[0])
    best_of([greedy, default])
    best = best_of(replace(default, lm_weight=weight) for weight in WEIGHTS[1:])
    best = best_of(replace(best, length_bonus=bonus) for bonus in BONUSES)
    weight = best.lm_weight or 0.0
    return FusionWeights(weight, best.length_bonus, cers[best], cers[greedy], len(images))
