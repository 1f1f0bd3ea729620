"""Bundles: one file with everything that recognition needs.

Weights, configuration, charset, metrics and provenance; several networks where these read together.
A bundle holds tensors and plain values only; reading one runs no code from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ocrsearch.config import Config
from ocrsearch.data.charset import Charset
from ocrsearch.data.options import DataOptions
from ocrsearch.deploy.trial_weights import read_trial_weights
from ocrsearch.errors import BundleError
from ocrsearch.models.factory import build_network
from ocrsearch.models.layers import MAX_PARAMETERS
from ocrsearch.results.query import BestTrial
from ocrsearch.training.checkpoint import save_tensors
from ocrsearch.training.model_file import FORMAT, VERSION, read_model_file


@dataclass(frozen=True)
class Bundle:
    """A recogniser.

    Attributes:
        config: picture scaling and network follow from it.
        charset: the symbols it knows.
        weights: the network's state.
        metrics: on the validation split of its study; of an ensemble those of all together. With
            folds, or trained on the validation split too, those of ``metrics_of``.
        provenance: study, its id, trial, seed, data and its options, versions, the records of the
            training's epochs; hash of the weights it started from (init) and what was kept of
            them (transfer). Of an ensemble the same of its first network, the best one, and trial
            and CER of each (members). If validation images were trained on too: the splits trained
            on (splits_seen), and the images that the metrics are of (metrics_of).
        others: networks of the same charset that read together with this one.
    """

    config: Config
    charset: Charset
    weights: dict[str, torch.Tensor]
    metrics: dict[str, Any]
    provenance: dict[str, Any]
    others: tuple[Bundle, ...] = ()

    @property
    def members(self) -> tuple[Bundle, ...]:
        """All that read together; this alone where there are no others."""
        return (self, *self.others)

    def build_network(self) -> nn.Module:
        """Return the network with its weights, in evaluation mode, on the CPU."""
        network = build_network(self.config, len(self.charset), seed=0)
        network.load_state_dict(self.weights)
        return network.eval()

    def data_options(self) -> DataOptions:
        """Return how the data of its study was read and split."""
        return DataOptions.from_dict(self.provenance.get("data_options", {}))


ADDED = ("n_parameters", "size_mb", "multiply_adds", "latency_ms")
"""Metrics of which networks that read together have the sum."""

LIMITS = {"parameters": "n_parameters"}
"""Metrics that limits have another name for."""


def bundle_trial(
    best: BestTrial, facts: dict[str, Any], limits: Mapping[str, float] | None = None
) -> Bundle:
    """Make a bundle of a trial's kept weights; nothing is trained.

    With folds the networks of all folds read together, as far as the limits allow.

    Args:
        best: the trial.
        facts: of its study, as stored.
        limits: the most that a metric of all together may be, beside the constraints of the study.

    Raises:
        BundleError: the weights are not there any more, or those of an older program's network.
    """
    metrics = {key: value for key, value in best.metrics.items() if isinstance(value, int | float)}
    n = best.n_folds
    for name, limit in (*facts.get("constraints", {}).items(), *(limits or {}).items()):
        value = metrics.get(LIMITS.get(name, name), 0.0)
        n = min(n, int(limit // value)) if name != "memory_mb" and value else n
    files = best.all_weights[: max(1, n)]
    first, *others = (_bundle_fold(best, facts, i, file) for i, file in enumerate(files, start=1))
    added = {key: len(files) * value for key, value in metrics.items() if key in ADDED}
    return replace(first, metrics=metrics | added, others=tuple(others))


def provenance_of(best: BestTrial, facts: dict[str, Any]) -> dict[str, Any]:
    """Return what a network of a trial came from."""
    provenance = {
        "study": best.study,
        "study_id": facts.get("id"),
        "trial": best.trial,
        "seed": best.metrics.get("seed"),
        "data": facts["data_spec"],
        "data_fingerprint": facts["data_fingerprint"],
        "data_options": facts.get("data_options", {}),
        "versions": best.metrics.get("versions", {}),
        "params": best.params,
        "epochs": best.epochs,
        "init": facts.get("init"),
        "transfer": best.metrics.get("transfer"),
    }
    n_folds = facts.get("folds", 1)
    if n_folds > 1:
        of = f"cross-validation on {best.n_folds} of {n_folds} folds"
        provenance |= {"splits_seen": ["train", "val"], "metrics_of": of}
    return provenance


def _bundle_fold(best: BestTrial, facts: dict[str, Any], fold: int, file: Path) -> Bundle:
    trained = read_trial_weights(replace(best, weights=file), facts)
    metrics = {key: value for key, value in best.metrics.items() if isinstance(value, int | float)}
    epochs = [record for record in best.epochs if record.get("fold", 1) == fold]
    provenance = {**provenance_of(best, facts), "epochs": epochs}
    return Bundle(trained.config, trained.charset, trained.weights, metrics, provenance)


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


def _content(bundle: Bundle) -> dict[str, Any]:
    """Return what belongs to one network."""
    return {
        "config": bundle.config.model_dump(mode="json"),
        "weights": bundle.weights,
        "metrics": bundle.metrics,
        "provenance": bundle.provenance,
    }
