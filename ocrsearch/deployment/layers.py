"""The layers of ``ocrsearch/models/encoder.py`` as nodes of ONNX.

Sequences are time-major here, (T, B, D), as ONNX's recurrent layers read them. A recurrent layer
is one node for both directions; its sequence lengths do what reversing each sequence within its
own length does in PyTorch. Batch norms are folded into their neighbours where that is exact.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from ocrsearch.core import FRAME_STRIDE
from ocrsearch.deployment.graph import DOUBLE, FLOAT, INT32, GraphBuilder, Value
from ocrsearch.models import BiRnn, ConvTower, FrameNorm


def array(tensor: torch.Tensor | None) -> np.ndarray:
    """Return the values of a weight."""
    assert tensor is not None
    return np.asarray(tensor.detach().cpu().numpy())


class Affine(NamedTuple):
    """A batch norm in evaluation mode: ``x * scale + shift`` for each channel."""

    scale: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Affine:
        """Return the scale and shift of a norm."""
        deviation = np.sqrt(array(norm.running_var).astype(np.float64) + norm.eps)
        scale = array(norm.weight) / deviation
        return cls(scale, array(norm.bias) - array(norm.running_mean) * scale)


class Images(NamedTuple):
    """Standardised images in a graph.

    Attributes:
        pixels: (B, 1, H, W) float32.
        widths: (B,) int64 in pixels.
    """

    pixels: Value
    widths: Value


def standardized(graph: GraphBuilder, images: Value, widths: Value, height: int) -> Images:
    """Return images as ``ocrsearch/data/padding.py: standardize`` does, with zeros in the padding.

    The sums over a column of squares are integers below 2**24, so float32 holds them exactly.

    Args:
        graph: graph to add to.
        images: (B, H, W) uint8.
        widths: (B,) int64 in pixels.
        height: height of the images.
    """
    inside = width_mask(graph, images, 2, widths)  # (B, W)
    mask = graph.op("Unsqueeze", inside, graph.ints(1))
    pixels = graph.op("Mul", graph.cast(images, FLOAT), mask)
    area = graph.op(
        "Mul",
        graph.cast(graph.op("Unsqueeze", widths, graph.ints(1)), DOUBLE),
        graph.constant(np.float64(height)),
    )
    mean, mean_square = (
        graph.op("Div", _total(graph, values), area)
        for values in (pixels, graph.op("Mul", pixels, pixels))
    )
    variance = graph.op("Sub", mean_square, graph.op("Mul", mean, mean))
    least = graph.constant(np.float64(1.0))  # a blank image becomes 0
    deviation = graph.op("Sqrt", graph.op("Max", variance, least))
    mean, deviation = (
        graph.op("Unsqueeze", graph.cast(value, FLOAT), graph.ints(2))
        for value in (mean, deviation)
    )
    centred = graph.op("Div", graph.op("Sub", pixels, mean), deviation)
    return Images(graph.op("Unsqueeze", graph.op("Mul", centred, mask), graph.ints(1)), widths)


def _total(graph: GraphBuilder, values: Value) -> Value:
    """Return the sums (B, 1) float64 of (B, H, W) values."""
    columns = graph.op("ReduceSum", values, graph.ints(1), keepdims=0)
    return graph.op("ReduceSum", graph.cast(columns, DOUBLE), graph.ints(1), keepdims=1)


def width_mask(graph: GraphBuilder, value: Value, axis: int, lengths: Value) -> Value:
    """Return (B, n) float32: 1 at the positions along an axis that an image has, 0 after them."""
    lengths = graph.op("Unsqueeze", lengths, graph.ints(1))
    return graph.cast(graph.op("Less", graph.positions(value, axis), lengths), FLOAT)


def tower(graph: GraphBuilder, module: ConvTower, images: Images) -> Value:
    """Return the feature maps (B, C, H, T) of a conv tower, zero in the padding."""
    x, widths, mask = images.pixels, images.widths, ""
    for conv, norm, pool in zip(module.convs, module.pooled_norms, module.pools, strict=True):
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        x = _conv(graph, conv, Affine.of(norm), pool, x)
        if pool[1] > 1:
            widths = graph.op("Div", widths, graph.ints(pool[1]))
        if pool[1] > 1 or not mask:
            mask = graph.op("Unsqueeze", width_mask(graph, x, 3, widths), graph.ints(1, 2))
        x = graph.op("Mul", x, mask)
    return x


def _conv(
    graph: GraphBuilder, conv: nn.Conv2d, norm: Affine, pool: tuple[int, int], x: Value
) -> Value:
    """Return a convolution with its pooling, norm and ReLU, in this order.

    The maximum of scaled values is the scaled maximum only for scales of at least 0. Then the
    norm is folded into the convolution, and the ReLU may come before the pooling.
    """
    kernel = array(conv.weight)
    attributes: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    has_pool = pool != (1, 1)
    if has_pool and (norm.scale < 0).any():
        x = graph.op("Conv", x, graph.constant(kernel, np.float32), **attributes)
        x = graph.op("MaxPool", x, kernel_shape=pool, strides=pool)
        return graph.op("Relu", graph.affine(x, *(v[:, None, None] for v in norm)))
    weights = graph.constant(kernel * norm.scale[:, None, None, None], np.float32)
    x = graph.op("Conv", x, weights, graph.constant(norm.shift, np.float32), **attributes)
    x = graph.op("Relu", x)
    return graph.op("MaxPool", x, kernel_shape=pool, strides=pool) if has_pool else x


def frame_lengths(graph: GraphBuilder, widths: Value) -> Value:
    """Return the number of time steps of each image, (B,) int64."""
    return graph.op("Div", widths, graph.ints(FRAME_STRIDE))


class Recurrent(NamedTuple):
    """The output of recurrent layers, before the norm of the last layer.

    Attributes:
        features: (T, B, 2 * hidden_size) float32; arbitrary in the padding.
        last: (B, 2 * hidden_size), the forward half at the last time step, the backward half at
            the first.
        norm: norm of the last layer, if there is one.
    """

    features: Value
    last: Value
    norm: Affine | None


def recurrent(graph: GraphBuilder, module: BiRnn, x: Value, lengths: Value) -> Recurrent:
    """Return the output of the recurrent layers; each norm is folded into the next layer.

    Args:
        graph: graph to add to.
        module: layers.
        x: (T, B, D) time steps; values in the padding have no effect.
        lengths: (B,) int64 number of time steps.
    """
    lengths, norm, last = graph.cast(lengths, INT32), None, ""
    for i, directions in enumerate(zip(module.forwards, module.backwards, strict=True)):
        x, last = _rnn(graph, directions, x, lengths, norm)
        norm = _norm(module.norms[i]) if module.norms else None
    return Recurrent(x, last, norm)


def _norm(module: nn.Module) -> Affine:
    assert isinstance(module, FrameNorm)
    return Affine.of(module.norm)


ORDER = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}
"""Gates of ONNX by their place in PyTorch: i, f, g, o become i, o, f, c; r, z, n become z, r, h."""


def _rnn(
    graph: GraphBuilder,
    directions: tuple[nn.Module, nn.Module],
    x: Value,
    lengths: Value,
    norm: Affine | None,
) -> tuple[Value, Value]:
    """Return the output of a bidirectional layer at each time step and at its ends."""
    assert isinstance(directions[0], nn.RNNBase)
    kind, hidden_size = directions[0].mode, directions[0].hidden_size
    parts = [_weights(layer, kind, norm) for layer in directions]
    weights = [graph.constant(np.stack(values), np.float32) for values in zip(*parts, strict=True)]
    attributes: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
    found, last = graph.ops(
        *(kind, x, *weights, lengths),
        names=["", ""],
        direction="bidirectional",
        hidden_size=hidden_size,
        **attributes,
    )
    found = graph.op("Transpose", found, perm=[0, 2, 1, 3])  # (T, B, 2, H)
    last = graph.op("Transpose", last, perm=[1, 0, 2])  # (B, 2, H)
    return (
        graph.op("Reshape", found, graph.ints(0, 0, 2 * hidden_size)),
        graph.op("Reshape", last, graph.ints(0, 2 * hidden_size)),
    )


def _weights(layer: nn.Module, kind: str, norm: Affine | None) -> list[np.ndarray]:
    """Return input weights, recurrent weights and biases of a direction, in ONNX's order.

    ``input(x * scale + shift)`` is computed with scaled weights and a shifted bias.
    """
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    inner, recurrent_, bias, recurrent_bias = (
        array(getattr(layer, name)).astype(np.float64) for name in names
    )
    if norm is not None:
        bias = bias + inner @ norm.shift
        inner = inner * norm.scale
    ordered = [_reorder(v, ORDER[kind]) for v in (inner, recurrent_, bias, recurrent_bias)]
    return [ordered[0], ordered[1], np.concatenate(ordered[2:])]


def _reorder(values: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """Return the rows of the gates in another order."""
    gates = np.split(values, len(order))
    return np.concatenate([gates[i] for i in order])


def fold_into_linear(layer: nn.Linear, norm: Affine | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Return weight and bias of a linear layer that reads ``x * scale + shift``."""
    weight = array(layer.weight).astype(np.float64)
    bias = None if layer.bias is None else array(layer.bias)
    if norm is None:
        return weight, bias
    shift = weight @ norm.shift
    return weight * norm.scale, shift if bias is None else bias + shift
