"""How the data of a model is read and split again when the model is trained further."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ocrsearch.core import BundleError, DataError, OcrSearchError, file_problem
from ocrsearch.data import (
    DataOptions,
    given_options,
    is_splits_file,
    load_dataset,
    read_samples,
    same_data,
)
from ocrsearch.training.provenance import Provenance

logger = logging.getLogger(__name__)

SPLIT_OPTIONS = ("group", "splits", "split_seed")
"""Options that decide which split a sample is in."""

OWN_DATA_OPTIONS = ("group", "splits")
"""Options of a model that are used for the data that it was trained on, and for no other."""

MAX_SPLITS_BYTES = 64_000_000
"""Largest file of splits that a model can name."""


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
        own = _options_for(data, path, chosen) if path is not None else None
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


def evaluation_options(
    name: str, provenance: Provenance, data: str, given: Mapping[str, Any]
) -> DataOptions:
    """Return how to read and split data with a model: as it was trained, but for options given.

    A model file may come from anybody. Its pattern and its files are used for its own data only,
    and a file of splits must be one.

    Args:
        name: model, for messages.
        provenance: provenance of the model.
        data: specification of the data.
        given: options chosen by the user.

    Raises:
        BundleError: its file of splits cannot be used.
        OptionError: a wrong option.
    """
    own = provenance.options()
    if _is_of_data(provenance, own, data):
        _check_splits(name, own, given)
        return replace(own, **given)
    dropped = [key for key in OWN_DATA_OPTIONS if getattr(own, key) and key not in given]
    if dropped:
        logger.warning(
            "%s was trained on other data; its %s not used for %s",
            *(name, " and ".join(f"`{key}`" for key in dropped) + f" {_is(dropped)}", data),
        )
    foreign = {"group": "", "splits": "", "extra_train_data": "", "columns": ""}
    return replace(own, **{**foreign, **given})


def warn_of_seen(name: str, provenance: Provenance, data: str) -> None:
    """Log a warning if a model was trained on the validation images of some data too.

    Args:
        name: model, for the message.
        provenance: provenance of the model.
        data: specification of the data.
    """
    if "val" in provenance.splits_seen and same_data(provenance.data or "", data):
        logger.warning(
            "%s was trained on the validation images of %s too: error rates on them are too low",
            *(name, data),
        )


def _options_for(data: str, path: Path, given: Mapping[str, Any]) -> DataOptions | None:
    """Return the data options of a model; None if it was trained on other data."""
    from ocrsearch.training.model_file import read_model_file  # loads torch

    provenance = read_model_file(path).networks[0].provenance
    own = provenance.options()
    if not _is_of_data(provenance, own, data):
        return None
    _check_splits(str(path), own, given)
    warn_of_seen(str(path), provenance, data)
    if own.extra_train_data and "extra_train_data" not in given:
        _check_added(str(path), own.extra_train_data)
    return own


def _is_of_data(provenance: Provenance, own: DataOptions, data: str) -> bool:
    """Return whether a model was trained on some data, which may have been moved since."""
    if not provenance.data:
        return False
    is_same = same_data(provenance.data, data)
    return is_same or _was_moved(data, own, provenance.data_fingerprint)


def _check_splits(name: str, own: DataOptions, given: Mapping[str, Any]) -> None:
    """Refuse a file of splits that a model names and that is something else; quote none of it."""
    if not own.splits or "splits" in given:
        return
    path = Path(own.splits)
    problem = file_problem(path, MAX_SPLITS_BYTES)
    if problem is None and not is_splits_file(path):
        problem = "not a table with columns name and split"
    if problem:
        raise BundleError(
            f"{name}: its `splits` {own.splits}: {problem}; give `splits` another file"
        )


def _check_added(name: str, spec: str) -> None:
    """Refuse added data that a model names and that cannot be read; quote none of it."""
    try:
        read_samples(spec)
    except DataError:
        raise BundleError(
            f"{name}: its `extra_train_data` {spec} cannot be read; give `extra_train_data` "
            "another dataset"
        ) from None


def _was_moved(data: str, options: DataOptions, fingerprint: object) -> bool:
    """Whether data in another place is that of a model; read only if its splits would differ."""
    usual = DataOptions()
    same_splits = all(getattr(options, name) == getattr(usual, name) for name in SPLIT_OPTIONS)
    if (
        same_splits or options.extra_train_data
    ):  # what a model adds may be any folder: it is not read here
        return False
    try:
        return load_dataset(data, options).fingerprint == fingerprint
    except OcrSearchError:  # it is other data, for which these options do not hold
        return False


def _is(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"
