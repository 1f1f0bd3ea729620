"""Trust of a model that is written: its confidence is calibrated on the validation images.

The images are read again, because a study keeps the number of edits in each image but neither texts
nor confidences. Without the images a model is written as it is.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field, TypeAdapter, ValidationError

from ocrsearch.core import Number, OptionError, shown
from ocrsearch.data import Dataset, LabelledImages, Progress, fold_dataset
from ocrsearch.evaluation import (
    MAX_IMAGES,
    UNCALIBRATED,
    Threshold,
    Trust,
    accept,
    describe_no_threshold,
    fit_trust,
    image_profiles,
    images_needed,
)
from ocrsearch.inference import Prediction, Predictor
from ocrsearch.training import Bundle

logger = logging.getLogger(__name__)

MIN_ERROR, MAX_ERROR = 0.0001, 0.5
"""Limits of a promised error rate."""

MaxErrorRate = Annotated[Number, Field(ge=MIN_ERROR, le=MAX_ERROR)]
"""Promised largest fraction of accepted texts with an error."""

_MAX_ERROR: TypeAdapter[float] = TypeAdapter(MaxErrorRate)


def check_max_error(max_error: object) -> None:
    """Check a promised error rate; None is no promise.

    Raises:
        OptionError: it is not a number from MIN_ERROR to MAX_ERROR.
    """
    try:
        if max_error is not None:
            _MAX_ERROR.validate_python(max_error)
    except ValidationError:
        allowed = f"a number from {MIN_ERROR} to {MAX_ERROR}"
        raise OptionError(f"must be {allowed}, got {shown(max_error)}", "max_error") from None


class Readings(NamedTuple):
    """Labelled images and the predictions of a network for them."""

    data: LabelledImages
    predictions: list[Prediction]

    @property
    def is_right(self) -> list[bool]:
        """Whether each text has no error."""
        pairs = zip(self.predictions, self.data.texts, strict=True)
        return [prediction.text == text for prediction, text in pairs]

    @property
    def probabilities(self) -> list[float]:
        """Probability that the network gives each text; 0 for an empty text."""
        return [p.network_confidence or 0.0 if p.text else 0.0 for p in self.predictions]


def read_validation(
    bundle: Bundle, dataset: Dataset, n_folds: int = 1, progress: Progress | None = None
) -> Readings:
    """Read validation images, each with a network that was not trained on it.

    Args:
        bundle: model; after cross-validation its members are the networks of the first folds.
        dataset: dataset of the training, with its own splits.
        n_folds: number of folds of the cross-validation; 1 without it.
        progress: called with the number of recognised images, and the total.
    """
    plain = replace(bundle, trust=UNCALIBRATED)
    if n_folds == 1:
        part = dataset.splits["val"]
        return Readings(part, Predictor(plain).evaluate(part, progress).predictions)
    parts, predictions = [], []
    for fold, member in enumerate(plain.members, start=1):
        part = fold_dataset(dataset, n_folds, fold).splits["val"]
        alone = Predictor(replace(member, others=(), trust=UNCALIBRATED))
        predictions += alone.evaluate(part, progress).predictions
        parts.append(part)
    data = parts[0]
    for part in parts[1:]:
        data = data.joined(part)
    return Readings(data, predictions)


@dataclass(frozen=True)
class TrustReport:
    """Trust of a model, and how it was measured.

    Attributes:
        trust: calibration, with a threshold if one keeps the promise.
        readings: validation images and predictions, with calibrated confidences.
        max_error: promised error rate; None without a promise.
        n_needed: estimated number of validation images that a threshold for the promise needs;
            None if there is a threshold, or if too many of the most confident texts are wrong.
    """

    trust: Trust
    readings: Readings
    max_error: float | None = None
    n_needed: int | None = None

    @property
    def confidences(self) -> list[float]:
        """Calibrated confidence of each text."""
        return [prediction.confidence for prediction in self.readings.predictions]

    def describe_promise(self) -> str:
        """Return a line about the threshold; empty without a promise."""
        if self.max_error is None:
            return ""
        if (found := self.trust.threshold) is None:
            return describe_no_threshold(self.max_error, len(self.confidences), self.n_needed)
        share = found.n_accepted / found.n
        return (
            f"{share:.1%} of the validation texts have a confidence of at least "
            f"{found.confidence:.4g}; {found.n_wrong} of these {found.n_accepted} have an error. "
            f"With 95 % certainty at most {found.max_error:g} of such texts have an error"
        )


def measure_trust(
    readings: Readings, train: LabelledImages, max_error: float | None = None
) -> TrustReport:
    """Calibrate the confidence of a model, and choose the threshold for a promised error.

    Args:
        readings: validation images, and the predictions of the model without any trust.
        train: training images.
        max_error: promised error rate; None for no threshold.
    """
    data, right = readings.data, readings.is_right
    probabilities = readings.probabilities
    profiles = image_profiles(data.images)
    trust = fit_trust(probabilities, right, image_profiles(train.images, MAX_IMAGES), profiles)
    known = trust.familiarity
    familiar = known.of_profiles(profiles) if known else np.ones(len(right))
    predictions = [
        replace(prediction, confidence=trust.calibrated(p) * familiarity if p else 0.0)
        for prediction, p, familiarity in zip(
            readings.predictions, probabilities, familiar.tolist(), strict=True
        )
    ]
    confidences = [prediction.confidence for prediction in predictions]
    threshold, needed = None, None
    if max_error is not None:
        if found := accept(confidences, right, max_error):
            threshold = Threshold.of(found, max_error)
        else:
            needed = images_needed(confidences, right, max_error)
    trust = trust.model_copy(update={"threshold": threshold})
    return TrustReport(trust, Readings(data, predictions), max_error, needed)


def with_trust(
    bundle: Bundle, dataset: Dataset, n_folds: int = 1, max_error: float | None = None
) -> Bundle:
    """Return a model with its trust, and warn if no threshold keeps the promise.

    The arguments are those of ``read_validation`` and ``measure_trust``.
    """
    readings = read_validation(bundle, dataset, n_folds)
    report = measure_trust(readings, dataset.splits["train"], max_error)
    if max_error is not None and report.trust.threshold is None:
        logger.warning("%s", report.describe_promise())
    return replace(bundle, trust=report.trust)
