"""Model files and weights of trials: read whole and checked, running no code from them.

Nothing in a file is trusted. All values are validated here, and names, shapes and types of the
weights are compared with the network of the configuration before it is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ocrsearch.core import BundleError, Config, OcrSearchError, printable, shown
from ocrsearch.data import Charset
from ocrsearch.models import MAX_PARAMETERS, outline
from ocrsearch.training.checkpoint import load_tensors
from ocrsearch.training.provenance import Provenance

MAX_VALUES = 1_000_000
MAX_TEXT = 100_000
"""Longest text, in characters."""

MAX_DEPTH = 20


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


FORMAT = "ocrsearch model"
VERSION = 7
"""1: both directions of a recurrent layer in one, augmentation as a number. 2: norms before the
pooling. 3: one network. 4: weights of 32 bits. 5: nothing added to the training split. 6: no
right-to-left labels in visual order."""

READABLE = (3, 4, 5, 6, VERSION)
"""Versions that can be read; fields that an older version lacks have their defaults."""

MAX_NETWORKS = 32
"""Largest number of networks in one model."""


class StoredNetwork(BaseModel):
    """What a model file holds of one network."""

    model_config = ConfigDict(strict=True, arbitrary_types_allowed=True)

    config: dict[str, object]
    weights: dict[str, torch.Tensor] = Field(max_length=10_000)
    metrics: dict[str, object] = Field(max_length=1000)
    provenance: dict[str, object]


class StoredModel(StoredNetwork):
    """What a model file holds beside format and version."""

    symbols: list[Any]
    bidi: str = "off"
    others: list[StoredNetwork] = Field([], max_length=MAX_NETWORKS - 1)


@dataclass(frozen=True)
class Network:
    """A checked network of a model file.

    Attributes:
        config: configuration of the network and the images.
        weights: its state, in 32 bits; names, shapes and types are those of the configuration's
            network, and all numbers are finite.
        metrics: finite numbers.
        provenance: study, data and versions that the weights come from.
    """

    config: Config
    weights: dict[str, torch.Tensor]
    metrics: dict[str, float]
    provenance: Provenance


@dataclass(frozen=True)
class ModelFile:
    """A checked model file: the charset and one or more networks, the best one first."""

    charset: Charset
    networks: tuple[Network, ...]


class OtherNetworkError(BundleError):
    """Weights of another network than that of the configuration beside them."""


def read_model_file(path: Path) -> ModelFile:
    """Read and check a model file.

    Raises:
        BundleError: no such file, not a model, damaged, or of another version.
    """
    if not path.exists():
        raise BundleError(
            f"{path}: no such model file; 'ocrsearch best' or 'ocrsearch train' makes one"
        )
    content = load_tensors(path)
    if content.get("format") != FORMAT:
        raise BundleError(f"{path}: a PyTorch file, but not an ocrsearch model")
    version = content.get("version")
    if type(version) is not int or version not in READABLE:
        raise BundleError(
            f"{path}: model of version {_version(version)}, this program reads "
            f"{', '.join(map(str, READABLE))}; use the ocrsearch that made it, or make it again"
        )
    try:
        return _model(content)
    except (ValueError, OcrSearchError) as error:
        raise BundleError(f"{path}: damaged model ({_reason(error)})") from None


class Recogniser(NamedTuple):
    """Checked weights of a trial, with configuration and charset; ``study`` is an id, or empty."""

    config: Config
    charset: Charset
    weights: dict[str, torch.Tensor]
    study: str


def read_recogniser(path: Path) -> Recogniser:
    """Read the weights that the training of a trial saved, with configuration and charset.

    Raises:
        OtherNetworkError: the network of another program.
        BundleError: no such file, or damaged.
    """
    content = load_tensors(path)
    try:
        about = [content.get("config"), content.get("symbols"), study := content.get("study", "")]
        if problem := plain_problem(about):
            raise ValueError(problem)
        config = Config.model_validate(content.get("config"))
        charset = Charset.from_content(content)
        weights = check_weights(content.get("weights"), config, len(charset))
        return Recogniser(config, charset, weights, str(study))
    except OtherNetworkError:
        raise
    except (ValueError, OcrSearchError) as error:
        raise BundleError(f"{path}: damaged weights ({_reason(error)})") from None


def check_weights(weights: Any, config: Config, n_symbols: int) -> dict[str, torch.Tensor]:
    """Return weights in 32 bits if they are those of a configuration's network.

    Args:
        weights: anything from a file, by name; some in 16 bits.
        config: configuration of the network.
        n_symbols: size of the charset.

    Raises:
        OtherNetworkError: names, shapes or types are not those of the network.
        ValueError: a weight is not a finite number.
        InfeasibleError: the network is too large.
    """
    expected = outline(config, n_symbols)
    if not isinstance(weights, dict) or weights.keys() != expected.keys():
        raise OtherNetworkError("its weights are not those of its configuration's network")
    checked = {}
    for name, like in expected.items():
        tensor = weights[name]
        if not isinstance(tensor, torch.Tensor) or tensor.shape != like.shape:
            raise OtherNetworkError(f"{name} has not the shape of its configuration's network")
        if tensor.dtype != like.dtype and (tensor.dtype, like.dtype) != WIDENED:
            raise OtherNetworkError(f"{name} has not the type of its configuration's network")
        if not tensor.isfinite().all():
            raise ValueError(f"{name} has numbers that are infinite or NaN")
        checked[name] = tensor.to(like.dtype)
    return checked


WIDENED = (torch.float16, torch.float32)
"""The type that weights may be stored in, and the type in which networks are built."""


def _model(content: dict[str, object]) -> ModelFile:
    stored = StoredModel.model_validate(content)
    charset = Charset.from_content({"symbols": stored.symbols, "bidi": stored.bidi})
    networks = []
    n_left = MAX_PARAMETERS
    for network in (stored, *stored.others):
        n_left -= sum(tensor.numel() for tensor in network.weights.values())
        if n_left < 0:
            raise ValueError(f"over {MAX_PARAMETERS:,} weights in all")
        networks.append(_network(network, len(charset)))
    return ModelFile(charset, tuple(networks))


def _network(stored: StoredNetwork, n_symbols: int) -> Network:
    if problem := plain_problem([stored.config, stored.metrics, stored.provenance]):
        raise ValueError(problem)
    metrics: dict[str, float] = {}
    for name, value in stored.metrics.items():
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"metrics: {name} is not a finite number")
        metrics[name] = value
    provenance = Provenance.from_plain(stored.provenance)
    config = Config.model_validate(stored.config)
    weights = check_weights(stored.weights, config, n_symbols)
    return Network(config, weights, metrics, provenance)


def _reason(error: Exception) -> str:
    """Return the problem in a few harmless words."""
    reason = str(error)
    if isinstance(error, ValidationError):
        finding = error.errors(include_url=False, include_input=False)[0]
        reason = ": ".join([".".join(map(str, finding["loc"])), finding["msg"]])
    return printable(" ".join(reason.split()), max_length=200)


def _version(value: Any) -> str:
    if not isinstance(value, int | str):
        return f"of type {type(value).__name__}"
    return printable(shown(value), max_length=20)
