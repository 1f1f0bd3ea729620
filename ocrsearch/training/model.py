"""What every model file holds beside the weights, and the checks of it. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from pydantic import ValidationError

from ocrsearch.core import Config, printable
from ocrsearch.data import Charset, DataOptions
from ocrsearch.evaluation import UNCALIBRATED, Trust
from ocrsearch.training.provenance import Provenance

MAX_VALUES = 1_000_000
MAX_TEXT = 100_000
"""Longest text, in characters."""

MAX_DEPTH = 20

MAX_NETWORKS = 32
"""Largest number of networks in one model."""


class Model(Protocol):
    """A recogniser from a model file of any format: a single network or an ensemble."""

    @property
    def config(self) -> Config:
        """Configuration of the image scaling and the network."""
        ...

    @property
    def charset(self) -> Charset:
        """Characters that the network can output."""
        ...

    @property
    def metrics(self) -> dict[str, float]:
        """Metrics on the validation split, for an ensemble those of the whole ensemble."""
        ...

    @property
    def provenance(self) -> Provenance:
        """Origin of the weights."""
        ...

    @property
    def trust(self) -> Trust:
        """Calibration and threshold of the confidence, for an ensemble those of the whole."""
        ...

    @property
    def members(self) -> Sequence[Model]:
        """Members of the ensemble, this network first; only this network without an ensemble."""
        ...

    def data_options(self) -> DataOptions:
        """Return the options with which the training data was read and split."""
        ...


class Facts(NamedTuple):
    """Checked facts about a network."""

    config: Config
    metrics: dict[str, float]
    provenance: Provenance


def check_facts(
    config: dict[str, object], metrics: dict[str, object], provenance: dict[str, object]
) -> Facts:
    """Return the facts of a model file.

    Raises:
        ValueError: a value is not plain, or not allowed.
        OcrSearchError: the provenance names wrong options.
    """
    if problem := plain_problem([config, metrics, provenance]):
        raise ValueError(problem)
    checked: dict[str, float] = {}
    for name, value in metrics.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"metrics: {name} is not a finite number")
        checked[name] = value
    about = Provenance.from_plain(provenance)
    return Facts(Config.model_validate(config), checked, about)


def check_trust(values: dict[str, object] | None) -> Trust:
    """Return the calibration that a model file holds; files of older versions have none.

    Raises:
        ValueError: a value is not plain, or not allowed.
    """
    if problem := plain_problem(values):
        raise ValueError(f"trust: {problem}")
    return UNCALIBRATED if values is None else Trust.model_validate(values)


def plain_problem(value: Any) -> str | None:
    """Return the reason why a value is not plain, or None if it is.

    Plain are texts, numbers, true, false and nothing, and lists and dictionaries with text keys
    of these. A list that holds another many times counts as many times, and the texts together
    may not have more than MAX_VALUES characters.
    """
    left, waiting = MAX_VALUES, [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        left -= 1 + (len(item) if isinstance(item, str) else 0)
        if left < 0 or depth > MAX_DEPTH:
            return "too many values" if left < 0 else "too deeply nested"
        if isinstance(item, str) and (len(item) > MAX_TEXT or "\0" in item):
            return "a text that is too long or has null characters"
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                return "a key that is not text"
            waiting += [(child, depth + 1) for pair in item.items() for child in pair]
        elif isinstance(item, list | tuple):
            left -= len(item)
            waiting += [(child, depth + 1) for child in item] if left > 0 else []
        elif item is not None and not isinstance(item, str | int | float):
            return f"a {type(item).__name__} among plain values"
    return None


def reason_of(error: Exception) -> str:
    """Return the problem with a damaged file in a few harmless words."""
    reason = str(error)
    if isinstance(error, ValidationError):
        finding = error.errors(include_url=False, include_input=False)[0]
        reason = ": ".join([".".join(map(str, finding["loc"])), finding["msg"]])
    return printable(" ".join(reason.split()), max_length=200)
