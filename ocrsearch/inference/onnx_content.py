"""Files of ONNX, taken apart and checked before ONNX Runtime sees them.

ONNX Runtime would read other files that a model names, and load what a model defines. So the
messages of a file (Protocol Buffers) are read here, without copying weights, and anything but the
operators and plain weights of this program is refused.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ocrsearch.core import BundleError, file_problem, printable

MAX_FILE_BYTES = 450_000_000
MAX_NODES = 5000
MAX_ATTRIBUTES = 20
MAX_DIMENSIONS = 8
MAX_INTEGERS = 64
"""Largest number of int64 in a constant: they are sizes, axes and lengths."""

MAX_SIZE = 1_000_000
"""Largest absolute value of these."""

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES = 10

OPERATORS = frozenset(
    (
        *("Add", "And", "Cast", "Concat", "Conv", "DequantizeLinear", "Div"),
        *("DynamicQuantizeLinear", "Expand", "Gather", "GreaterOrEqual", "GRU", "Identity"),
        *("LayerNormalization", "Less", "LogSoftmax", "LSTM", "MatMul", "MatMulInteger", "Max"),
        *("MaxPool", "Mul", "Range", "ReduceSum", "Relu", "Reshape", "ScatterND", "Shape"),
        *("Sigmoid", "Softmax", "Split", "Sqrt", "Squeeze", "Sub", "Tanh", "Transpose"),
        *("Unsqueeze", "Where"),
    )
)
QUANTIZED = frozenset({"DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"})
"""Operators of ONNX Runtime for weights of 8 bits."""

DOMAINS = {"": OPERATORS, "ai.onnx": OPERATORS, "com.microsoft": QUANTIZED}

TYPES: dict[int, type[np.generic]] = {
    1: np.float32,
    2: np.uint8,
    3: np.int8,
    6: np.int32,
    7: np.int64,
    10: np.float16,
    11: np.float64,
}
"""Types of constants by their numbers in ONNX."""

Message = memoryview
Field = tuple[int, int, Any]
"""Number, wire type and value: an integer, or a part of the file."""


class RefusedError(Exception):
    """A file that is damaged, or holds more than a model of ocrsearch."""


def fields(message: Message) -> Iterator[Field]:
    """Yield the fields of a message; raise RefusedError if it is damaged."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, place = _varint(message, place)
            yield number, kind, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(kind)
        if kind == BYTES:
            size, place = _varint(message, place)
        if size is None or size > end - place:
            raise RefusedError("damaged, or cut off")
        yield number, kind, message[place : place + size]
        place += size


def _varint(message: Message, place: int) -> tuple[int, int]:
    """Return the number at a place of a message, and the place after it."""
    value = 0
    for i, byte in enumerate(message[place : place + MAX_VARINT_BYTES]):
        value |= (byte & 127) << (7 * i)
        if byte < 128:
            return value, place + i + 1
    raise RefusedError("damaged, or cut off")


def _text(value: Any) -> str:
    if not isinstance(value, memoryview):
        raise RefusedError("damaged: a number in the place of a text")
    try:
        return bytes(value).decode()
    except UnicodeDecodeError:
        raise RefusedError("damaged: a text that is not UTF-8") from None


def _message(value: Any) -> Message:
    if not isinstance(value, memoryview):
        raise RefusedError("damaged: a number in the place of a message")
    return value


def read_onnx(path: Path) -> memoryview:
    """Return the bytes of a file.

    Raises:
        BundleError: no such file, or too large.
    """
    if not path.exists():
        raise BundleError(f"{path}: no such model file; 'ocrsearch export' makes one")
    if problem := file_problem(path, MAX_FILE_BYTES):
        raise BundleError(f"{path}: {problem}")
    try:
        return memoryview(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror or error})") from None


IR, GRAPH, OPSET, METADATA = 1, 7, 8, 14
DESCRIPTIONS = frozenset({2, 3, 4, 5, 6})
"""Fields of a model that describe it: producer, version and documentation."""


def metadata_of(model: Message) -> dict[str, Message]:
    """Return the metadata of a model, the values not decoded; raise RefusedError if damaged."""
    found: dict[str, Message] = {}
    for number, _, value in fields(model):
        if number == METADATA:
            entry = {n: _message(part) for n, _, part in fields(_message(value))}
            found[_text(entry.get(1, memoryview(b"")))] = entry.get(2, memoryview(b""))
    return found


def checked_graph(model: Message) -> tuple[bytes, int]:
    """Return a model without its metadata, and the number of its weights.

    Raises:
        RefusedError: the model has unknown operators, refers to other files, or is damaged.
    """
    parts: list[bytes] = []
    n_graphs = n_weights = 0
    for number, kind, value in fields(model):
        if number == METADATA or number in DESCRIPTIONS:
            continue
        if number == GRAPH:
            n_graphs += 1
            n_weights = _check_graph(_message(value))
        elif number == OPSET:
            domains = [_text(part) for n, _, part in fields(_message(value)) if n == 1]
            if not set(domains) <= DOMAINS.keys():
                raise RefusedError(f"custom operators ({printable(domains[0], max_length=50)})")
        elif number != IR:
            raise RefusedError("functions or other additions that ocrsearch never writes")
        parts.append(_encoded(number, kind, value))
    if n_graphs != 1:
        raise RefusedError("no model of ONNX, or damaged")
    return b"".join(parts), n_weights


def _encoded(number: int, kind: int, value: Any) -> bytes:
    """Return a field as it was in the message."""
    key = _encode_varint(number << 3 | kind)
    if kind == VARINT:
        return key + _encode_varint(value)
    return key + _encode_varint(len(value)) * (kind == BYTES) + bytes(value)


def _encode_varint(value: int) -> bytes:
    parts = []
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


NODE, INITIALIZER = 1, 5
OTHER_GRAPH_FIELDS = frozenset({2, 10, 11, 12, 13, 16})
"""Name, documentation, inputs, outputs, shapes of values and metadata."""


def _check_graph(graph: Message) -> int:
    """Check the nodes and constants of a graph, and return the number of weights."""
    n_nodes = n_weights = 0
    for number, _, value in fields(graph):
        if number == NODE:
            n_nodes += 1
            _check_node(_message(value))
        elif number == INITIALIZER:
            n_weights += _check_tensor(_message(value))
        elif number not in OTHER_GRAPH_FIELDS:
            raise RefusedError("sparse or other constants that ocrsearch never writes")
        if n_nodes > MAX_NODES:
            raise RefusedError(f"over {MAX_NODES:,} operators")
    return n_weights


def _check_node(node: Message) -> None:
    kind = domain = ""
    n_attributes = 0
    for number, _, value in fields(node):
        if number == 4:
            kind = _text(value)
        elif number == 7:
            domain = _text(value)
        elif number == 5:
            n_attributes += 1
            _check_attribute(_message(value))
    if kind not in DOMAINS.get(domain, ()):
        name = printable(f"{domain}.{kind}".strip("."), max_length=80)
        raise RefusedError(f"an operator that ocrsearch never writes ({name})")
    if n_attributes > MAX_ATTRIBUTES:
        raise RefusedError("an operator with too many attributes")


PLAIN_ATTRIBUTE = frozenset({1, 2, 3, 4, 7, 8, 9, 13, 20})
"""Fields of an attribute: name, numbers and texts, but no tensor and no graph."""


def _check_attribute(attribute: Message) -> None:
    for number, _, value in fields(attribute):
        if number not in PLAIN_ATTRIBUTE:
            raise RefusedError("an operator with a graph or a tensor inside")
        if isinstance(value, memoryview) and len(value) > 1000:
            raise RefusedError("an operator with a long attribute")


DIMS, TYPE, RAW, EXTERNAL, LOCATION = 1, 2, 9, 13, 14
TYPED = {4: np.float32, 5: None, 7: None, 10: np.float64}
"""Fields for values that are not raw bytes, with their types; None for a list of varints."""


def _check_tensor(tensor: Message) -> int:
    """Check a constant, and return the number of its values."""
    shape: list[int] = []
    dtype: type[np.generic] | None = None
    content: tuple[int, Message] | None = None
    for number, kind, value in fields(tensor):
        if number == DIMS:
            shape += _integers(kind, value)
        elif number == TYPE:
            dtype = TYPES.get(value) if kind == VARINT else None
        elif number == EXTERNAL or (number == LOCATION and value != 0):
            raise RefusedError("weights in another file, which ocrsearch never writes")
        elif number == RAW or number in TYPED:
            if content is not None:
                raise RefusedError("damaged: a constant with two contents")
            content = number, _packed(kind, value)
        elif number not in (8, 12, LOCATION, 16):
            raise RefusedError("a constant of a kind that ocrsearch never writes")
    if dtype is None or len(shape) > MAX_DIMENSIONS or any(n < 0 for n in shape):
        raise RefusedError("damaged: a constant of unknown type or size")
    n = math.prod(shape)
    values = _values(content, dtype, n)
    if dtype == np.int64 and (n > MAX_INTEGERS or (np.abs(values) > MAX_SIZE).any()):
        raise RefusedError("damaged: sizes that are too large")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise RefusedError("damaged: weights that are infinite or NaN")
    return n


def _packed(kind: int, value: Any) -> Message:
    """Return a list of numbers as bytes; a list with one number may not be packed."""
    return memoryview(_encode_varint(value)) if kind == VARINT else value


def _values(content: tuple[int, Message] | None, dtype: type[np.generic], n: int) -> np.ndarray:
    """Return the n values of a constant; raise RefusedError if there are more or fewer."""
    number, data = content or (RAW, memoryview(b""))
    stored = dtype if number == RAW else TYPED[number]
    if stored is None:
        values = np.array(_integers(BYTES, data)[: n + 1], np.int64)
    elif len(data) % np.dtype(stored).itemsize:
        raise RefusedError("damaged: a constant that is cut off")
    else:
        values = np.frombuffer(data, stored)
    if len(values) != n:
        raise RefusedError("damaged: a constant with too many or too few values")
    return values


def _integers(kind: int, value: Any) -> list[int]:
    """Return one number or a packed list of them, with their signs."""
    found, place = [], 0
    if kind == VARINT:
        found = [value]
    else:
        message = _message(value)
        while place < len(message):
            number, place = _varint(message, place)
            found.append(number)
    return [n - 2**64 if n >= 2**63 else n for n in found]
