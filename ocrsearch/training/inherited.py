"""How the data of a model is read and split again when the model is trained further."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ocrsearch.data.dataset import load_dataset
from ocrsearch.data.options import DataOptions, given_options
from ocrsearch.data.specs import same_data
from ocrsearch.errors import BundleError, OcrSearchError

logger = logging.getLogger(__name__)

SPLIT_OPTIONS = ("group", "splits", "split_seed")
"""Options that decide which split a sample is in."""


def inherited_options(
    data: str, given: DataOptions | Mapping[str, Any] | None, *models: Path | None
) -> DataOptions:
    """Return the options given, and for the others those of a model trained on the same data.

    So the images that a model has learned from are not in its new validation and test splits.

    Args:
        data: specification of the data.
        given: options chosen by the user; see ``given_options``.
        models: model files; the options of the first that was trained on this data are taken.

    Raises:
        BundleError: a model file that cannot be read.
        OptionError: a wrong option.
    """
    chosen = given_options(given)
    for path in models:
        own = _options_for(data, path) if path is not None else None
        if own is None:
            continue
        options = replace(own, **chosen)
        if any(getattr(options, name) != getattr(own, name) for name in SPLIT_OPTIONS):
            logger.warning(
                "%s is split otherwise than for %s: images that the model was trained on can be "
                "in the validation and test splits",
                *(data, path),
            )
        return options
    return DataOptions(**chosen)


def _options_for(data: str, path: Path) -> DataOptions | None:
    """Return the data options of a model; None if it was trained on other data."""
    from ocrsearch.training.model_file import read_model_file  # loads torch

    provenance: Any = read_model_file(path).get("provenance")
    try:
        spec = provenance.get("data", "")
        options = DataOptions.from_dict(provenance.get("data_options", {}))
    except Exception as error:  # any part of a file may be of any kind
        raise BundleError(f"{path}: damaged model ({type(error).__name__})") from None
    if not isinstance(spec, str) or not spec:
        return None
    is_same = same_data(spec, data) or _was_moved(data, options, provenance.get("data_fingerprint"))
    return options if is_same else None


def _was_moved(data: str, options: DataOptions, fingerprint: object) -> bool:
    """Whether data in another place is that of a model; read only if its splits would differ."""
    usual = DataOptions()
    if all(getattr(options, name) == getattr(usual, name) for name in SPLIT_OPTIONS):
        return False
    try:
        return load_dataset(data, options).fingerprint == fingerprint
    except OcrSearchError:  # it is other data, for which these options do not hold
        return False
