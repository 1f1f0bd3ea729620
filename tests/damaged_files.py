"""Damaged and odd picture files of many kinds, each with what should become of it.

``python -m tests.damaged_files FOLDER`` writes them with a label file, for trying by hand.
"""

from __future__ import annotations

import csv
import io
import os
import struct
import sys
import unicodedata
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from tests.conftest import draw_text

Gray = np.ndarray
Writer = Callable[[Path, Gray], object]
"""Writes a file of a kind; the picture is (H, W) uint8, what it should show if it can be read."""

TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How the pixels lie in a file that says the orientation."""


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Attributes:
        ending: of its name.
        write: makes one.
        problem: with which it is left out; None if it is used.
        shows: whether it shows the picture as drawn, but for compression.
        label: changes the label that stands in the label file.
        stem: changes the name.
    """

    ending: str
    write: Writer
    problem: str | None = None
    shows: bool = False
    label: Callable[[str], str] = str
    stem: Callable[[str], str] = str


@dataclass(frozen=True)
class OddFile:
    """A file that was written.

    Attributes:
        kind: its name in KINDS.
        name: of the file, in its folder.
        label: what it shows, or would show.
        problem: the reason it is left out has this; None if it is used.
        image: (H, W) uint8, about what should be read; None where that is left open.
    """

    kind: str
    name: str
    label: str
    problem: str | None
    image: Gray | None


def encoded(image: Gray | Image.Image, file_format: str, **options: Any) -> bytes:
    """Return a picture as a file of a format."""
    file = io.BytesIO()
    picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    picture.save(file, file_format, **options)
    return file.getvalue()


def whole(file_format: str, mode: str = "L", **options: Any) -> Writer:
    """Write the picture as it is, in a format and mode."""

    def write(path: Path, image: Gray) -> None:
        path.write_bytes(encoded(Image.fromarray(image).convert(mode), file_format, **options))

    return write


def cut(file_format: str, share: float, **options: Any) -> Writer:
    """Write the first part of a picture file."""

    def write(path: Path, image: Gray) -> None:
        noise = np.random.default_rng(image.size).integers(0, 256, (30, 60, 3), dtype=np.uint8)
        content = encoded(noise, file_format, **options)
        path.write_bytes(content[: int(len(content) * share)])

    return write


def holding(content: bytes) -> Writer:
    """Write the same bytes whatever the picture."""
    return lambda path, _image: path.write_bytes(content)


def changed(change: Callable[[bytes], bytes], file_format: str = "PNG") -> Writer:
    """Write a picture file whose bytes were changed."""
    return lambda path, image: path.write_bytes(change(encoded(image, file_format)))


def of_size(width: int, height: int) -> Writer:
    """Write a blank picture of another size."""
    return lambda path, _image: Image.new("L", (width, height), 90).save(path)


def with_values(convert: Callable[[Gray], np.ndarray]) -> Writer:
    """Write the picture with other numbers for its grey values."""

    def write(path: Path, image: Gray) -> None:
        Image.fromarray(convert(image)).save(path)

    return write


def turned(orientation: int, file_format: str) -> Writer:
    """Write the picture turned, with the EXIF orientation that sets it upright."""

    def write(path: Path, image: Gray) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        picture = Image.fromarray(image).transpose(TRANSPOSES[orientation])
        path.write_bytes(encoded(picture, file_format, exif=exif))

    return write


def animated(file_format: str) -> Writer:
    """Write the picture as the first of two frames."""

    def write(path: Path, image: Gray) -> None:
        first, second = Image.fromarray(image).convert("RGB"), Image.new("RGB", image.shape[::-1])
        options = {"lossless": True} if file_format == "WEBP" else {}
        frames = {"save_all": True, "append_images": [second], **options}
        path.write_bytes(encoded(first, file_format, **frames))

    return write


def transparent(path: Path, image: Gray) -> None:
    """Write the ink black and the paper transparent."""
    alpha = Image.fromarray(255 - image)
    picture = Image.new("RGBA", alpha.size, "black")
    picture.putalpha(alpha)
    picture.save(path)


def with_text(path: Path, image: Gray) -> None:
    """Write a PNG with texts in it, compressed and not."""
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "a" * 5000, zip=True)
    texts.add_itxt("Title", "é", "vi", "Đ")
    Image.fromarray(image).save(path, pnginfo=texts)


def nothing(path: Path, image: Gray) -> None:
    """Write no file."""


def folder(path: Path, image: Gray) -> None:
    """Make a folder with a file's name."""
    path.mkdir()


def pipe(path: Path, image: Gray) -> None:
    """Make a pipe into which nobody writes: opening it would wait for ever."""
    os.mkfifo(path)


def loop(path: Path, image: Gray) -> None:
    """Make a link to itself."""
    path.symlink_to(path.name)


def dangling(path: Path, image: Gray) -> None:
    """Make a link to nothing."""
    path.symlink_to("nothing_there")


def link(path: Path, image: Gray) -> None:
    """Make a link to a picture beside it."""
    target = path.with_name(f"target_of_{path.stem}")
    target.write_bytes(encoded(image, "PNG"))
    path.symlink_to(target.name)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size."""
    content = encoded(np.zeros((2, 2), np.uint8), "PNG")
    header = b"IHDR" + struct.pack(">II", width, height) + content[24:29]
    return content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:]


def bmp_header(width: int, height: int) -> bytes:
    """Return a BMP that claims a size."""
    content = encoded(np.zeros((2, 2), np.uint8), "BMP")
    return content[:18] + struct.pack("<ii", width, height) + content[26:]


def gif_frame(width: int, height: int) -> bytes:
    """Return a GIF of 2 x 2 pixels whose only frame is larger."""
    content = encoded(np.zeros((2, 2), np.uint8), "GIF")
    at = content.index(b"\x2c\0\0\0\0") + 5
    return content[:at] + struct.pack("<HH", width, height) + content[at + 4 :]


def tiff_of(width: int, height: int, compression: int) -> bytes:
    """Return a TIFF that claims a size and holds some bytes."""
    long, short = 4, 3
    tags = [(256, long, width), (257, long, height), (258, short, 8), (259, short, compression)]
    tags += [(262, short, 1), (273, long, 200), (277, short, 1), (278, long, height)]
    tags += [(279, long, 50)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0"
    return head.ljust(250, b"\0")


def damage_pixels(content: bytes) -> bytes:
    """Change the compressed pixels of a PNG."""
    at = content.index(b"IDAT") + 12
    return content[:at] + bytes(b ^ 0xFF for b in content[at : at + 8]) + content[at + 8 :]


def no_permission() -> str | None:
    """Return what becomes of a file without permissions: the superuser reads it all the same."""
    return None if hasattr(os, "geteuid") and os.geteuid() == 0 else "cannot be opened (Permission"


def locked(path: Path, image: Gray) -> None:
    """Write a picture that only its owner's superuser may read."""
    whole("PNG")(path, image)
    path.chmod(0)


def sixteen_bits(image: Gray) -> np.ndarray:
    """Return grey values from 0 to 65535."""
    return image.astype(np.uint16) * 257


NOT_A_PICTURE = "not a supported image"
DAMAGED = "damaged image"
TOO_LARGE = "image too large"
EMPTY_LABEL = "the label is empty"
BLANK = "a blank image"
PNG_START = b"\x89PNG\r\n\x1a\n"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'
EXIF_START = b"\xff\xd8\xff\xe1\x00\x20Exif\0\0"

KINDS: dict[str, Kind] = {
    # what is left out
    "no bytes": Kind(".png", holding(b""), "an empty file"),
    "text": Kind(".png", holding(b"Not a picture.\nTwo lines of it.\n"), NOT_A_PICTURE),
    "zeros": Kind(".bmp", holding(bytes(2000)), NOT_A_PICTURE),
    "random bytes": Kind(".jpg", holding(np.random.default_rng(1).bytes(3000)), NOT_A_PICTURE),
    "signature alone": Kind(".png", holding(PNG_START), NOT_A_PICTURE),
    "web page": Kind(".jpg", holding(b"<html><body>404 not found</body></html>"), NOT_A_PICTURE),
    "PostScript": Kind(".png", holding(EPS), NOT_A_PICTURE),
    "drawing": Kind(".png", holding(SVG), NOT_A_PICTURE),
    "PDF": Kind(".tif", holding(b"%PDF-1.7\n%%EOF\n"), NOT_A_PICTURE),
    "archive": Kind(".png", holding(b"PK\x03\x04" + bytes(60)), NOT_A_PICTURE),
    "cut PNG": Kind(".png", cut("PNG", 0.5), DAMAGED),
    "cut JPEG": Kind(".jpg", cut("JPEG", 0.6), DAMAGED),
    "cut GIF": Kind(".gif", cut("GIF", 0.6), DAMAGED),
    "cut BMP": Kind(".bmp", cut("BMP", 0.6), DAMAGED),
    "cut WebP": Kind(".webp", cut("WEBP", 0.6), "image"),
    "cut PPM": Kind(".ppm", cut("PPM", 0.6), DAMAGED),
    "cut TIFF": Kind(".tif", cut("TIFF", 0.6), "image"),
    "cut header": Kind(".png", cut("PNG", 0.002), NOT_A_PICTURE),
    "damaged pixels": Kind(".png", changed(damage_pixels), DAMAGED),
    "damaged JPEG tables": Kind(
        ".jpg", changed(lambda content: content.replace(b"\xff\xdb", b"\xff\x00"), "JPEG"), DAMAGED
    ),
    "huge PNG": Kind(".png", holding(png_header(100_000, 100_000)), TOO_LARGE),
    "large PNG": Kind(".png", holding(png_header(9000, 9000)), TOO_LARGE),
    "huge BMP": Kind(".bmp", holding(bmp_header(60_000, 60_000)), TOO_LARGE),
    "huge GIF frame": Kind(".gif", holding(gif_frame(65_535, 65_535)), TOO_LARGE),
    "huge TIFF": Kind(".tif", holding(tiff_of(60_000, 60_000, 5)), TOO_LARGE),
    "huge PPM": Kind(".ppm", holding(b"P6 90000 90000 255\n" + bytes(99)), TOO_LARGE),
    "pixels that lack": Kind(".pgm", holding(b"P5 900 900 255\n" + bytes(99)), DAMAGED),
    "no width": Kind(".png", holding(png_header(0, 5)), "image"),
    "missing": Kind(".png", nothing, "no such image"),
    "link to nothing": Kind(".png", dangling, "no such image"),
    "link to itself": Kind(".png", loop, "cannot be opened"),
    "folder": Kind(".png", folder, "a folder"),
    "pipe": Kind(".png", pipe, "not a file"),
    "no permission": Kind(".png", locked, no_permission()),
    "empty label": Kind(".png", whole("PNG"), EMPTY_LABEL, label=lambda _: ""),
    "blank label": Kind(".png", whole("PNG"), EMPTY_LABEL, label=lambda _: " \t\u00a0 "),
    # what is odd and used
    "colour": Kind(".png", whole("PNG", "RGB"), shows=True),
    "black and white": Kind(".png", whole("PNG", "1")),
    "palette": Kind(".png", whole("PNG", "P"), shows=True),
    "palette with transparency": Kind(".png", whole("PNG", "P", transparency=255), shows=True),
    "grey with alpha": Kind(".png", whole("PNG", "LA"), shows=True),
    "colour with alpha": Kind(".webp", whole("WEBP", "RGBA", lossless=True), shows=True),
    "ink on nothing": Kind(".png", transparent, shows=True),
    "16 bits PNG": Kind(".png", with_values(sixteen_bits), shows=True),
    "16 bits TIFF": Kind(".tif", with_values(sixteen_bits), shows=True),
    "32 bits": Kind(".tif", with_values(lambda i: i.astype(np.int32) * 257), shows=True),
    "real numbers": Kind(".tif", with_values(lambda i: i.astype(np.float32) / 255), shows=True),
    "CMYK JPEG": Kind(".jpg", whole("JPEG", "CMYK"), shows=True),
    "CMYK TIFF": Kind(".tif", whole("TIFF", "CMYK"), shows=True),
    "progressive JPEG": Kind(".jpeg", whole("JPEG", "RGB", progressive=True), shows=True),
    "fax": Kind(".tif", whole("TIFF", "1", compression="group4")),
    "LZW": Kind(".tiff", whole("TIFF", "RGB", compression="tiff_lzw"), shows=True),
    **{
        f"turned {orientation}": Kind(ending, turned(orientation, file_format), shows=True)
        for orientation in TRANSPOSES
        for ending, file_format in ((".jpg", "JPEG"),)
    },
    "turned PNG": Kind(".png", turned(6, "PNG"), shows=True),
    "turned TIFF": Kind(".tif", turned(6, "TIFF"), shows=True),
    "animated GIF": Kind(".gif", animated("GIF"), shows=True),
    "animated WebP": Kind(".webp", animated("WEBP"), shows=True),
    "animated PNG": Kind(".png", animated("PNG"), shows=True),
    "pages": Kind(".tif", animated("TIFF"), shows=True),
    "PNG named JPG": Kind(".jpg", whole("PNG"), shows=True),
    "GIF named PNG": Kind(".png", whole("GIF"), shows=True),
    "WebP named TIFF": Kind(".tif", whole("WEBP", "RGB", lossless=True), shows=True),
    "capitals": Kind(".PNG", whole("PNG"), shows=True),
    "broken ICC": Kind(".png", whole("PNG", icc_profile=b"no profile"), shows=True),
    "broken ICC JPEG": Kind(".jpg", whole("JPEG", icc_profile=b"\xff" * 40), shows=True),
    "broken EXIF": Kind(
        ".jpg",
        changed(lambda content: EXIF_START + b"II*\0" + b"\xfe" * 20 + content[2:], "JPEG"),
        shows=True,
    ),
    "more behind": Kind(".jpg", changed(lambda content: content + bytes(500), "JPEG"), shows=True),
    "texts within": Kind(".png", with_text, shows=True),
    "link": Kind(".png", link, shows=True),
    "one pixel": Kind(".png", of_size(1, 1), BLANK, label=lambda text: text[:1]),
    "one pixel high": Kind(".png", of_size(60, 1), BLANK),
    "one pixel wide": Kind(".png", of_size(1, 60), BLANK, label=lambda text: text[:1]),
    "very wide": Kind(".png", of_size(800, 8), BLANK),
    "very high": Kind(".png", of_size(8, 800), BLANK, label=lambda text: text[:1]),
    "space in name": Kind(".png", whole("PNG"), shows=True, stem=lambda s: f" {s} x "),
    "line end in name": Kind(".png", whole("PNG"), shows=True, stem=lambda s: f"{s}\nx"),
    "brackets in name": Kind(".png", whole("PNG"), shows=True, stem=lambda s: f"[red]{s}[bold]"),
    "quotes in name": Kind(".png", whole("PNG"), shows=True, stem=lambda s: f"{s}'\"\\x"),
    "accents in name": Kind(".png", whole("PNG"), shows=True, stem=lambda s: f"Đường_{s}_🙂"),
    "dash in name": Kind(".png", whole("PNG"), shows=True, stem=lambda s: f"--help{s}"),
    "space around label": Kind(".png", whole("PNG"), shows=True, label=lambda t: f" {t}\t"),
    "other normal form": Kind(
        ".png", whole("PNG"), shows=True, label=lambda t: unicodedata.normalize("NFD", f"é{t}")
    ),
}


def write_odd_files(
    to_folder: Path, n: int = 500, kinds: Mapping[str, Kind] = KINDS
) -> list[OddFile]:
    """Write files of all kinds in turn, with a label file ``labels.csv`` beside them.

    Args:
        to_folder: an empty folder, made if need be.
        n: how many, whether they are made or only named.
        kinds: what to write.
    """
    to_folder.mkdir(parents=True, exist_ok=True)
    names = list(kinds)
    files: list[OddFile] = []
    rows = [("image", "text")]
    for i in range(n):
        kind = kinds[names[i % len(names)]]
        digits = str(1000 + i)
        image = draw_text(digits)
        name = kind.stem(f"{i:03d}") + kind.ending
        kind.write(to_folder / name, image)
        label = kind.label(digits)
        rows.append((name, label))
        shown = image if kind.shows else None
        files.append(OddFile(names[i % len(names)], name, label, kind.problem, shown))
    with (to_folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return files


def main() -> None:
    """Write 500 files to the folder that is named on the command line."""
    files = write_odd_files(Path(sys.argv[1]))
    n_bad = sum(file.problem is not None for file in files)
    sys.stdout.write(f"{len(files)} files of {len(KINDS)} kinds, {n_bad} of them to be left out\n")


if __name__ == "__main__":
    main()
