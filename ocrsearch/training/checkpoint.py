"""Files of tensors, written so that a crash leaves the old one or the new one, never a half.

They hold tensors and plain values only, and are read without running any code from them.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch


def save_tensors(content: dict[str, Any], path: Path) -> None:
    """Write tensors and plain values; the file appears whole or not at all."""
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except RuntimeError as error:  # PyTorch's writer hides why it could not write
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


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
