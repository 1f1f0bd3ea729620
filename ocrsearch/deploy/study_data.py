"""The data of a study, read again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from ocrsearch.data.dataset import Dataset, load_dataset
from ocrsearch.data.options import DATA_PLACE, DataOptions, absolute_spec
from ocrsearch.errors import DataError, StudyError


@dataclass(frozen=True)
class DataPlace:
    """Where the data of a study is now, if it was moved; None for what was not.

    Attributes:
        spec: specification of the data.
        splits: file of splits.
        add: specification of the images that were added.
    """

    spec: str | None = None
    splits: str | None = None
    add: str | None = None

    def options(self, facts: Mapping[str, Any]) -> DataOptions:
        """Return how a study reads its data, with the paths as they are now."""
        options = DataOptions.from_dict(facts.get("data_options", {}))
        if self.splits is not None:
            options = replace(options, splits=self.splits)
        return options if self.add is None else replace(options, add=self.add)

    def specs(self, facts: Mapping[str, Any]) -> list[str]:
        """Return where to look for the data: where the user says, or where it was."""
        if self.spec is not None:
            return [self.spec]
        typed: str = facts["data_spec"]
        place: str = facts.get(DATA_PLACE, typed)
        return [typed] if absolute_spec(typed) == place else [place, typed]


UNMOVED = DataPlace()


def load_study_data(name: str, facts: Mapping[str, Any], place: DataPlace = UNMOVED) -> Dataset:
    """Read the data that a study began with.

    Args:
        name: name of the study.
        facts: facts of the study, as stored.
        place: where the data is now.

    Raises:
        OcrSearchError: it cannot be read, or is other data.
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
        raise type(error)(f"{error}; if the images were moved, give --data") from None


def _load(name: str, facts: Mapping[str, Any], spec: str, place: DataPlace) -> Dataset:
    dataset = load_dataset(spec, place.options(facts))
    if dataset.fingerprint != facts["data_fingerprint"]:
        raise StudyError(
            f"study {name!r}: {spec} is not the data that it began with "
            f"(fingerprint {facts['data_fingerprint']}, now {dataset.fingerprint})"
        )
    return dataset
