"""Graphs of ONNX, built node by node.

PyTorch's exporter is not used: it freezes the time axis of two recurrent layers, of which one
reads reversed sequences (pytorch#191855).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
"""Version of the operators: read by ONNX Runtime 1.14 and later, OpenVINO and rten."""

IR_VERSION = 8
"""Version of the file format that belongs to the operators."""

Value: TypeAlias = str
"""Name of a tensor in a graph."""

Shape: TypeAlias = Sequence[int | str]
"""Sizes of a tensor; a text names a size that varies."""

UINT8, INT64, FLOAT = TensorProto.UINT8, TensorProto.INT64, TensorProto.FLOAT
INT32, DOUBLE = TensorProto.INT32, TensorProto.DOUBLE


class GraphBuilder:
    """Collects the nodes and constants of a graph."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._tensors: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: type[np.generic] | None = None) -> Value:
        """Return a constant; equal constants are stored once."""
        array = np.ascontiguousarray(values, dtype)  # makes a scalar one-dimensional
        array = array.reshape(np.shape(values))
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = f"c{len(self._constants)}"
            self._tensors.append(numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def ints(self, *values: int) -> Value:
        """Return a constant vector of int64, for sizes and axes."""
        return self.constant(values, np.int64)

    def op(self, kind: str, *inputs: Value, name: Value = "", **attributes: Any) -> Value:
        """Add a node with one output and return it.

        Args:
            kind: type of the operator.
            inputs: inputs; empty for an input that is left out.
            name: name of the output; empty for any.
            attributes: attributes of the operator.
        """
        (output,) = self.ops(kind, *inputs, names=[name], **attributes)
        return output

    def ops(
        self, kind: str, *inputs: Value, names: Sequence[Value], **attributes: Any
    ) -> list[Value]:
        """Add a node with several outputs and return them; see ``op``."""
        n = len(self._nodes)
        outputs = [name or f"{kind.lower()}{n}_{i}" for i, name in enumerate(names)]
        self._nodes.append(helper.make_node(kind, inputs, outputs, f"n{n}", **attributes))
        return outputs

    def cast(self, value: Value, kind: int) -> Value:
        """Return a tensor in another type."""
        return self.op("Cast", value, to=kind)

    def size(self, value: Value, axis: int) -> Value:
        """Return the size of a tensor along an axis, as a vector of one number."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def positions(self, value: Value, axis: int) -> Value:
        """Return the numbers from 0 up to the size of a tensor along an axis, (n,) int64."""
        size = self.op("Squeeze", self.size(value, axis))
        one, zero = self.constant(np.int64(1)), self.constant(np.int64(0))
        return self.op("Range", zero, size, one)

    def affine(self, value: Value, scale: np.ndarray | None, shift: np.ndarray | None) -> Value:
        """Return ``value * scale + shift``, where either may be None."""
        if scale is not None:
            value = self.op("Mul", value, self.constant(scale, np.float32))
        if shift is not None:
            value = self.op("Add", value, self.constant(shift, np.float32))
        return value

    def linear(self, value: Value, weight: np.ndarray, bias: np.ndarray | None) -> Value:
        """Return ``value @ weight.T + bias``, as a linear layer of PyTorch."""
        product = self.op("MatMul", value, self.constant(weight.T, np.float32))
        return self.affine(product, None, bias)

    def build(
        self,
        name: str,
        inputs: Mapping[Value, tuple[int, Shape]],
        outputs: Mapping[Value, tuple[int, Shape]],
    ) -> onnx.ModelProto:
        """Return the checked graph.

        Args:
            name: name of the graph.
            inputs: type and shape of each input.
            outputs: type and shape of each output.
        """
        ins, outs = (
            [helper.make_tensor_value_info(key, *kind) for key, kind in values.items()]
            for values in (inputs, outputs)
        )
        graph = helper.make_graph(self._nodes, name, ins, outs, self._tensors)
        opset = helper.make_opsetid("", OPSET)
        model = helper.make_model(
            graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="ocrsearch"
        )
        onnx.checker.check_model(model, full_check=True)
        return model
