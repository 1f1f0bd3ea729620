"""Model files, called bundles, and weights of trials: written, and read without running code.

A bundle is one file with all that recognition needs: weights, configuration, charset, metrics and
provenance, for one network or for each member of an ensemble. Nothing in a file is trusted. All
values are validated here, and names, shapes and types of the weights are compared with the network
of the configuration before it is built.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import BaseModel, ConfigDict, Field

from ocrsearch.core import BundleError, Config, OcrSearchError, printable, shown
from ocrsearch.data import Charset, DataOptions
from ocrsearch.evaluation import UNCALIBRATED, Trust
from ocrsearch.models import MAX_PARAMETERS, Recogniser, build_network, outline
from ocrsearch.training.checkpoint import load_tensors, save_tensors
from ocrsearch.training.model import (
    MAX_NETWORKS,
    check_facts,
    check_trust,
    plain_problem,
    reason_of,
)
from ocrsearch.training.provenance import Provenance

FORMAT = "ocrsearch model"
VERSION = 8
"""Version of the files that this program writes. New in each version:

2: separate layers for the two directions of an RNN, a strength for each kind of augmentation.
3: normalisation after the pooling, no longer before it.
4: ensembles (``StoredModel.others``).
5: weights of 16 bits.
6: additional training samples (the data option ``extra_train_data``).
7: right-to-left labels in visual order (``StoredModel.bidi``).
8: current names of the keys of a configuration (``core/renamed.py``).

Calibration of the confidence (``StoredModel.trust``) needs no version: without it a program reads
the same texts.
"""

READABLE = (3, 4, 5, 6, 7, VERSION)
"""Versions that can be read. Fields that a file lacks have their defaults."""


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
    trust: dict[str, object] | None = None


@dataclass(frozen=True)
class Bundle:
    """A recogniser: a single network or an ensemble.

    Attributes:
        config: configuration of the image scaling and the network.
        charset: characters that the network can output.
        weights: state dict of the network. In a bundle from a file it is in 32 bits; names, shapes
            and types are those of the configuration's network, and all numbers are finite.
        metrics: metrics on the validation split, for an ensemble those of the whole ensemble. If
            the network was cross-validated or refit, ``provenance.metrics_of`` names the data.
        provenance: origin of the weights; for an ensemble the origin of the best network and the
            list of members.
        others: further members of the ensemble, with the same charset.
        trust: calibration and threshold of the confidence, for an ensemble those of the whole.
    """

    config: Config
    charset: Charset
    weights: dict[str, torch.Tensor]
    metrics: dict[str, float]
    provenance: Provenance
    others: tuple[Bundle, ...] = ()
    trust: Trust = UNCALIBRATED

    @property
    def members(self) -> tuple[Bundle, ...]:
        """Members of the ensemble, this network first; only this network without an ensemble."""
        return (self, *self.others)

    def build_network(self) -> Recogniser:
        """Return the network with its weights, in evaluation mode, on the CPU."""
        network = build_network(self.config, len(self.charset), seed=0)
        network.load_state_dict(self.weights)
        return network.eval()

    def data_options(self) -> DataOptions:
        """Return the options with which the training data was read and split."""
        return self.provenance.options()


ADDED = ("n_parameters", "size_mb", "multiply_adds", "latency_ms")
"""Metrics that are summed over the members of an ensemble."""

LIMITS = {"parameters": "n_parameters"}
"""Names of limits that differ from the name of their metric."""


class OtherNetworkError(BundleError):
    """Weights of another network than that of the configuration beside them."""


def load_bundle(path: Path) -> Bundle:
    """Read and check a model file, running no code from it.

    Raises:
        BundleError: no such file, not a model, damaged, or of another version.
    """
    if not path.exists():
        raise BundleError(
            f"{path}: no such model file; 'ocrsearch best' or 'ocrsearch train' makes one"
        )
    if path.suffix.lower() == ".onnx":
        raise BundleError(
            f"{path}: an ONNX model, which only recognises text; give the .pt file that it was "
            "exported from"
        )
    content = load_tensors(path)
    if content.get("format") != FORMAT:
        raise BundleError(f"{path}: a PyTorch file, but not an ocrsearch model")
    version = content.get("version")
    if type(version) is not int or version not in READABLE:
        found = f"of type {type(version).__name__}"
        if isinstance(version, int | str):
            found = printable(shown(version), max_length=20)
        raise BundleError(
            f"{path}: model of version {found}, this program reads "
            f"{', '.join(map(str, READABLE))}; use the ocrsearch that made it, or make it again"
        )
    try:
        stored = StoredModel.model_validate(content)
        charset = Charset.from_content({"symbols": stored.symbols, "bidi": stored.bidi})
        members = []
        n_left = MAX_PARAMETERS
        for network in (stored, *stored.others):
            n_left -= sum(tensor.numel() for tensor in network.weights.values())
            if n_left < 0:
                raise ValueError(f"over {MAX_PARAMETERS:,} weights in all")
            members.append(_checked(network, charset))
        trust = check_trust(stored.trust)
    except (ValueError, OcrSearchError) as error:
        raise BundleError(f"{path}: damaged model ({reason_of(error)})") from None
    return replace(members[0], others=tuple(members[1:]), trust=trust)


def _checked(stored: StoredNetwork, charset: Charset) -> Bundle:
    """Return a network of a model file; raise ValueError or OcrSearchError if it is damaged."""
    config, metrics, provenance = check_facts(stored.config, stored.metrics, stored.provenance)
    weights = check_weights(stored.weights, config, len(charset))
    return Bundle(config, charset, weights, metrics, provenance)


def save_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle atomically.

    Raises:
        BundleError: the file cannot be written, or the networks together are too large to load.
    """
    n_weights = sum(w.numel() for member in bundle.members for w in member.weights.values())
    if n_weights > MAX_PARAMETERS:
        raise BundleError(
            f"{path}: {n_weights:,} weights in all, at most {MAX_PARAMETERS:,}; combine fewer "
            "networks"
        )
    first, *others = (
        {
            "config": member.config.model_dump(mode="json"),
            "weights": member.weights,
            "metrics": member.metrics,
            "provenance": member.provenance.to_plain(),
        }
        for member in bundle.members
    )
    content = {
        "format": FORMAT,
        "version": VERSION,
        **bundle.charset.content(),
        **first,
        "others": others,
        "trust": bundle.trust.model_dump(),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(content, path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror or error})") from None


def halve(bundle: Bundle) -> Bundle:
    """Return the bundle with its matrices and kernels in 16 bits, which halves the file size.

    Vectors keep 32 bits: they are small, and the variances of normalisation layers may overflow
    16 bits. A matrix also keeps 32 bits if a value in it would overflow.
    """
    weights = {}
    for name, tensor in bundle.weights.items():
        half = tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
        weights[name] = half if half.isfinite().all() else tensor
    return replace(bundle, weights=weights, others=tuple(map(halve, bundle.others)))


class TrialWeights(NamedTuple):
    """Checked weights of a trial, with configuration and charset; ``study`` is an id, or empty."""

    config: Config
    charset: Charset
    weights: dict[str, torch.Tensor]
    study: str


def read_weights(path: Path) -> TrialWeights:
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
        return TrialWeights(config, charset, weights, str(study))
    except OtherNetworkError:
        raise
    except (ValueError, OcrSearchError) as error:
        raise BundleError(f"{path}: damaged weights ({reason_of(error)})") from None


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
