"""The content of a file of ONNX: graphs and metadata of a recogniser."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from ocrsearch.core import FRAME_STRIDE, BundleError, ModelConfig
from ocrsearch.deployment.networks import BUILDERS, Graphs
from ocrsearch.inference import GRAPH_KEY, ONNX_FORMAT, ONNX_VERSION
from ocrsearch.training import Bundle


def build_graphs(bundle: Bundle) -> list[Graphs]:
    """Return the graphs of each member of a recogniser.

    Raises:
        BundleError: an architecture has no graph.
    """
    found = []
    for member in bundle.members:
        name = member.config.model.architecture
        if name not in BUILDERS:
            known = ", ".join(BUILDERS)
            raise BundleError(f"a {name} cannot be exported to ONNX; possible are {known}")
        found.append(BUILDERS[name](member.build_network(), member.config))
    return found


def file_content(bundle: Bundle, graphs: Sequence[Graphs], export: Mapping[str, Any]) -> bytes:
    """Return the content of a file; ``load_onnx`` describes it.

    Args:
        bundle: recogniser.
        graphs: graphs of its members.
        export: facts about the export, as plain values.
    """
    networks = [
        {
            "config": member.config.model_dump(mode="json"),
            "metrics": member.metrics,
            "provenance": member.provenance.to_plain(),
        }
        for member in bundle.members
    ]
    texts = {
        "charset": bundle.charset.content(),
        "networks": networks,
        "decoding": decoding_facts(bundle.config.model, len(bundle.charset)),
        "export": dict(export),
        "trust": bundle.trust.model_dump(),
    }
    metadata = {"format": ONNX_FORMAT, "version": str(ONNX_VERSION)}
    metadata |= {key: json.dumps(value, ensure_ascii=False) for key, value in texts.items()}
    for i, of_member in enumerate(graphs):
        for name, graph in of_member.items():
            if (i, name) != (0, "main"):
                content = graph.SerializeToString(deterministic=True)
                metadata[f"{GRAPH_KEY}/{i}/{name}"] = base64.b64encode(content).decode()
    main = onnx.ModelProto()
    main.CopyFrom(graphs[0]["main"])
    onnx.helper.set_model_props(main, metadata)
    content = main.SerializeToString(deterministic=True)
    return bytes(content)


def decoding_facts(model: ModelConfig, n_symbols: int) -> dict[str, Any]:
    """Return how the output of the main graph becomes a text, for other programs.

    Ids below the number of characters are those of the charset.
    """
    facts: dict[str, Any] = {"default": "greedy", "frame_stride": FRAME_STRIDE}
    if model.has_decoder:
        return {**facts, "output": "decoder", "end_id": n_symbols, "begin_id": n_symbols + 1}
    if model.reads_one:
        return {**facts, "output": "one character"}
    return {**facts, "output": "ctc", "blank_id": n_symbols}
