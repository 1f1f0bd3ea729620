"""Pictures: reading any mode and size to grey, and scaling to a line height.

Reading never trusts a file: the size is checked before a pixel is decoded.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ocrsearch.config import FRAME_STRIDE, ImageConfig
from ocrsearch.data.samples import GrayImage
from ocrsearch.errors import ImageError

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded, in pixels."""

MAX_WIDTH_PX = 4096
"""Widest line after scaling; wider ones are squeezed to it."""

MAX_STORED_HEIGHT_PX = 128
"""Higher pictures are scaled down to this when read: no configuration uses more."""

PICTURE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm"}
)


class _Quiet:
    """Silences warnings while any thread is within: ``catch_warnings`` is for one thread only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_within = 0
        self._caught = warnings.catch_warnings()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._n_within == 0:
                self._caught = warnings.catch_warnings(action="ignore")
                self._caught.__enter__()
            self._n_within += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_within -= 1
                if self._n_within == 0:
                    self._caught.__exit__(None, None, None)


_QUIET = _Quiet()


def read_image(path: Path) -> GrayImage:
    """Read a picture file as grey.

    Args:
        path: a file in any format and mode that Pillow reads; the first frame is taken.

    Returns:
        (H, W) uint8, upright as EXIF says, transparency on white, 16 bits scaled to 8.

    Raises:
        ImageError: the file is missing, not a picture, damaged, or above MAX_PIXELS.
    """
    try:
        with _QUIET(), Image.open(path) as image:
            _check_size(path, image.size)
            return to_gray(image)
    except FileNotFoundError:
        raise ImageError(f"{path}: no such picture") from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large(path, "")) from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: not a picture that can be read") from None
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        raise ImageError(f"{path}: damaged picture ({_one_line(error)})") from None


def to_gray(image: Image.Image) -> GrayImage:
    """Convert an open picture of any mode to (H, W) uint8."""
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _scale_to_8_bits(np.asarray(image, dtype=np.float64))
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, "white")
        image = Image.alpha_composite(white, rgba)
    return np.asarray(image.convert("L"), dtype=np.uint8).copy()


def scaled_width(height: int, width: int, config: ImageConfig) -> int:
    """Return the width in pixels that a (height, width) picture has after scaling.

    Always a multiple of FRAME_STRIDE, so that padding a picture further on the right cannot
    change its own frames.
    """
    exact = width * config.height / height * config.width_scale
    frames = max(2, round(exact / FRAME_STRIDE))
    return min(frames * FRAME_STRIDE, MAX_WIDTH_PX)


def scale_image(image: GrayImage, config: ImageConfig) -> GrayImage:
    """Scale a picture to the configured height, its aspect ratio kept.

    Args:
        image: (H, W) uint8.
        config: height and the factor on the width.

    Returns:
        (config.height, scaled_width) uint8.
    """
    height, width = image.shape
    size = (scaled_width(height, width, config), config.height)
    shrinks = size[0] * size[1] < width * height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.uint8)


def shrink_line(image: GrayImage) -> GrayImage:
    """Scale a picture down to MAX_STORED_HEIGHT_PX, if it is higher; aspect ratio kept."""
    height, width = image.shape
    if height <= MAX_STORED_HEIGHT_PX:
        return image
    size = (max(1, round(width * MAX_STORED_HEIGHT_PX / height)), MAX_STORED_HEIGHT_PX)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(_too_large(path, f"{width} x {height} pixels, "))
    if min(size) < 1:
        raise ImageError(f"{path}: an empty picture ({width} x {height} pixels)")


def _too_large(path: Path, found: str) -> str:
    limit = MAX_PIXELS // 1_000_000
    return f"{path}: too large a picture: {found}at most {limit} megapixels; scale it down"


def _scale_to_8_bits(values: np.ndarray) -> GrayImage:
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    top = float(values.max(initial=0.0))
    full = 255.0 if top <= 255.0 else 65535.0 if top <= 65535.0 else top
    if 0.0 < top <= 1.0:
        full = 1.0
    return np.clip(values * (255.0 / full), 0, 255).astype(np.uint8)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
