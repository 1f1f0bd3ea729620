"""Files of tensors, written so that a crash leaves the old one or the new one, never a half.

They hold tensors and plain values only, and are read without running any code from them.
"""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from ocrsearch.files import replacing


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
        OSError: it cannot be read.
        zipfile.BadZipFile: cut off, or not the bytes that were written.
        Exception: whatever ``torch.load`` raises for a file that is not such a one; it refuses
            anything but tensors and plain values.
    """
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()  # PyTorch does not compare the checksums
    if damaged is not None:
        raise zipfile.BadZipFile(f"checksum of {damaged}")
    content = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise ValueError(f"holds a {type(content).__name__}, not a dictionary")
    return content
