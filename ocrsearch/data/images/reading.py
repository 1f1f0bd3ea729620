"""Pictures: reading any mode and size to grey, and scaling to a line height.

Reading never trusts a file: its kind and size are checked before a pixel is decoded, and only
decoders of common formats see it (Pillow would hand a PostScript file to another program).
"""

from __future__ import annotations

import hashlib
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import ExifTags, IcoImagePlugin, Image, UnidentifiedImageError

from ocrsearch.core import FRAME_STRIDE, ImageConfig, ImageError, is_out_of_memory
from ocrsearch.data.images.gray import gray_of
from ocrsearch.data.samples import Drawable, GrayImage

ImageName = Path | str | BytesIO
"""What messages call an image: its path, or a name that its user gave."""

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded, in pixels."""

MAX_FILE_BYTES = 8 * MAX_PIXELS
"""Largest file that is opened: some decoders take it into memory whole."""

LARGE_PIXELS = 4_000_000
"""Pictures above this are read one at a time, whatever the number of threads."""

MAX_WIDTH_PX = 4096
"""Widest line after scaling; wider ones are squeezed to it."""

MAX_STORED_HEIGHT_PX = 128
"""Higher pictures are scaled down to this when read: no configuration uses more."""

MAX_JPEG2000_SAMPLES = 2 * MAX_PIXELS
"""Pixels times bands of a JPEG 2000, which takes several bytes of memory for each."""

FILE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
"""What a file may hold, whatever its name; PPM stands for PGM and PBM too."""

NAMED_FORMATS = {".dib": "DIB", ".ico": "ICO", ".pcx": "PCX", ".tga": "TGA"}
"""Formats that their first bytes hardly tell: these must have their ending."""

PICTURE_SUFFIXES = frozenset(
    [
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".bmp", ".gif"),
        *(".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf"),
        *(".jpx", ".avif", *NAMED_FORMATS),
    ]
)
"""Files with these endings are taken for pictures unseen, others by their first bytes."""

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets a picture upright, by the orientation that EXIF gives."""


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
_ONE_LARGE = threading.Lock()


def read_image(path: Path) -> GrayImage:
    """Read a picture file as grey.

    Args:
        path: a file of one of FILE_FORMATS, in any mode; the first frame is taken.

    Returns:
        (H, W) uint8, upright as EXIF says, as ``gray_of`` makes it.

    Raises:
        ImageError: the file is missing, not a picture, damaged, or too large.
    """
    with open_image(path) as image:
        return to_gray(image)


def picture_of(source: Path | GrayImage | Drawable) -> GrayImage:
    """Return the picture of a sample: read and not higher than is stored, drawn, or as it is.

    Raises:
        ImageError: see ``read_image``.
    """
    if isinstance(source, Path):
        return shrink_line(read_image(source))
    return source if isinstance(source, np.ndarray) else source.draw()


@contextmanager
def open_image(source: Path | BytesIO, name: str = "") -> Iterator[Image.Image]:
    """Open a picture file; what goes wrong while its pixels are decoded within is told too.

    Args:
        source: path or content of the file.
        name: name for messages; by default the path.

    Raises:
        ImageError: as ``read_image``; ``PATH: PROBLEM`` and then, behind a colon or in
            brackets, particulars.
    """
    with opened_image(source, name) as image, decoding(name or source, image):
        yield image


@contextmanager
def opened_image(source: Path | BytesIO, name: str = "") -> Iterator[Image.Image]:
    """Open a picture file of which nothing is decoded yet; see ``decoding``.

    Args:
        source: path or content of the file.
        name: name for messages; by default the path.

    Raises:
        ImageError: as ``read_image``, while the file is opened.
    """
    with ExitStack() as held:
        with image_errors(name or source):
            # given a path, Pillow maps a plain TIFF and, where it is turned, mixes up its sides
            file = held.enter_context(_binary(source))
            image = held.enter_context(Image.open(file, formats=_formats(source)))
            if isinstance(image, IcoImagePlugin.IcoImageFile):  # its header may lie
                check_size(name or source, image.ico.getimage(image.size).size)
        yield image


@contextmanager
def decoding(path: ImageName, image: Image.Image) -> Iterator[None]:
    """Decode the current frame of an open picture in the body: a large one alone, and quietly.

    Raises:
        ImageError: as ``read_image``.
    """
    with image_errors(path):
        check_size(path, image.size)
        n_samples = image.width * image.height * len(image.getbands())
        if image.format == "JPEG2000" and n_samples > MAX_JPEG2000_SAMPLES:
            raise ImageError(_too_large(path, f"{image.width} x {image.height} pixels, "))
        with _ONE_LARGE if image.width * image.height > LARGE_PIXELS else nullcontext():
            yield


@contextmanager
def image_errors(path: ImageName) -> Iterator[None]:
    """Turn any error in the body into an ImageError that names the file; silence warnings."""
    try:
        with _QUIET():
            yield
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"{path}: no such picture") from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large(path, "")) from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: {_not_a_picture(path)}") from None
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged files
        if is_out_of_memory(error):
            raise ImageError(f"{path}: too little memory to read it") from None
        unreachable = isinstance(error, OSError) and error.errno is not None
        problem = "cannot be opened" if unreachable else "damaged picture"
        raise ImageError(f"{path}: {problem} ({_one_line(error)})") from None


def holds_picture(path: Path) -> bool:
    """Whether a file begins like a picture that can be read, or has the ending of one."""
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return True
    try:
        with opened_image(path):
            return True
    except ImageError:
        return False


def _formats(source: Path | BytesIO) -> list[str]:
    Image.init()
    named = NAMED_FORMATS.get(source.suffix.lower()) if isinstance(source, Path) else None
    formats = [*FILE_FORMATS, named] if named else FILE_FORMATS
    return [name for name in formats if name in Image.OPEN]  # Pillow may be built without some


def _not_a_picture(path: ImageName) -> str:
    """Return what is wrong with a file that no decoder takes."""
    start = b""
    if isinstance(path, Path):
        with path.open("rb") as file:
            start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        return "a HEIC picture, which cannot be read; convert it to JPEG or PNG"
    return f"not a picture that can be read (allowed: {', '.join(FILE_FORMATS)})"


def _binary(source: Path | BytesIO) -> BinaryIO:
    if isinstance(source, BytesIO):
        return source
    check_file(source)
    return source.open("rb")


def to_gray(image: Image.Image) -> GrayImage:
    """Convert an open picture of any mode to (H, W) uint8; see ``data/gray.py``."""
    return gray_of(_upright(image))


def digest_image(image: GrayImage) -> bytes:
    """Return a hash of the pixels and shape of an (H, W) picture: the same for copies alone."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


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


def _upright(image: Image.Image) -> Image.Image:
    image.load()  # a TIFF is turned here, and forgets its orientation
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF; the picture is whole
        return image
    return image if turn is None else image.transpose(turn)


def check_file(path: Path) -> None:
    """Refuse what is not a file or is too large a one with an ImageError."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{path}: a folder, not a picture")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path}: not a file (a pipe, socket or device)")
    if status.st_size == 0:
        raise ImageError(f"{path}: an empty file")
    if status.st_size > MAX_FILE_BYTES:
        size, limit = status.st_size // 1_000_000, MAX_FILE_BYTES // 1_000_000
        raise ImageError(f"{path}: too large a file: {size} MB, at most {limit} MB; scale it down")


def check_size(path: ImageName, size: tuple[int, int]) -> None:
    """Refuse a picture without pixels or with too many with an ImageError."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(_too_large(path, f"{width} x {height} pixels, "))
    if min(size) < 1:
        raise ImageError(f"{path}: an empty picture ({width} x {height} pixels)")


def _too_large(path: ImageName, found: str) -> str:
    limit = MAX_PIXELS // 1_000_000
    return f"{path}: too large a picture: {found}at most {limit} megapixels; scale it down"


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
