"""The data of a study, read again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ocrsearch.data.dataset import Dataset, load_dataset
from ocrsearch.data.options import DataOptions
from ocrsearch.errors import StudyError


def load_study_data(name: str, facts: Mapping[str, Any]) -> Dataset:
    """Read the data that a study began with.

    Args:
        name: of the study.
        facts: of it, as stored.

    Raises:
        OcrSearchError: it cannot be read, or has changed.
    """
    options = DataOptions.from_dict(facts.get("data_options", {}))
    dataset = load_dataset(facts["data_spec"], options)
    if dataset.fingerprint != facts["data_fingerprint"]:
        raise StudyError(
            f"study {name!r}: {facts['data_spec']} is not the data that it began with "
            f"(fingerprint {facts['data_fingerprint']}, now {dataset.fingerprint})"
        )
    return dataset
