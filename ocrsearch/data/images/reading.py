"""Read image files as grey images and scale them to the line height.

Files are not trusted: type and size are checked before decoding, and only decoders of common
formats are used (Pillow would pass PostScript files to an external program).
"""

from __future__ import annotations

import hashlib
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
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
"""Name of an image in messages: its path, or a name given by the caller."""

MAX_PIXELS = 64_000_000
"""Maximum size of an image, in pixels."""

MAX_FILE_BYTES = 8 * MAX_PIXELS
"""Maximum size of an image file, in bytes. Some decoders load the whole file."""

LARGE_PIXELS = 4_000_000
"""Size above which images are decoded one at a time, in any number of threads."""

MAX_WIDTH_PX = 4096
"""Maximum width of a scaled line. Longer lines are squeezed."""

MAX_STORED_HEIGHT_PX = 128
"""Height to which taller images are shrunk when read. No configuration uses more."""

MAX_JPEG2000_SAMPLES = 2 * MAX_PIXELS
"""Maximum pixels times bands of a JPEG 2000, which needs several bytes of memory for each."""

FILE_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")
"""Supported file formats, detected from the content. PPM includes PGM and PBM."""

NAMED_FORMATS = {".dib": "DIB", ".ico": "ICO", ".pcx": "PCX", ".tga": "TGA"}
"""Formats that cannot be detected reliably from their first bytes. They need the extension."""

IMAGE_SUFFIXES = frozenset(
    [
        *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".bmp", ".gif"),
        *(".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpf"),
        *(".jpx", ".avif", *NAMED_FORMATS),
    ]
)
"""Extensions of files that are taken for images unseen. Others are detected by content."""

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
"""Transposition that sets an image upright, by EXIF orientation."""


class _Quiet:
    """Silence warnings while any thread is inside; ``catch_warnings`` is not thread-safe."""

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
    """Read an image file as grey.

    Args:
        path: Path of a file in one of FILE_FORMATS, any mode. The first frame is used.

    Returns:
        (H, W) uint8, upright according to EXIF, converted by ``gray_of``.

    Raises:
        ImageError: The file is missing, damaged, too large or not a supported image.
    """
    with open_image(path) as image:
        return to_gray(image)


def load_image(source: Path | GrayImage | Drawable) -> GrayImage:
    """Return the image of a sample: read and shrunk, rendered, or the array itself.

    Raises:
        ImageError: See ``read_image``.
    """
    if isinstance(source, Path):
        return shrink_line(read_image(source))
    return source if isinstance(source, np.ndarray) else source.draw()


@contextmanager
def open_image(source: Path | BytesIO, name: str = "") -> Iterator[Image.Image]:
    """Open an image file and convert decoding errors in the body to ``ImageError``.

    Args:
        source: Path or content of the file.
        name: Name for messages; by default the path.

    Raises:
        ImageError: As in ``read_image``. The message is ``PATH: PROBLEM``, with details after
            a colon or in brackets.
    """
    with opened_image(source, name) as image, decoding(name or source, image):
        yield image


@contextmanager
def opened_image(source: Path | BytesIO, name: str = "") -> Iterator[Image.Image]:
    """Open an image file without decoding it; see ``decoding``.

    Args:
        source: Path or content of the file.
        name: Name for messages; by default the path.

    Raises:
        ImageError: As in ``read_image``, while the file is opened.
    """
    with ExitStack() as held:
        with image_errors(name or source):
            formats = [*FILE_FORMATS]
            file: BinaryIO
            if isinstance(source, BytesIO):
                file = source
            else:
                if named := NAMED_FORMATS.get(source.suffix.lower()):
                    formats.append(named)
                check_file(source)
                # given a path, Pillow maps plain TIFF files and swaps the sides of rotated ones
                file = source.open("rb")
            held.enter_context(file)
            image = held.enter_context(_identified(file, formats))
            if isinstance(image, IcoImagePlugin.IcoImageFile):  # the header may be wrong
                check_size(name or source, image.ico.getimage(image.size).size)
        yield image


def _identified(file: BinaryIO, formats: list[str]) -> Image.Image:
    """Open an image of one of some formats; Pillow may lack some of them.

    Pillow takes long to load all of its formats, so the common ones are tried first.
    """
    Image.preinit()
    with suppress(UnidentifiedImageError):
        return Image.open(file, formats=[f for f in formats if f in Image.OPEN])
    Image.init()
    file.seek(0)
    return Image.open(file, formats=[f for f in formats if f in Image.OPEN])


@contextmanager
def decoding(path: ImageName, image: Image.Image) -> Iterator[None]:
    """Allow the body to decode the current frame, large images one at a time and quietly.

    Raises:
        ImageError: As in ``read_image``.
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
    """Turn errors in the body into an ImageError that names the file, and silence warnings."""
    try:
        with _QUIET():
            yield
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(f"{path}: no such image") from None
    except Image.DecompressionBombError:
        raise ImageError(_too_large(path, "")) from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: {_unreadable_reason(path)}") from None
    except ImageError:
        raise
    except Exception as error:  # Pillow's decoders raise all kinds of errors on damaged files
        if is_out_of_memory(error):
            raise ImageError(f"{path}: not enough memory to read it") from None
        unreachable = isinstance(error, OSError) and error.errno is not None
        problem = "cannot be opened" if unreachable else "damaged image"
        reason = error.strerror if isinstance(error, OSError) else ""
        reason = reason or " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: {problem} ({reason})") from None


def to_gray(image: Image.Image) -> GrayImage:
    """Convert an open image of any mode to (H, W) uint8, upright; see ``gray.py``."""
    image.load()  # Pillow rotates TIFF files here and drops their orientation
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # broken EXIF in an intact image
        turn = None
    return gray_of(image if turn is None else image.transpose(turn))


def _unreadable_reason(path: ImageName) -> str:
    """Return the problem with a file that no decoder accepts."""
    start = b""
    if isinstance(path, Path):
        with path.open("rb") as file:
            start = file.read(12)
    if start[4:8] == b"ftyp" and start[8:12] in HEIF_BRANDS:
        return "a HEIC image, not supported; convert it to JPEG or PNG"
    return f"not a supported image (allowed: {', '.join(FILE_FORMATS)})"


def check_file(path: Path) -> None:
    """Raise ImageError unless a path is a regular file of acceptable size."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise ImageError(f"{path}: a folder, not an image")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError(f"{path}: not a file (a pipe, socket or device)")
    if status.st_size == 0:
        raise ImageError(f"{path}: an empty file")
    if status.st_size > MAX_FILE_BYTES:
        size, limit = status.st_size // 1_000_000, MAX_FILE_BYTES // 1_000_000
        raise ImageError(f"{path}: file too large: {size} MB, at most {limit} MB; scale it down")


def check_size(path: ImageName, size: tuple[int, int]) -> None:
    """Raise ImageError for an image without pixels or with too many pixels."""
    width, height = size
    if width * height > MAX_PIXELS:
        raise ImageError(_too_large(path, f"{width} x {height} pixels, "))
    if min(size) < 1:
        raise ImageError(f"{path}: an empty image ({width} x {height} pixels)")


def _too_large(path: ImageName, found: str) -> str:
    limit = MAX_PIXELS // 1_000_000
    return f"{path}: image too large: {found}at most {limit} megapixels; scale it down"


def is_image_file(path: Path) -> bool:
    """Return whether a file has the extension or the first bytes of a supported image."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    try:
        with opened_image(path):
            return True
    except ImageError:
        return False


def digest_image(image: GrayImage) -> bytes:
    """Return a hash of the pixels and shape of an (H, W) image, to find identical copies."""
    digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(image.tobytes())
    return digest.digest()


def scaled_width(height: int, width: int, config: ImageConfig) -> int:
    """Return the width in pixels of a (height, width) image after scaling.

    Always a multiple of FRAME_STRIDE, so that padding on the right does not change the time
    steps of the image itself.
    """
    exact = width * config.height / height * config.width_scale
    frames = max(2, round(exact / FRAME_STRIDE))
    return min(frames * FRAME_STRIDE, MAX_WIDTH_PX)


def scale_image(image: GrayImage, config: ImageConfig) -> GrayImage:
    """Scale an image to the configured height and width factor.

    Args:
        image: (H, W) uint8.
        config: Height and factor on the width.

    Returns:
        (config.height, scaled_width) uint8.
    """
    height, width = image.shape
    size = (scaled_width(height, width, config), config.height)
    shrinks = size[0] * size[1] < width * height
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.uint8)


def shrink_line(image: GrayImage) -> GrayImage:
    """Shrink an image to MAX_STORED_HEIGHT_PX if it is taller. The aspect ratio is kept."""
    height, width = image.shape
    if height <= MAX_STORED_HEIGHT_PX:
        return image
    size = (max(1, round(width * MAX_STORED_HEIGHT_PX / height)), MAX_STORED_HEIGHT_PX)
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
