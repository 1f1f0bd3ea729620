"""Image inputs from Python: files, bytes, Pillow images, arrays and tensors."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
from PIL import Image

from ocrsearch.core import DataError, ImageError, shown
from ocrsearch.data import GrayImage
from ocrsearch.data.images import MAX_FILE_BYTES, MAX_PIXELS, open_image, read_image, to_gray

if TYPE_CHECKING:
    import torch

Picture: TypeAlias = (
    "str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image "
    "| np.ndarray | torch.Tensor"
)

ACCEPTED = (
    "the path of a file, bytes of a file, a file opened in binary mode, a PIL image, or an array "
    "or tensor: (H, W), (H, W, 1), (H, W, 3) RGB or (H, W, 4) RGBA, or with the channels first; "
    "booleans, integers from 0 to 255 or to 65535, or floats from 0 to 1 or from 0 to 255"
)

OVERSHOOT = 0.1
"""Fraction of the range by which floats may overshoot, as after resizing; they are clipped."""


def read_input(picture: Picture, where: str = "image") -> GrayImage:
    """Convert an image of any accepted type to greyscale.

    Args:
        picture: image; ACCEPTED lists the types. If the last axis of an array has length 1, 3 or
            4, it holds the channels; otherwise the first axis does if it has such a length.
        where: name for error messages if the image is not a file.

    Returns:
        (H, W) uint8.

    Raises:
        ImageError: the file, bytes or image cannot be read.
        DataError: the type, shape or range is not in ACCEPTED.
    """
    if isinstance(picture, str | os.PathLike):
        name = os.fspath(picture)
        if not isinstance(name, str):
            raise DataError(f"{where}: found a path in bytes, must be {ACCEPTED}")
        return read_image(Path(name))
    if isinstance(picture, Image.Image):
        return _read_pillow(picture, where)
    torch = sys.modules.get("torch")  # whoever has a tensor has imported it
    if torch is not None and isinstance(picture, torch.Tensor):
        tensor = picture.detach().cpu().to_dense().resolve_conj()
        tensor = tensor.float() if tensor.is_floating_point() else tensor  # NumPy has no bfloat16
        return _read_array(np.asarray(tensor.numpy()), where)
    if isinstance(picture, np.ndarray):
        return _read_array(picture, where)
    if isinstance(picture, bytes | bytearray | memoryview):
        return _read_bytes(bytes(picture), where)
    if callable(getattr(picture, "read", None)):
        return _read_open_file(picture, where)
    kind = "None" if picture is None else f"{type(picture).__name__} {shown(picture)[:60]}"
    raise DataError(f"{where}: found {kind}, must be {ACCEPTED}")


def _read_bytes(content: bytes, where: str) -> GrayImage:
    if not content:
        raise ImageError(f"{where}: empty bytes")
    with open_image(io.BytesIO(content), where) as image:
        return to_gray(image)


def _read_open_file(file: Any, where: str) -> GrayImage:
    try:
        content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: the file is closed
        raise ImageError(f"{where}: the open file cannot be read ({error})") from None
    if not isinstance(content, bytes):
        raise DataError(f"{where}: found a file opened as text; open it in binary mode, 'rb'")
    if len(content) > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 1_000_000
        raise ImageError(f"{where}: file too large, at most {limit} MB; scale the image down")
    return _read_bytes(content, where)


def _read_pillow(image: Image.Image, where: str) -> GrayImage:
    if 0 in image.size:
        raise DataError(f"{where}: found {image.width} x {image.height} pixels, must not be empty")
    _check_size(image.width * image.height, where)
    try:
        return to_gray(image)
    except Exception as error:  # Pillow decodes lazily and may raise almost any error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{where}: the PIL image cannot be read ({reason})") from None


def _read_array(array: np.ndarray, where: str) -> GrayImage:
    found = f"an array of shape {array.shape} and type {array.dtype}"
    if isinstance(array, np.ma.MaskedArray):
        raise DataError(
            f"{where}: found a masked array; fill it first, for example with .filled(255) for paper"
        )
    if array.size == 0 or array.dtype.kind not in "buif":
        raise DataError(f"{where}: found {found}, must be {ACCEPTED}")
    if array.ndim not in (2, 3) or (array.ndim == 3 and _channel_axis(array.shape) is None):
        several = "; pass several images as a list of arrays" if array.ndim > 2 else ""
        raise DataError(f"{where}: found {found}{several}; must be {ACCEPTED}")
    _check_size(array.size, where)
    if array.ndim == 3 and _channel_axis(array.shape) == 0:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return to_gray(Image.fromarray(np.ascontiguousarray(_to_8_bits(array, where))))


def _channel_axis(shape: tuple[int, ...]) -> int | None:
    return next((axis for axis in (2, 0) if shape[axis] in (1, 3, 4)), None)


def _to_8_bits(array: np.ndarray, where: str) -> np.ndarray:
    """Scale values to 0..255; the largest possible value is inferred from their range."""
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind == "b":
        return array.astype(np.uint8) * 255
    low, high = float(array.min()), float(array.max())
    slack = OVERSHOOT if array.dtype.kind == "f" else 0.0
    tops = (1.0, 255.0) if array.dtype.kind == "f" else (1.0, 255.0, 65535.0)
    top = next((top for top in tops if -slack * top <= low and high <= top * (1 + slack)), None)
    too_dark = top == 255.0 and slack and high < 2.0  # fits neither of the two ranges
    if top is None or too_dark:  # NaN compares as false
        values = f"{array.dtype} from {low:.6g} to {high:.6g}"
        raise DataError(f"{where}: found values of type {values}, must be {ACCEPTED}")
    scaled = array.astype(np.float64) * (255.0 / top)
    return np.asarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))


def _check_size(n_pixels: int, where: str) -> None:
    if n_pixels > 4 * MAX_PIXELS:
        limit = MAX_PIXELS // 1_000_000
        raise ImageError(f"{where}: image too large, at most {limit} megapixels; scale it down")
