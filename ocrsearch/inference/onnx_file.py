"""Model files of ONNX: read and checked, without PyTorch and without running code from the file.

The file is a model of ONNX whose graph is the network; of an ensemble, that of the first member.
Its metadata hold JSON texts: ``format``, ``version``, ``charset``, ``networks`` with configuration,
metrics and provenance of each network, ``decoding``, ``export``, and ``trust`` if the confidence
is calibrated. Further graphs, such as that of a decoder step, are complete models of their own, in
base64 under ``graph/NUMBER/NAME``.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ocrsearch.core import BundleError, Config, OcrSearchError, printable, shown
from ocrsearch.data import Charset, DataOptions
from ocrsearch.evaluation import UNCALIBRATED, Trust
from ocrsearch.inference.onnx_content import (
    Message,
    RefusedError,
    checked_graph,
    metadata_of,
    read_onnx,
)
from ocrsearch.models import MAX_PARAMETERS
from ocrsearch.training import (
    MAX_NETWORKS,
    Provenance,
    check_facts,
    check_trust,
    plain_problem,
    reason_of,
)

ONNX_FORMAT = "ocrsearch onnx model"
ONNX_VERSION = 1

MAX_JSON_BYTES = 64_000_000
"""Largest JSON text in the metadata."""

GRAPH_KEY = "graph"
"""First part of the keys of further graphs."""


class StoredOnnxNetwork(BaseModel):
    """What the metadata hold of a network."""

    model_config = ConfigDict(strict=True)

    config: dict[str, object]
    metrics: dict[str, object] = Field(max_length=1000)
    provenance: dict[str, object]


@dataclass(frozen=True)
class OnnxModel:
    """A recogniser from a file of ONNX: a single network or an ensemble; see ``Model``.

    Attributes:
        path: path of the file, for messages.
        config: configuration of the image scaling and the network.
        charset: characters that the network can output.
        metrics: metrics on the validation split, for an ensemble those of the whole ensemble.
        provenance: origin of the weights.
        graphs: checked graphs of the network by name, as bytes for ONNX Runtime.
        export: facts about the export: the comparison with PyTorch, precision and versions.
        others: further members of the ensemble, with the same charset.
        trust: calibration and threshold of the confidence, for an ensemble those of the whole.
    """

    path: Path
    config: Config
    charset: Charset
    metrics: dict[str, float]
    provenance: Provenance
    graphs: dict[str, bytes]
    export: dict[str, Any]
    others: tuple[OnnxModel, ...] = ()
    trust: Trust = UNCALIBRATED

    @property
    def members(self) -> tuple[OnnxModel, ...]:
        """Members of the ensemble, this network first; only this network without an ensemble."""
        return (self, *self.others)

    def data_options(self) -> DataOptions:
        """Return the options with which the training data was read and split."""
        return self.provenance.options()


def graph_names(config: Config) -> tuple[str, ...]:
    """Return the names of the graphs of a configuration's network."""
    model = config.model
    return ("main", *["step"] * model.has_decoder, *["ctc"] * model.has_joint_ctc)


def load_onnx(path: Path) -> OnnxModel:
    """Read and check a model file of ONNX.

    Raises:
        BundleError: no such file, not a model, damaged, or of another version.
    """
    content = read_onnx(path)
    try:
        metadata = metadata_of(content)
    except RefusedError:
        raise BundleError(f"{path}: not a model of ONNX, or cut off") from None
    if _text_of(metadata, "format") != ONNX_FORMAT:
        raise BundleError(
            f"{path}: not an ocrsearch model: it lacks the charset; make one with "
            "'ocrsearch export'"
        )
    version = _text_of(metadata, "version")
    if version != str(ONNX_VERSION):
        raise BundleError(
            f"{path}: model of version {printable(shown(version), max_length=20)}, this program "
            f"reads {ONNX_VERSION}; use the ocrsearch that made it, or export it again"
        )
    try:
        return _checked(path, content, metadata)
    except RefusedError as error:
        raise BundleError(f"{path}: refused: {error}") from None
    except (ValueError, RecursionError, OcrSearchError) as error:
        raise BundleError(f"{path}: damaged model ({reason_of(error)})") from None


def _text_of(metadata: dict[str, Message], key: str) -> str:
    return bytes(metadata.get(key, b"")[:100]).decode(errors="replace")


def _checked(path: Path, content: Message, metadata: dict[str, Message]) -> OnnxModel:
    """Return the model; raise RefusedError, ValueError or OcrSearchError if it is damaged."""
    charset = Charset.from_content(_json(metadata, "charset", dict))
    export = _json(metadata, "export", dict)
    trust = check_trust(_json(metadata, "trust", dict) if "trust" in metadata else None)
    stored = _json(metadata, "networks", list)
    if not 0 < len(stored) <= MAX_NETWORKS:
        raise ValueError(f"{len(stored)} networks, must be 1 to {MAX_NETWORKS}")
    members, n_left = [], MAX_PARAMETERS
    for i, values in enumerate(stored):
        network = StoredOnnxNetwork.model_validate(values)
        facts = check_facts(network.config, network.metrics, network.provenance)
        graphs = {}
        for name in graph_names(facts.config):
            is_first = i == 0 and name == "main"
            message = content if is_first else _further_graph(metadata, i, name)
            graphs[name], n_weights = checked_graph(message)
            n_left -= n_weights
            if n_left < 0:
                raise ValueError(f"over {MAX_PARAMETERS:,} weights in all")
        config, metrics, provenance = facts
        members.append(OnnxModel(path, config, charset, metrics, provenance, graphs, export))
    return replace(members[0], others=tuple(members[1:]), trust=trust)


def _json(metadata: dict[str, Message], key: str, kind: type) -> Any:
    """Return a plain value of the metadata; raise ValueError if it is missing or another kind."""
    text = metadata.get(key)
    if text is None or len(text) > MAX_JSON_BYTES:
        raise ValueError(f"{key} is missing or too large")
    value = json.loads(bytes(text))
    if not isinstance(value, kind):
        raise ValueError(f"{key} is not a {kind.__name__}")
    if problem := plain_problem(value):
        raise ValueError(f"{key}: {problem}")
    return value


def _further_graph(metadata: dict[str, Message], number: int, name: str) -> Message:
    key = f"{GRAPH_KEY}/{number}/{name}"
    if key not in metadata:
        raise ValueError(f"{key} is missing")
    try:
        return memoryview(base64.b64decode(metadata[key], validate=True))
    except binascii.Error:
        raise ValueError(f"{key} is not base64") from None
