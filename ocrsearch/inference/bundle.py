"""Bundles: one file with everything that recognition needs.

Weights, configuration, charset, metrics and provenance; several networks where these read together.
A bundle holds tensors and plain values only; reading one runs no code from it.
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
    """A recogniser.

    Attributes:
        config: configuration of image scaling and network.
        charset: characters that the network can write.
        weights: state of the network.
        metrics: metrics on the validation split; for an ensemble those of all together. With
            folds, or trained on the validation split too, those of ``metrics_of``.
        provenance: origin of the weights; for an ensemble that of the best network, with
            the list of its members.
        others: networks of the same charset that read together with this one.
    """

    config: Config
    charset: Charset
    weights: dict[str, torch.Tensor]
    metrics: dict[str, float]
    provenance: Provenance
    others: tuple[Bundle, ...] = ()

    @property
    def members(self) -> tuple[Bundle, ...]:
        """All that read together; this alone where there are no others."""
        return (self, *self.others)

    def build_network(self) -> Recogniser:
        """Return the network with its weights, in evaluation mode, on the CPU."""
        network = build_network(self.config, len(self.charset), seed=0)
        network.load_state_dict(self.weights)
        return network.eval()

    def data_options(self) -> DataOptions:
        """Return the options by which the data of its training was read and split."""
        return self.provenance.options()


ADDED = ("n_parameters", "size_mb", "multiply_adds", "latency_ms")
"""Metrics of which networks that read together have the sum."""

LIMITS = {"parameters": "n_parameters"}
"""Metrics that limits have another name for."""


def halve(bundle: Bundle) -> Bundle:
    """Return the bundle with its matrices and kernels in 16 bits, which halves its file.

    Vectors are left as they are: they take little, and the variances of norms may be beyond 16
    bits. So is a matrix with a number that is.
    """
    weights = {name: _half(tensor) for name, tensor in bundle.weights.items()}
    return replace(bundle, weights=weights, others=tuple(map(halve, bundle.others)))


def _half(tensor: torch.Tensor) -> torch.Tensor:
    half = tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
    return half if half.isfinite().all() else tensor


def save_bundle(bundle: Bundle, path: Path) -> None:
    """Write a bundle; the file appears whole or not at all.

    Raises:
        BundleError: it cannot be written, or its networks are too large together to be read.
    """
    n_weights = sum(w.numel() for member in bundle.members for w in member.weights.values())
    if n_weights > MAX_PARAMETERS:
        raise BundleError(
            f"{path}: {n_weights:,} weights in all, at most {MAX_PARAMETERS:,}; join fewer networks"
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
    """Read a bundle, running no code from it.

    Raises:
        BundleError: no such file, not a bundle, damaged, or of a newer version.
    """
    model = read_model_file(path)
    first, *others = (
        Bundle(network.config, model.charset, network.weights, network.metrics, network.provenance)
        for network in model.networks
    )
    return replace(first, others=tuple(others))


def _content(bundle: Bundle) -> dict[str, object]:
    """Return what belongs to one network."""
    return {
        "config": bundle.config.model_dump(mode="json"),
        "weights": bundle.weights,
        "metrics": bundle.metrics,
        "provenance": bundle.provenance.to_plain(),
    }
