"""The architectures as graphs of ONNX, and the registry of their builders.

The main graph of a network reads images: ``images`` (B, H, W) uint8 of any width, and ``widths``
(B,) int64, multiples of FRAME_STRIDE. Networks with a decoder have a second graph for a step of
the decoder, and a third for the CTC head if it was trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from torch import nn

from ocrsearch.core import Config
from ocrsearch.deployment.decoder import ctc_graph, step_graph
from ocrsearch.deployment.graph import FLOAT, INT64, UINT8, GraphBuilder, Shape, Value
from ocrsearch.deployment.layers import (
    Affine,
    Recurrent,
    array,
    fold_into_linear,
    frame_lengths,
    recurrent,
    standardized,
    tower,
    width_mask,
)
from ocrsearch.models import N_BINS, Classifier, Crnn, Encoder, Seq2Seq

Graphs = dict[str, onnx.ModelProto]
"""The graphs of a network by name; ``main`` is the first."""


def crnn_graphs(network: Crnn, config: Config) -> Graphs:
    """Return the graph of a CRNN, with the output ``log_probs`` (B, T, V), the blank last."""
    graph = GraphBuilder()
    _, encoded, _ = _encode(graph, network.encoder, config)
    logits = graph.linear(encoded.features, *fold_into_linear(network.head, encoded.norm))
    log_probs = graph.op("LogSoftmax", logits, axis=2)
    graph.op("Transpose", log_probs, perm=[1, 0, 2], name="log_probs")
    n_outputs = network.blank_id + 1
    return {"main": _main(graph, config, {"log_probs": ("batch", "frames", n_outputs)})}


def classifier_graphs(network: Classifier, config: Config) -> Graphs:
    """Return the graph of a classifier, with the output ``log_probs`` (B, V)."""
    graph = GraphBuilder()
    images = standardized(graph, "images", "widths", config.images.height)
    maps = tower(graph, network.tower, images)
    columns = graph.op("Transpose", maps, perm=[0, 3, 1, 2])  # (B, T, C, H)
    columns = graph.op("Reshape", columns, graph.ints(0, 0, network.tower.column_size))
    bins = graph.op("MatMul", _bin_weights(graph, columns), columns)
    features = graph.op("Reshape", bins, graph.ints(0, network.linear.in_features))
    features = graph.linear(features, *fold_into_linear(network.linear, None))
    norm = network.norm
    scale, bias = (graph.constant(array(v), np.float32) for v in (norm.weight, norm.bias))
    features = graph.op("LayerNormalization", features, scale, bias, axis=1, epsilon=norm.eps)
    logits = graph.linear(graph.op("Relu", features), *fold_into_linear(network.head, None))
    graph.op("LogSoftmax", logits, axis=1, name="log_probs")
    return {"main": _main(graph, config, {"log_probs": ("batch", network.head.out_features)})}


def _bin_weights(graph: GraphBuilder, columns: Value) -> Value:
    """Return the (B, N_BINS, T) weights of ``ocrsearch/models/classifier.py: bin_weights``."""
    lengths = graph.op("Unsqueeze", frame_lengths(graph, "widths"), graph.ints(1))  # (B, 1)
    bins, n_bins = np.arange(N_BINS), graph.ints(N_BINS)
    starts = graph.op("Div", graph.op("Mul", lengths, graph.ints(*bins)), n_bins)
    ends = graph.op("Mul", lengths, graph.ints(*(bins + 1)))
    ends = graph.op("Div", graph.op("Add", ends, graph.ints(N_BINS - 1)), n_bins)
    frames = graph.positions(columns, 1)
    starts_, ends_ = (graph.op("Unsqueeze", edge, graph.ints(2)) for edge in (starts, ends))
    is_before_end = graph.op("Less", frames, ends_)
    within = graph.op("And", is_before_end, graph.op("GreaterOrEqual", frames, starts_))
    sizes = graph.cast(graph.op("Sub", ends_, starts_), FLOAT)
    return graph.op("Div", graph.cast(within, FLOAT), sizes)


def seq2seq_graphs(network: Seq2Seq, config: Config) -> Graphs:
    """Return encoder, decoder step and CTC head of an encoder-decoder.

    The encoder's outputs are ``hidden`` (B, hidden_size), the first state of the decoder;
    ``values`` and, with attention, ``keys``, which it attends to; and ``columns`` (B, T, L) for
    the CTC head.
    """
    graph = GraphBuilder()
    columns, encoded, lengths = _encode(graph, network.encoder, config)
    norm = encoded.norm or (None, None)
    last = graph.affine(encoded.last, *norm)
    outputs: dict[Value, Shape] = {}
    hidden_size, size = network.initial.out_features, network.initial.in_features
    initial = graph.linear(last, *fold_into_linear(network.initial, None))
    graph.op("Tanh", initial, name="hidden")
    outputs["hidden"] = ("batch", hidden_size)
    mask = graph.op("Unsqueeze", width_mask(graph, columns, 1, lengths), graph.ints(2))
    if network.uses_attention:
        features = graph.op("Transpose", graph.affine(encoded.features, *norm), perm=[1, 0, 2])
        values = graph.op("Mul", features, mask, name="values")
        assert isinstance(network.key, nn.Linear)
        keys = graph.linear(values, *fold_into_linear(network.key, None))
        graph.op("Identity", keys, name="keys")
        outputs |= {"values": ("batch", "frames", size), "keys": ("batch", "frames", hidden_size)}
    else:
        graph.op("Identity", last, name="values")
        outputs["values"] = ("batch", size)
    graphs: Graphs = {}
    if config.model.has_joint_ctc:
        graph.op("Mul", columns, mask, name="columns")
        outputs["columns"] = ("batch", "frames", network.encoder.linear.out_features)
        graphs["ctc"] = ctc_graph(network)
    return {"main": _main(graph, config, outputs), "step": step_graph(network), **graphs}


def _encode(
    graph: GraphBuilder, encoder: Encoder, config: Config
) -> tuple[Value, Recurrent, Value]:
    """Return the columns (B, T, L), the RNN's output and the number of time steps."""
    images = standardized(graph, "images", "widths", config.images.height)
    maps = tower(graph, encoder.tower, images)
    frames = graph.op("Transpose", maps, perm=[3, 0, 1, 2])  # (T, B, C, H)
    frames = graph.op("Reshape", frames, graph.ints(0, 0, encoder.tower.column_size))
    norm = Affine.of(encoder.norm.norm)
    weight = array(encoder.linear.weight) * norm.scale[:, None]
    columns = graph.linear(frames, weight, norm.shift)
    lengths = frame_lengths(graph, "widths")
    encoded = recurrent(graph, encoder.rnn, columns, lengths)
    return graph.op("Transpose", columns, perm=[1, 0, 2]), encoded, lengths


def _main(graph: GraphBuilder, config: Config, outputs: Mapping[Value, Shape]) -> onnx.ModelProto:
    inputs = {
        "images": (UINT8, ("batch", config.images.height, "width")),
        "widths": (INT64, ("batch",)),
    }
    kinds = {name: (FLOAT, shape) for name, shape in outputs.items()}
    return graph.build(config.model.architecture, inputs, kinds)


BUILDERS: dict[str, Callable[[Any, Config], Graphs]] = {
    "crnn": crnn_graphs,
    "seq2seq": seq2seq_graphs,
    "classifier": classifier_graphs,
}
"""Functions from a network in evaluation mode and its configuration to graphs; keys of
ARCHITECTURES."""
