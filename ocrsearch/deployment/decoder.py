"""The decoder of an encoder-decoder as graphs of ONNX: a step, and the CTC head beside it.

A step takes N texts at once, several of which may belong to an image. ``lines`` (N,) is the image
of each text. To compute the means of attention, the texts of an image are gathered in slots:
``slots`` (N,) is ``lines * n_places + place`` with the place of a text among those of its image,
and ``n_places`` (1,) the largest number of texts of an image.
"""

from __future__ import annotations

import numpy as np
import onnx
from torch import nn

from ocrsearch.deployment.graph import FLOAT, INT64, GraphBuilder, Shape, Value
from ocrsearch.deployment.layers import array, fold_into_linear
from ocrsearch.models import AdditiveAttention, LocationAttention, Seq2Seq


def step_graph(network: Seq2Seq) -> onnx.ModelProto:
    """Return the graph of a decoder step.

    Inputs are ``ids`` (N,), ``lines`` (N,), the state and the encoder's ``values``; with
    attention also ``slots``, ``n_places``, ``keys`` and ``lengths`` (B,), the number of time
    steps. The state is ``hidden`` (N, hidden_size), for an LSTM ``cell`` of the same shape, for
    location-aware attention ``past`` (N, 2, T). Outputs are ``log_probs`` (N, V) and the next
    state, with names that begin with ``next_``.
    """
    graph = GraphBuilder()
    hidden_size, size = network.initial.out_features, network.initial.in_features
    inputs: dict[Value, tuple[int, Shape]] = {
        "ids": (INT64, ("texts",)),
        "lines": (INT64, ("texts",)),
        "hidden": (FLOAT, ("texts", hidden_size)),
    }
    outputs: dict[Value, tuple[int, Shape]] = {
        "log_probs": (FLOAT, ("texts", network.eos_id + 1)),
        "next_hidden": (FLOAT, ("texts", hidden_size)),
    }
    attention = network.attention
    if isinstance(attention, AdditiveAttention):
        inputs |= {
            "values": (FLOAT, ("batch", "frames", size)),
            "keys": (FLOAT, ("batch", "frames", hidden_size)),
            "lengths": (INT64, ("batch",)),
            "slots": (INT64, ("texts",)),
            "n_places": (INT64, (1,)),
        }
        weights = _attend(graph, attention)
        context = _read(graph, weights, size)
        if isinstance(attention, LocationAttention):
            inputs["past"] = outputs["next_past"] = (FLOAT, ("texts", 2, "frames"))
            _remember(graph, weights)
    else:
        inputs["values"] = (FLOAT, ("batch", size))
        context = graph.op("Gather", "values", "lines", axis=0)
    embedding = graph.constant(array(network.embedding.weight), np.float32)
    embedded = graph.op("Gather", embedding, "ids", axis=0)
    if isinstance(network.cell, nn.LSTMCell):
        inputs["cell"] = outputs["next_cell"] = (FLOAT, ("texts", hidden_size))
        hidden = _lstm(graph, network.cell, embedded, context)
    else:
        assert isinstance(network.cell, nn.GRUCell)
        hidden = _gru(graph, network.cell, embedded, context)
    logits = graph.op("Concat", hidden, context, axis=1)
    logits = graph.linear(logits, *fold_into_linear(network.head, None))
    graph.op("LogSoftmax", logits, axis=1, name="log_probs")
    return graph.build("step", inputs, outputs)


def _attend(graph: GraphBuilder, attention: AdditiveAttention) -> Value:
    """Return the (N, T) weights of the time steps."""
    query = graph.linear("hidden", *fold_into_linear(attention.query, None))
    query = graph.op("Unsqueeze", query, graph.ints(1))
    sums = graph.op("Add", graph.op("Gather", "keys", "lines", axis=0), query)
    if isinstance(attention, LocationAttention):
        kernel = array(attention.filters.weight)
        width = kernel.shape[2]
        filters = graph.constant(kernel, np.float32)
        pads = [width // 2, width // 2]
        located = graph.op("Conv", "past", filters, kernel_shape=[width], pads=pads)
        located = graph.op("Transpose", located, perm=[0, 2, 1])
        located = graph.linear(located, *fold_into_linear(attention.location, None))
        sums = graph.op("Add", sums, located)
    energies = graph.linear(graph.op("Tanh", sums), *fold_into_linear(attention.score, None))
    energies = graph.op("Squeeze", energies, graph.ints(2))
    lengths = graph.op("Gather", "lengths", "lines", axis=0)
    lengths = graph.op("Unsqueeze", lengths, graph.ints(1))
    inside = graph.op("Less", graph.positions(energies, 1), lengths)
    nothing = graph.constant(np.float32(-1e30))
    return graph.op("Softmax", graph.op("Where", inside, energies, nothing), axis=1)


def _read(graph: GraphBuilder, weights: Value, size: int) -> Value:
    """Return the (N, D) means of the values, computed image by image."""
    n_frames = graph.size(weights, 1)
    n_slots = graph.op("Mul", graph.size("values", 0), "n_places")
    shape = graph.op("Concat", n_slots, n_frames, axis=0)
    empty = graph.op("Expand", graph.constant(np.float32(0.0)), shape)
    slots = graph.op("Unsqueeze", "slots", graph.ints(1))
    padded = graph.op("ScatterND", empty, slots, weights)
    shape = graph.op("Concat", graph.ints(-1), "n_places", n_frames, axis=0)
    means = graph.op("MatMul", graph.op("Reshape", padded, shape), "values")
    means = graph.op("Reshape", means, graph.ints(-1, size))
    return graph.op("Gather", means, "slots", axis=0)


def _remember(graph: GraphBuilder, weights: Value) -> None:
    """Add the next past: the weights of this step, and the sum of all weights."""
    total = graph.op("Gather", "past", graph.constant(np.int64(1)), axis=1)
    rows = [
        graph.op("Unsqueeze", row, graph.ints(1))
        for row in (weights, graph.op("Add", total, weights))
    ]
    graph.op("Concat", *rows, axis=1, name="next_past")


def _lstm(graph: GraphBuilder, cell: nn.LSTMCell, embedded: Value, context: Value) -> Value:
    """Return the next hidden state of an LSTM cell: one product for inputs and hidden state."""
    weight = np.concatenate([array(cell.weight_ih), array(cell.weight_hh)], axis=1)
    inputs = graph.op("Concat", embedded, context, "hidden", axis=1)
    gates = graph.linear(inputs, weight, array(cell.bias_ih) + array(cell.bias_hh))
    i, f, g, o = graph.ops("Split", gates, names=[""] * 4, axis=1)
    kept = graph.op("Mul", graph.op("Sigmoid", f), "cell")
    added = graph.op("Mul", graph.op("Sigmoid", i), graph.op("Tanh", g))
    state = graph.op("Tanh", graph.op("Add", kept, added, name="next_cell"))
    return graph.op("Mul", graph.op("Sigmoid", o), state, name="next_hidden")


def _gru(graph: GraphBuilder, cell: nn.GRUCell, embedded: Value, context: Value) -> Value:
    """Return the next hidden state of a GRU cell."""
    inputs = graph.op("Concat", embedded, context, axis=1)
    own = graph.linear(inputs, array(cell.weight_ih), array(cell.bias_ih))
    past = graph.linear("hidden", array(cell.weight_hh), array(cell.bias_hh))
    r, z, n = graph.ops("Split", own, names=[""] * 3, axis=1)
    r_past, z_past, n_past = graph.ops("Split", past, names=[""] * 3, axis=1)
    reset = graph.op("Sigmoid", graph.op("Add", r, r_past))
    update = graph.op("Sigmoid", graph.op("Add", z, z_past))
    new = graph.op("Tanh", graph.op("Add", n, graph.op("Mul", reset, n_past)))
    change = graph.op("Mul", update, graph.op("Sub", "hidden", new))
    return graph.op("Add", new, change, name="next_hidden")


def ctc_graph(network: Seq2Seq) -> onnx.ModelProto:
    """Return the CTC head: ``columns`` (B, T, L) to ``log_probs`` (B, T, V), the blank last."""
    graph = GraphBuilder()
    conv = network.column_head.conv
    maps = graph.op("Transpose", "columns", perm=[0, 2, 1])
    kernel, bias = (graph.constant(array(v), np.float32) for v in (conv.weight, conv.bias))
    logits = graph.op("Conv", maps, kernel, bias, kernel_shape=[3], pads=[1, 1])
    logits = graph.op("Transpose", logits, perm=[0, 2, 1])
    graph.op("LogSoftmax", logits, axis=2, name="log_probs")
    inputs = {"columns": (FLOAT, ("batch", "frames", conv.in_channels))}
    outputs = {"log_probs": (FLOAT, ("batch", "frames", conv.out_channels))}
    return graph.build("ctc", inputs, outputs)
