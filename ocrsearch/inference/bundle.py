"""Bundles: one file with everything needed for recognition.

A bundle holds weights, configuration, charset, metrics and provenance, for one network or for each
member of an ensemble. It contains only tensors and plain values, so loading it runs no code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ocrsearch.core import BundleError, Config
from ocrsearch.data import Charset, DataOptions
from ocrsearch.models import MAX_PARAMETERS, Recogniser, build_network
from ocrsearch.training import FORMAT, VERSION, Provenance, read_model_file, save_tensors


@dataclass(frozen=True)
class Bundle:
    """A recogniser: a single network or an ensemble.

    Attributes:
        config: configuration of the image scaling and the network.
        charset: characters that the network can output.
        weights: state dict of the network.
        metrics: metrics on the validation split, for an ensemble those of the whole ensemble. If
            the network was cross-validated or refit, ``provenance.metrics_of`` names the data.
        provenance: origin of the weights; for an ensemble the origin of the best network and the
            list of members.
        others: further members of the ensemble, with the same charset.
    """

    config: Config
    charset: Charset
    weights: dict[str, torch.Tensor]
    metrics: dict[str, float]
    provenance: Provenance
    others: tuple[Bundle, ...] = ()

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


def halve(bundle: Bundle) -> Bundle:
    """Return the bundle with its matrices and kernels in 16 bits, which halves the file size.

    Vectors keep 32 bits: they are small, and the variances of normalisation layers may overflow
    16 bits. A matrix also keeps 32 bits if a value in it would overflow.
    """
    weights = {name: _half(tensor) for name, tensor in bundle.weights.items()}
    return replace(bundle, weights=weights, others=tuple(map(halve, bundle.others)))


def _half(tensor: torch.Tensor) -> torch.Tensor:
    half = tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
    return half if half.isfinite().all() else tensor


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
    content = {
        "format": FORMAT,
        "version": VERSION,
        **bundle.charset.content(),
        **_content(bundle),
        "others": [_content(other) for other in bundle.others],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_tensors(content, path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror or error})") from None


def load_bundle(path: Path) -> Bundle:
    """Load a bundle without running code from it.

    Raises:
        BundleError: the file is missing, damaged, not a bundle, or has a newer version.
    """
    model = read_model_file(path)
    first, *others = (
        Bundle(network.config, model.charset, network.weights, network.metrics, network.provenance)
        for network in model.networks
    )
    return replace(first, others=tuple(others))


def _content(bundle: Bundle) -> dict[str, object]:
    """Return the part of the file that describes one network."""
    return {
        "config": bundle.config.model_dump(mode="json"),
        "weights": bundle.weights,
        "metrics": bundle.metrics,
        "provenance": bundle.provenance.to_plain(),
    }
