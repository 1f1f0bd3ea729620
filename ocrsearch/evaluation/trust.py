"""Trust: what a model knows about its own confidence, as stored in the model file.

The confidence of a text is the probability that the network gives it, over all alignments,
calibrated with one temperature and multiplied by the familiarity of the image. A temperature keeps
the order of the texts (Guo et al., 2017, ICML). It scales the log odds of the text as a whole, not
the outputs at each time step: it is fitted to whole texts, and works for every decoder.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from ocrsearch.data import GrayImage
from ocrsearch.evaluation.familiarity import Familiarity, fit_familiarity

if TYPE_CHECKING:
    from ocrsearch.evaluation.acceptance import Acceptance

MIN_PROBABILITY, MAX_PROBABILITY = 1e-12, 1 - 1e-6
"""Limits of probabilities, before and after calibration: beyond them is only rounding."""

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.5, 10.0
"""Limits of a fitted temperature."""


class Threshold(BaseModel):
    """Lowest confidence of a text that can be used without a person's check.

    Attributes:
        confidence: lowest confidence.
        max_error: promised largest fraction of such texts with an error, with 95 % certainty.
        n: number of validation texts.
        n_accepted: number of those that reach the confidence.
        n_wrong: number of these with an error.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    confidence: float = Field(ge=0, le=1)
    max_error: float = Field(gt=0, lt=1)
    n: int = Field(ge=1)
    n_accepted: int = Field(ge=1)
    n_wrong: int = Field(ge=0)

    @classmethod
    def of(cls, accepted: Acceptance, max_error: float) -> Threshold:
        """Return the threshold that was found for a promised error rate."""
        return cls(
            confidence=accepted.threshold,
            max_error=max_error,
            n=accepted.n,
            n_accepted=accepted.n_accepted,
            n_wrong=accepted.n_wrong,
        )


class Trust(BaseModel):
    """Calibration, familiarity and threshold of a model. The default changes no confidence.

    Attributes:
        temperature: divisor of the log odds of a text; above 1, texts are less certain than the
            network says.
        n: number of texts that the temperature was fitted to; 0 if it was not.
        familiarity: Gaussian of the training images; None if there is none.
        threshold: threshold for a promised error; None without a promise.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    temperature: FiniteFloat = Field(1.0, ge=0.01)
    n: int = Field(0, ge=0)
    familiarity: Familiarity | None = None
    threshold: Threshold | None = None

    @property
    def min_confidence(self) -> float | None:
        """Confidence below which a person should check a text; None without a threshold."""
        return self.threshold.confidence if self.threshold else None

    def without_threshold(self) -> Trust:
        """Return the same trust without a promise."""
        return self.model_copy(update={"threshold": None})

    def calibrated(self, probability: float) -> float:
        """Return the calibrated probability of a text, 0 to 1.

        Args:
            probability: probability that the network gives the text, 0 to 1.
        """
        if self.n == 0:
            return probability
        scaled = float(_log_odds(probability)) / self.temperature
        return min(MAX_PROBABILITY, 1 / (1 + math.exp(-scaled)))

    def familiarity_of(self, image: GrayImage) -> float:
        """Return the familiarity of an image, (H, W) uint8 as read; 1 if there is no Gaussian."""
        return self.familiarity.of(image) if self.familiarity else 1.0


UNCALIBRATED = Trust()
"""Trust of a model whose confidence was not calibrated."""


def fit_trust(
    probabilities: Sequence[float],
    is_right: Sequence[bool],
    train: np.ndarray,
    val: np.ndarray,
) -> Trust:
    """Fit temperature and Gaussian, without a threshold.

    Args:
        probabilities: probability that the network gives each text of a validation image.
        is_right: whether each text has no error.
        train: (N, N_VALUES) profiles of training images; see ``image_profiles``.
        val: (M, N_VALUES) profiles of validation images.
    """
    familiarity = fit_familiarity(train, val)
    if not len(probabilities):
        return Trust(familiarity=familiarity)
    temperature = fit_temperature(probabilities, is_right)
    return Trust(temperature=temperature, n=len(probabilities), familiarity=familiarity)


def fit_temperature(probabilities: Sequence[float], is_right: Sequence[bool]) -> float:
    """Return the temperature with the smallest negative log likelihood of right and wrong.

    The targets are those of Platt (1999), (n + 1) / (n + 2) for n right texts and 1 / (m + 2) for m
    wrong ones: without an error among few texts, no text is certain.

    Args:
        probabilities: probability of each text, 0 to 1; at least one text.
        is_right: whether each text has no error.
    """
    from scipy.optimize import minimize_scalar  # reading needs no scipy

    right = np.asarray(is_right, bool)
    n_right, n_wrong = int(right.sum()), int((~right).sum())
    targets = np.where(right, (n_right + 1) / (n_right + 2), 1 / (n_wrong + 2))
    odds = _log_odds(probabilities)

    def loss(log_temperature: float) -> float:
        scaled = odds / math.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled) - targets * scaled))

    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    return math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)


def _log_odds(probabilities: float | Sequence[float]) -> np.ndarray:
    """Return log odds of probabilities within the limits."""
    p = np.clip(np.asarray(probabilities, np.float64), MIN_PROBABILITY, MAX_PROBABILITY)
    return np.asarray(np.log(p) - np.log1p(-p))
