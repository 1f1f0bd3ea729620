"""The options by which the data of a model is read and split again.

They follow from its provenance, when the model is trained further or evaluated. This module needs
no torch until a model file is read.
"""

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
"""Options of a model that are used only for the data that it was trained on."""

MAX_SPLITS_BYTES = 64_000_000
"""Largest file of splits that a model can name."""


def inherited_options(
    data: str, given: DataOptions | Mapping[str, Any] | None, *models: Path | None
) -> DataOptions:
    """Return the options given, completed from a model that was trained on the same data.

    This keeps the training images of the model out of the new validation and test splits.

    Args:
        data: specification of the data.
        given: options chosen by the user; see ``given_options``.
        models: model files; the first model that was trained on this data is used.

    Raises:
        BundleError: a model file cannot be read.
        OptionError: an option is wrong.
    """
    chosen = given_options(given)
    for path in filter(None, models):
        from ocrsearch.training.model_file import load_bundle  # loads torch

        provenance = load_bundle(path).provenance
        own = provenance.options()
        if not _is_of_data(provenance, own, data):
            continue
        _check_splits(str(path), own, chosen)
        warn_of_seen(str(path), provenance, data)
        if own.extra_train_data and "extra_train_data" not in chosen:
            try:
                read_samples(own.extra_train_data)
            except DataError:  # its message would quote files that a model names
                raise BundleError(
                    f"{path}: its `extra_train_data` {own.extra_train_data} cannot be read; give "
                    "`extra_train_data` another dataset"
                ) from None
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
    """Return the options to read and split data for a model.

    They are those of its training, except for the options given. A model file may come from
    anybody: its pattern and its files are used for its own data only, and its file of splits is
    checked.

    Args:
        name: model, for messages.
        provenance: provenance of the model.
        data: specification of the data.
        given: options chosen by the user.

    Raises:
        BundleError: the model's file of splits cannot be used.
        OptionError: an option is wrong.
    """
    own = provenance.options()
    if _is_of_data(provenance, own, data):
        _check_splits(name, own, given)
        return replace(own, **given)
    dropped = [key for key in OWN_DATA_OPTIONS if getattr(own, key) and key not in given]
    if dropped:
        logger.warning(
            "%s was trained on other data; its %s %s not used for %s",
            *(name, " and ".join(f"`{key}`" for key in dropped)),
            *("is" if len(dropped) == 1 else "are", data),
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


def _is_of_data(provenance: Provenance, own: DataOptions, data: str) -> bool:
    """Return whether a model was trained on some data, which may have been moved since.

    Data in another place is read only if its splits would differ from the usual ones.
    """
    if not provenance.data:
        return False
    if same_data(provenance.data, data):
        return True
    usual = DataOptions()
    same_splits = all(getattr(own, name) == getattr(usual, name) for name in SPLIT_OPTIONS)
    if same_splits or own.extra_train_data:  # a model may name any folder: it is not read here
        return False
    try:
        return load_dataset(data, own).fingerprint == provenance.data_fingerprint
    except OcrSearchError:  # it is other data, for which these options do not hold
        return False


def _check_splits(name: str, own: DataOptions, given: Mapping[str, Any]) -> None:
    """Refuse a model whose file of splits is no such file, without quoting the file."""
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
