"""Data of a study: loaded from where the study found it, or from a new location."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, replace

from ocrsearch.core import DataError, StudyError
from ocrsearch.data import DataOptions, Dataset, absolute_spec, load_dataset
from ocrsearch.studies import StudyFacts

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DataPlace:
    """New location of the data of a study; None for parts that were not moved.

    Attributes:
        spec: specification of the dataset.
        splits: path of the split file.
        extra_train_data: specification of the added images.
    """

    spec: str | None = None
    splits: str | None = None
    extra_train_data: str | None = None

    def options(self, facts: StudyFacts) -> DataOptions:
        """Return the data options of a study with the new paths."""
        options = facts.options()
        if self.splits is not None:
            options = replace(options, splits=self.splits)
        return (
            options
            if self.extra_train_data is None
            else replace(options, extra_train_data=self.extra_train_data)
        )

    def specs(self, facts: StudyFacts) -> list[str]:
        """Return the specifications to try: the user's, or those stored in the study."""
        if self.spec is not None:
            return [self.spec]
        typed = facts.data_spec
        place = facts.data_place or typed
        return [typed] if absolute_spec(typed) == place else [place, typed]


UNMOVED = DataPlace()


def load_study_data(name: str, facts: StudyFacts, place: DataPlace = UNMOVED) -> Dataset:
    """Load the dataset of a study.

    Args:
        name: name of the study.
        facts: facts of the study.
        place: location of the data, if it was moved.

    Raises:
        OcrSearchError: the data cannot be read, or it has changed.
    """
    *others, last = place.specs(facts)
    for spec in others:
        with suppress(DataError, StudyError):
            return _load(name, facts, spec, place)
    try:
        return _load(name, facts, last, place)
    except (DataError, StudyError) as error:
        if place != UNMOVED:
            raise
        raise type(error)(
            f"{error}; if the images were moved, give their new location with `data`"
        ) from None


def _load(name: str, facts: StudyFacts, spec: str, place: DataPlace) -> Dataset:
    """Load a dataset, and check that the study was made with it."""
    dataset = load_dataset(spec, place.options(facts))
    if dataset.fingerprint != facts.data_fingerprint:
        raise StudyError(
            f"study {name!r}: {spec} is not the dataset of the study "
            f"(fingerprint {dataset.fingerprint}, must be {facts.data_fingerprint})"
        )
    return dataset


def find_study_data(
    name: str, facts: StudyFacts, place: DataPlace = UNMOVED, *, needed: bool = False
) -> Dataset | None:
    """Return the dataset of a study; None, with a warning, if it is not at hand.

    Args:
        name: name of the study.
        facts: its facts.
        place: location of the data, if it was moved.
        needed: whether to fail without the data.

    Raises:
        OcrSearchError: the data cannot be read, and it is needed or a location was given.
    """
    try:
        return load_study_data(name, facts, place)
    except (DataError, StudyError):
        if needed or place != UNMOVED:
            raise
        logger.warning(
            "study %r: its data (%s) is not at hand; the confidence of the model is not "
            "calibrated. Give `data` to calibrate it",
            *(name, facts.data_spec),
        )
        return None
