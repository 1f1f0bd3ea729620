"""Files of tensors: written atomically, and read without running code from them.

``torch.save`` needs about thirty of pickle's instructions and a few names. The reader here carries
out these and nothing else: no import, no call. It takes no more memory than the file has bytes,
because it trusts no number in the file. A crash leaves the old file or the new one, never a part.
"""

from __future__ import annotations

import errno
import os
import pickletools
import sys
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ocrsearch.core import (
    ArchiveError,
    BundleError,
    NotAnArchiveError,
    open_archive,
    printable,
    replacing,
    unpack,
)

MAX_INSTRUCTIONS = 500_000
"""Largest number of instructions. A model of 100 epochs has a few thousand, a model of 10,000
epochs about 300,000."""

MAX_INTEGER = 2**64

ORDERED_DICT = "collections OrderedDict"
REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()


class PickleRefusedError(Exception):
    """A pickle with more than tensors and plain values."""


@dataclass(frozen=True, slots=True)
class Name:
    """The name of a class or function in a pickle, such as ``torch FloatStorage``."""

    text: str


class PlainUnpickler:
    """A stack machine for the instructions that ``torch.save`` writes."""

    def __init__(
        self,
        names: Iterable[str],
        load_storage: Callable[[Any], Any],
        make_tensor: Callable[[tuple[Any, ...]], Any],
    ) -> None:
        """Prepare to read one pickle.

        Args:
            names: names that the pickle may use, beside ORDERED_DICT and REBUILD_TENSOR.
            load_storage: called with each persistent id.
            make_tensor: called with the arguments of each tensor.
        """
        self._names = {ORDERED_DICT, REBUILD_TENSOR, *names}
        self._load_storage = load_storage
        self._make_tensor = make_tensor
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self, content: bytes | bytearray) -> Any:
        """Return the value that a pickle describes.

        Raises:
            PickleRefusedError: an instruction or a name is not allowed, or there are too many.
            Exception: the instructions contradict each other.
        """
        stack = self._stack
        argument: Any
        for n, (instruction, argument, _) in enumerate(pickletools.genops(bytes(content))):
            name = instruction.name
            if n >= MAX_INSTRUCTIONS:
                raise PickleRefusedError("too many values")
            if name == "STOP":
                (value,) = stack
                return value
            if name in _VALUES:
                if isinstance(argument, int) and abs(argument) >= MAX_INTEGER:
                    raise PickleRefusedError("a huge integer")
                stack.append(argument)
            elif name in ("BINPUT", "LONG_BINPUT"):
                self._memo[argument] = stack[-1]
            elif name in ("BINGET", "LONG_BINGET"):
                stack.append(self._memo[argument])
            elif name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            elif name in _TUPLES:
                stack.append(tuple(self._pop(_TUPLES[name])))
            else:
                self._do_rarely(name, argument)
        raise ValueError("no end")

    def _do_rarely(self, name: str, argument: Any) -> None:
        """Carry out one of the instructions that are needed less often."""
        stack = self._stack
        match name:
            case "MARK":
                stack.append(_MARK)
            case "TUPLE":
                stack.append(tuple(self._pop_to_mark()))
            case "EMPTY_TUPLE" | "EMPTY_LIST" | "EMPTY_DICT":
                stack.append({"EMPTY_TUPLE": (), "EMPTY_LIST": [], "EMPTY_DICT": {}}[name])
            case "APPEND" | "APPENDS":
                items = self._pop(1) if name == "APPEND" else self._pop_to_mark()
                self._top(list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._pop(2) if name == "SETITEM" else self._pop_to_mark()
                if not all(isinstance(key, str | int) for key in items[::2]):
                    raise PickleRefusedError("a key that is neither text nor an integer")
                self._top(dict).update(zip(items[::2], items[1::2], strict=True))
            case "GLOBAL":
                if argument not in self._names:
                    raise PickleRefusedError(f"the name {argument[:100]}")
                stack.append(Name(argument))
            case "BINPERSID":
                stack.append(self._load_storage(*self._pop(1)))
            case "REDUCE":
                stack.append(self._called(*self._pop(2)))
            case "BUILD":
                self._pop(1)  # versions of modules, which torch attaches to weights
                self._top(dict)
            case "PROTO" if argument == 2:
                pass
            case _:
                raise PickleRefusedError(f"the pickle instruction {name}")

    def _called(self, function: Any, arguments: Any) -> Any:
        """Return the result of one of the two calls that are allowed."""
        if isinstance(function, Name) and isinstance(arguments, tuple):
            if function.text == ORDERED_DICT and not arguments:
                return {}
            if function.text == REBUILD_TENSOR:
                return self._make_tensor(arguments)
        raise PickleRefusedError("a call")

    def _pop(self, n: int) -> list[Any]:
        items = self._stack[-n:]
        if len(items) < n or any(item is _MARK for item in items):
            raise ValueError("stack")
        del self._stack[-n:]
        return items

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self._stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _top(self, kind: type) -> Any:
        if not isinstance(self._stack[-1], kind):
            raise TypeError(f"not a {kind.__name__}")
        return self._stack[-1]


MAX_PICKLE_BYTES = 16_000_000
"""Largest pickle. It holds everything except the values of the tensors."""

MAX_DIMENSIONS = 8

STORAGES = {
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch ByteStorage": torch.uint8,
}
"""Types of the tensors in files of this program."""


def save_tensors(content: dict[str, object], path: Path) -> None:
    """Write tensors and plain values; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written; see ``replacing``.
    """
    if not path.parent.is_dir():  # the study was removed during the search: do not create it again
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # PyTorch's writer hides why it could not write
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_tensors(path: Path) -> dict[str, object]:
    """Read what ``save_tensors`` wrote, to the CPU.

    Raises:
        BundleError: no such file, damaged, or with anything but tensors and plain values.
    """
    try:
        with open_archive(path) as archive:
            content = _TensorReader(archive).load()
    except NotAnArchiveError:
        raise BundleError(f"{path}: not an ocrsearch model file, or cut off") from None
    except ArchiveError as error:
        raise BundleError(f"{path}: {error}") from None
    except PickleRefusedError as error:
        raise BundleError(
            f"{path}: not an ocrsearch model: it holds more than tensors and plain values "
            f"({printable(str(error), max_length=100)}), and reading it could run code; refused"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # a damaged file fails in many ways
        raise BundleError(f"{path}: damaged model file ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise BundleError(f"{path}: holds a {type(content).__name__}, not an ocrsearch model")
    return content


class _TensorReader:
    """Reads the tensors of one archive; none refers to more than its own bytes."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._members = {member.filename: member for member in archive.infolist()}
        self._storages: dict[str, torch.Tensor] = {}
        self._bytes_left = 0

    def load(self) -> Any:
        """Return the value in the archive."""
        names = [n for n in self._members if n.endswith("/data.pkl") and n.count("/") == 1]
        if len(names) != 1:
            raise ArchiveError("a zip archive, but not an ocrsearch model")
        self._folder = names[0].removesuffix("data.pkl")
        order = self._members.get(f"{self._folder}byteorder")
        if order is not None and self._archive.open(order).read(10) != sys.byteorder.encode():
            raise ArchiveError("written on a machine with another order of bytes")
        pickle = self._members[names[0]]
        if pickle.file_size > MAX_PICKLE_BYTES:
            raise ArchiveError(f"damaged: {pickle.file_size:,} bytes beside the tensors")
        unpickler = PlainUnpickler(STORAGES, self._load_storage, self._make_tensor)
        return unpickler.load(unpack(self._archive, pickle))

    def _load_storage(self, persistent_id: Any) -> torch.Tensor:
        kind, name, key, _, n = persistent_id
        if kind != "storage" or not isinstance(name, Name) or not isinstance(key, str):
            raise ValueError("storage")
        dtype = STORAGES[name.text]
        if key not in self._storages:
            content = unpack(self._archive, self._members[f"{self._folder}data/{key}"])
            self._bytes_left += len(content)
            self._storages[key] = (
                torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
            )
        storage = self._storages[key]
        if storage.dtype != dtype or len(storage) != n:
            raise ValueError("storage")
        return storage

    def _make_tensor(self, arguments: tuple[Any, ...]) -> torch.Tensor:
        storage, offset, size, stride = arguments[:4]
        if not isinstance(storage, torch.Tensor) or not _is_dense(size, stride):
            raise ValueError("tensor")
        tensor = storage.as_strided(size, stride, offset)
        self._bytes_left -= tensor.nbytes
        if self._bytes_left < 0:
            raise ValueError("tensors that share their bytes")
        return tensor


def _is_dense(size: Any, stride: Any) -> bool:
    """Return whether the values of a tensor fill their memory without overlaps and gaps."""
    expected = 1
    if not isinstance(size, tuple) or len(size) > MAX_DIMENSIONS:
        return False
    if 0 in size:
        return True
    for step, n in sorted(zip(stride, size, strict=True)):
        if n != 1 and step != expected:
            return False
        expected *= n
    return True
