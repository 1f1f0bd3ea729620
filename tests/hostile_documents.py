"""Hostile images and documents by seed: loops, bombs, damages and odd sizes, with a command.

Each kind is a function that returns a file's name and content. The same seed gives the same
inputs. No command may hang, take much memory, print an escape code or call what it finds an
internal error.
"""

from __future__ import annotations

import io
import os
import random
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from PIL import Image

from tests.damaged_files import bmp_header, gif_frame, png_header, tiff_of
from tests.hostile import Case

Content = tuple[str, bytes]
"""Ending of the file's name, and its content."""


def hostile_documents(seed: int, folder: Path, model: Path, n: int) -> Iterator[Case]:
    """Yield inputs, the kinds in turn; each has a folder of its own with its file.

    Args:
        seed: determines all of them.
        folder: to write to.
        model: model file of the digits.
        n: number of inputs.
    """
    kinds = list(KINDS.items())
    for i in range(n):
        kind, make = kinds[i % len(kinds)]
        rng = random.Random(f"{seed} {i}")
        own = folder / f"{i:04d}"
        own.mkdir(parents=True)
        ending, content = make(rng)
        path = own / f"file.{ending}"
        if kind == "special file":
            _make_special(path, rng)
        else:
            path.write_bytes(content)
        commands = [
            ("predict", str(model), str(path), "--json"),
            ("predict", str(model), str(path), "--page"),
            ("data", "inspect", f"captcha:{own}"),
        ]
        yield Case(kind, f"{kind} {i}", rng.choice(commands), own)


def tiff_pages(n: int, width: int, height: int, last: int = 0) -> bytes:
    """Return a TIFF of pages that share one strip; page ``last`` comes after the last one."""
    size = 2 + 9 * 12 + 4
    strip = 8 + n * size
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, strip), (277, 3, 1), (278, 4, height), (279, 4, width * height)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    body = b""
    for i in range(n):
        after = 8 + (i + 1) * size if i < n - 1 else 8 + (last - 1) * size if last else 0
        body += struct.pack("<H", 9) + entries + struct.pack("<I", after)
    return b"II*\0" + struct.pack("<I", 8) + body + bytes(width * height)


def pdf_file(n: int, side: int, drawn: bytes, resources: bytes = b"", *more: bytes) -> bytes:
    """Return a PDF that has one page n times."""
    pages = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b"3 0 R " * n, n)
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R " % (side, side)
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>", pages, page + resources + b">>"]
    content, places = b"%PDF-1.7\n", []
    for number, body in enumerate([*objects, _stream(b"", drawn), *more], 1):
        places.append(len(content))
        content += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    n_objects = len(places) + 1
    head = b"xref\n0 %d\n0000000000 65535 f \n" % n_objects
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n" % n_objects
    return content + head + table + trailer + b"%d\n%%%%EOF\n" % len(content)


def _stream(about: bytes, data: bytes) -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (about, len(data), data)


def _encoded(rng: random.Random, file_format: str) -> bytes:
    size = (rng.randint(20, 90), rng.randint(20, 60))
    image = Image.frombytes("L", size, rng.randbytes(size[0] * size[1]))
    # A PDF holds its dates; by default they are the current second, which no seed determines.
    dates = {"creationDate": time.gmtime(0), "modDate": time.gmtime(0)}
    file = io.BytesIO()
    image.save(file, file_format, **(dates if file_format == "PDF" else {}))
    return file.getvalue()


def _tiff_loop(rng: random.Random) -> Content:
    n = rng.randint(1, 9)
    return "tif", tiff_pages(n, 40, 20, last=rng.randint(1, n))


def _tiff_many(rng: random.Random) -> Content:
    return "tif", tiff_pages(rng.randint(300, 1500), rng.randint(1, 40), rng.randint(1, 30))


def _tiff_shared(rng: random.Random) -> Content:
    return "tif", tiff_pages(rng.randint(200, 900), 1500, 1500)


def _tiff_values(rng: random.Random) -> Content:
    content = bytearray(tiff_pages(2, 40, 20))
    for _ in range(rng.randint(1, 6)):
        struct.pack_into("<I", content, rng.randrange(8, 200), rng.choice([0, 1, 2**31, 2**32 - 1]))
    return "tif", bytes(content)


def _truncated(rng: random.Random) -> Content:
    file_format = rng.choice(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "PDF"])
    content = _encoded(rng, file_format)
    return file_format.lower(), content[: rng.randrange(1, len(content))]


def _changed(rng: random.Random) -> Content:
    file_format = rng.choice(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PDF"])
    content = bytearray(_encoded(rng, file_format))
    for _ in range(rng.randint(1, 20)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return file_format.lower(), bytes(content)


def _huge(rng: random.Random) -> Content:
    width, height = (rng.choice([0, 1, 30_000, 65_535, 2**31 - 1]) for _ in range(2))
    few = (min(width, 65_535), min(height, 65_535))
    return rng.choice(
        [
            ("png", png_header(width, height)),
            ("bmp", bmp_header(width, height)),
            ("gif", gif_frame(*few)),
            ("tif", tiff_of(width, height, rng.choice([1, 4, 5, 7, 8]))),
            ("ppm", b"P6 %d %d 255\n" % (width, height)),
        ]
    )


def _png_bomb(rng: random.Random) -> Content:
    side = rng.choice([3000, 7900, 9000, 20_000])
    pixels = zlib.compress(bytes((side + 1) * min(side, 9000)), 9)
    text = zlib.compress(bytes(10_000_000), 9)

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    texts = b"".join(chunk(b"zTXt", b"k\0\0" + text) for _ in range(rng.choice([0, 1, 20])))
    end = chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return "png", b"\x89PNG\r\n\x1a\n" + head + texts + end


def _animated(rng: random.Random) -> Content:
    file_format = rng.choice(["GIF", "PNG", "WEBP"])
    n = rng.randint(200, 800)
    frames = [Image.new("L", (8, 8), i % 200) for i in range(n)]
    file = io.BytesIO()
    frames[0].save(file, file_format, save_all=True, append_images=frames[1:])
    return file_format.lower(), file.getvalue()


def _pdf_pages(rng: random.Random) -> Content:
    n, side = rng.choice([(20_000, 100), (11_000, 1), (3, 14_000), (2, 0), (150, 60)])
    return "pdf", pdf_file(n, side, b"0 0 9 9 re f")


def _pdf_forms(rng: random.Random) -> Content:
    levels, width = rng.randint(3, 5), rng.randint(2, 8)
    about = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9] "
    forms = [
        _stream(about + b"/Resources << /XObject << /F %d 0 R >> >>" % (6 + i), b"/F Do " * width)
        for i in range(levels)
    ]
    loop = b"/Resources << /XObject << /F 5 0 R >> >>" if rng.random() < 0.3 else b""
    last = _stream(about + loop, b"/F Do 0 0 9 9 re f")
    own = b"/Resources << /XObject << /F 5 0 R >> >>"
    return "pdf", pdf_file(1, 100, b"/F Do", own, *forms, last)


def _pdf_damage(rng: random.Random) -> Content:
    content = bytearray(pdf_file(3, 100, b"0 0 9 9 re f"))
    for _ in range(rng.randint(1, 12)):
        content[rng.randrange(9, len(content))] = rng.randrange(256)
    return "pdf", bytes(content[: rng.choice([len(content), rng.randrange(20, len(content))])])


def _noise(rng: random.Random) -> Content:
    return rng.choice(["png", "tif", "pdf", "gif"]), rng.randbytes(rng.randint(0, 3000))


def _special(rng: random.Random) -> Content:
    return rng.choice(["png", "tif", "pdf"]), b""


def _make_special(path: Path, rng: random.Random) -> None:
    """Make a pipe, a folder or a link in place of a file."""
    kind = rng.choice(["pipe", "folder", "loop", "dangling", "device", "zero"])
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        targets = {"loop": path.name, "dangling": "none", "device": "/dev/tty", "zero": "/dev/zero"}
        path.symlink_to(targets[kind])


KINDS: dict[str, Callable[[random.Random], Content]] = {
    "TIFF loop": _tiff_loop,
    "TIFF of many pages": _tiff_many,
    "TIFF pages that share pixels": _tiff_shared,
    "TIFF values": _tiff_values,
    "truncated": _truncated,
    "changed bytes": _changed,
    "huge size": _huge,
    "PNG bomb": _png_bomb,
    "animation": _animated,
    "PDF pages": _pdf_pages,
    "PDF forms": _pdf_forms,
    "damaged PDF": _pdf_damage,
    "noise": _noise,
    "special file": _special,
}
