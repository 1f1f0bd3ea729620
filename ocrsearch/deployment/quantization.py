"""Weights of 8 bits: a quarter of the file, and usually faster on a CPU.

Weights are quantised in advance, activations while the network computes. Convolutions compute in
float32, because the errors of the first layers reach all others; with 8 bits they are not faster.
Their weights are stored in 16 bits and converted once, when ONNX Runtime opens the file.
"""

from __future__ import annotations

import logging
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ocrsearch.deployment.networks import Graphs

QUANTIZED = ["LSTM", "MatMul"]
"""Layers with weights of 8 bits. ONNX Runtime has no quantised GRU."""


MIN_HALVED = 1024
"""Smallest tensor of 32 bits that is stored in 16 bits."""


def lacks_vnni() -> bool:
    """Return whether this CPU adds products of 8 bits in 16 bits, where they may overflow.

    Such x86 processors need weights of 7 bits (onnxruntime#5849). If the instructions of an x86
    processor are not known, it is taken for one of them.
    """
    if platform.machine().lower() not in ("x86_64", "amd64", "i686", "x86"):
        return False
    with suppress(OSError):
        return "vnni" not in Path("/proc/cpuinfo").read_text(errors="replace")
    return True


def quantized(graphs: Graphs, *, reduce_range: bool) -> Graphs:
    """Return graphs with weights of 8 bits, or of 7 bits with ``reduce_range``."""
    from onnxruntime.quantization import quantize_dynamic

    found = {}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        for name, graph in graphs.items():
            source, target = (Path(folder) / f"{name}-{kind}.onnx" for kind in ("float", "int8"))
            onnx.save(graph, source)
            quantize_dynamic(
                source,
                target,
                op_types_to_quantize=QUANTIZED,
                per_channel=True,
                reduce_range=reduce_range,
            )
            found[name] = onnx.load(target)
            _halve(found[name].graph)
    return found


def _halve(graph: onnx.GraphProto) -> None:
    """Store the large tensors of 32 bits in 16 bits, with a conversion as the first operation."""
    casts = []
    for tensor in graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < MIN_HALVED:
            continue
        with np.errstate(over="ignore"):
            halved = values.astype(np.float16)
        if not np.isfinite(halved).all():
            continue
        stored = f"{tensor.name}_half"
        casts.append(helper.make_node("Cast", [stored], [tensor.name], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(halved, stored))
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend([*casts, *nodes])


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop the advice that ONNX Runtime logs for graphs of unknown origin."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)
