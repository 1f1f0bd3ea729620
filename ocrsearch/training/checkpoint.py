"""Files of tensors, written so that a crash leaves the old one or the new one, never a half.

They hold tensors and plain values only. Reading one runs no code from it, and takes no more
memory than the file has bytes: nothing that it says of itself is believed.
"""

from __future__ import annotations

import errno
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import torch

from ocrsearch.archive import ArchiveError, NotAnArchiveError, open_archive, unpack
from ocrsearch.errors import BundleError
from ocrsearch.files import replacing
from ocrsearch.printable import printable
from ocrsearch.training.plain_pickle import Name, PickleRefusedError, PlainUnpickler

MAX_PICKLE_BYTES = 16_000_000
"""Largest pickle, which has all but the numbers of the tensors."""

MAX_DIMENSIONS = 8

STORAGES = {
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch ByteStorage": torch.uint8,
}
"""Types of the tensors in our files."""


def save_tensors(content: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values; the file appears whole or not at all.

    Raises:
        OSError: it cannot be written; see ``replacing``.
    """
    if not path.parent.is_dir():  # removed while a search runs, and not to be made again
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    with replacing(path) as temporary, temporary.open("wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:  # PyTorch's writer hides why it could not write
            if isinstance(error.__context__, OSError):
                raise error.__context__ from None
            raise


def load_tensors(path: Path) -> dict[str, Any]:
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
        """Return what the archive holds."""
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
    """Whether each number of a tensor has a place of its own, and there are no others between."""
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
