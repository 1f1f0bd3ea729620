"""The pickle within a tensor file, read without the pickle machine.

``torch.save`` writes tensors and plain values with about thirty of pickle's instructions and a
handful of names. Just these are carried out here, so that nothing else can be: no import, no
call, no memory claimed by a number in the file.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

MAX_INSTRUCTIONS = 500_000
"""Most instructions that are carried out; a model of 100 epochs has some thousands, and a model
of 10,000 some 300,000."""

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
            names: what the pickle may name, beside ORDERED_DICT and REBUILD_TENSOR.
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
            PickleRefusedError: another instruction or name, or too many.
            Exception: the instructions do not fit each other.
        """
        for n, (instruction, argument, _) in enumerate(pickletools.genops(bytes(content))):
            if n >= MAX_INSTRUCTIONS:
                raise PickleRefusedError("too many values")
            if instruction.name == "STOP":
                (value,) = self._stack
                return value
            self._do(instruction.name, argument)
        raise ValueError("no end")

    def _do(self, name: str, argument: Any) -> None:
        stack = self._stack
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

    def _do_rarely(self, name: str, argument: Any) -> None:
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
                stack.append(self._named(argument))
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

    def _named(self, name: str) -> Name:
        if name not in self._names:
            raise PickleRefusedError(f"the name {name[:100]}")
        return Name(name)

    def _called(self, function: Any, arguments: Any) -> Any:
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
