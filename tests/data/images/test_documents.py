"""Files of several pages: TIFF and PDF, whole, damaged and encrypted."""

from __future__ import annotations

import struct
import time
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrsearch.core.errors import ImageError
from ocrsearch.data.images import documents
from ocrsearch.data.images import documents as pdf_module
from ocrsearch.data.images import reading as images
from ocrsearch.data.images.documents import PDF_DPI, read_pages


@pytest.fixture
def pages() -> list[Image.Image]:
    return [Image.new("L", (60 + 10 * i, 40), 50 * i) for i in range(3)]


def test_a_picture_is_one_page(tmp_path: Path, pages: list[Image.Image]) -> None:
    path = tmp_path / "a.png"
    pages[1].save(path)
    (page,) = read_pages(path)
    assert page.shape == (40, 70)
    assert (page == 50).all()


def test_all_pages_of_a_tiff(tmp_path: Path, pages: list[Image.Image]) -> None:
    path = tmp_path / "a.tiff"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    found = list(read_pages(path))
    assert [page.shape for page in found] == [(40, 60), (40, 70), (40, 80)]
    assert [int(page[0, 0]) for page in found] == [0, 50, 100]


def test_an_animated_picture_is_one_page(tmp_path: Path, pages: list[Image.Image]) -> None:
    path = tmp_path / "a.gif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert len(list(read_pages(path))) == 1


@pytest.mark.parametrize("name", ["a.pdf", "a.png"])
def test_all_pages_of_a_pdf_whatever_its_name(
    tmp_path: Path, pages: list[Image.Image], name: str
) -> None:
    path = tmp_path / name
    pages[0].save(path, "PDF", save_all=True, append_images=pages[1:], resolution=PDF_DPI)
    found = list(read_pages(path))
    assert [page.dtype for page in found] == [np.uint8] * 3
    for page, width in zip(found, (60, 70, 80), strict=True):
        assert abs(page.shape[0] - 40) <= 1
        assert abs(page.shape[1] - width) <= 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"%PDF-1.4\nnot a document", "damaged PDF"),
        (b"", "empty"),
        (b"text", "not a supported image"),
    ],
)
def test_what_is_damaged_is_told_in_a_line(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        list(read_pages(path))
    assert "\n" not in str(caught.value)


def test_a_page_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    Image.new("1", (10, 10)).save(path, "PDF", resolution=0.05)
    with pytest.raises(ImageError, match="megapixels"):
        list(read_pages(path))


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such"):
        list(read_pages(tmp_path / "none.pdf"))


# --- hostile files ----------------------------------------------------------------------------


def tiff(n: int, width: int = 64, height: int = 32, last: int = 0) -> bytes:
    """Return a TIFF of pages that share one strip.

    Args:
        n: number of pages.
        width: of each, in pixels.
        height: of each, in pixels.
        last: number of the page that comes after the last page; 0 for none.
    """
    size = 2 + 9 * 12 + 4
    strip = 8 + n * size
    tags = [(256, 4, width), (257, 4, height), (258, 3, 8), (259, 3, 1), (262, 3, 1)]
    tags += [(273, 4, strip), (277, 3, 1), (278, 4, height), (279, 4, width * height)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directories = [
        struct.pack("<H", 9) + entries + struct.pack("<I", 8 + (i + 1) * size) for i in range(n)
    ]
    end = struct.pack("<I", 8 + (last - 1) * size if last else 0)
    directories[-1] = directories[-1][:-4] + end
    return b"II*\0" + struct.pack("<I", 8) + b"".join(directories) + bytes(width * height)


def pdf(*objects: bytes) -> bytes:
    """Return a PDF of objects, the first the catalogue."""
    content, places = b"%PDF-1.7\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(objects) + 1
    return (
        content
        + b"xref\n0 %d\n0000000000 65535 f \n" % size
        + table
        + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (size, len(content))
    )


def stream(kind: bytes, data: bytes) -> bytes:
    return b"<< %s /Length %d >>\nstream\n%s\nendstream" % (kind, len(data), data)


def pdf_page(n: int, side: int, *more: bytes) -> bytes:
    """Return a PDF that has one page n times, which draws the fifth object."""
    page = (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R "
        b"/Resources << /XObject << /F 5 0 R >> >> >>" % (side, side)
    )
    pages = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b"3 0 R " * n, n)
    catalogue = b"<< /Type /Catalog /Pages 2 0 R >>"
    return pdf(catalogue, pages, page, stream(b"", b"q 100 0 0 100 0 0 cm /F Do Q"), *more)


def forms(levels: int) -> list[bytes]:
    """Return forms of which each draws the next ten times."""
    kind = b"/Type /XObject /Subtype /Form /BBox [0 0 9 9]"
    nested = [
        stream(kind + b"/Resources << /XObject << /F %d 0 R >> >>" % (6 + i), b"/F Do " * 10)
        for i in range(levels)
    ]
    return [*nested, stream(kind, b"0 0 9 9 re f")]


def image(side: int) -> bytes:
    """Return a black image that takes some bytes for each of its rows."""
    data = zlib.compress(bytes(side * 125), 9)  # some rows; the others are missing
    about = b"/Type /XObject /Subtype /Image /BitsPerComponent 8 /ColorSpace /DeviceRGB"
    return stream(about + b" /Filter /FlateDecode /Width %d /Height %d" % (side, side), data)


def test_thousands_of_pages_take_seconds(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(3000))
    start = time.process_time()
    assert sum(1 for _ in read_pages(path)) == 3000
    assert time.process_time() - start < 10


@pytest.mark.parametrize(("n", "last"), [(1, 1), (3, 1), (3, 2), (3, 3)])
def test_pages_in_a_loop_are_read_once(tmp_path: Path, n: int, last: int) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(n, last=last))
    assert len(list(read_pages(path))) == n


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.tif", tiff(8)), ("a.pdf", pdf_page(8, 30, stream(b"", b"")))],
    ids=["TIFF", "PDF"],
)
def test_the_number_of_pages_is_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    monkeypatch.setattr(documents, "MAX_PAGES", 8)
    assert len(list(read_pages(path))) == 8
    monkeypatch.setattr(documents, "MAX_PAGES", 7)
    with pytest.raises(ImageError, match=r"7( pages)?; split the file"):
        list(read_pages(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.tif", tiff(40, 400, 400)), ("a.pdf", pdf_page(40, 300, stream(b"", b"")))],
    ids=["TIFF", "PDF"],
)
def test_the_pixels_of_all_pages_are_limited_by_the_size_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert len(list(read_pages(path))) == 40
    monkeypatch.setattr(documents, "FREE_PIXELS", 1000)
    monkeypatch.setattr(documents, "TIFF_PIXELS_PER_BYTE", 10)
    monkeypatch.setattr(documents, "PDF_PIXELS_PER_BYTE", 10_000)
    with pytest.raises(ImageError, match=r"page \d+: .* too many for the size of the file"):
        list(read_pages(path))


def test_pages_that_share_their_pixels_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(40, 400, 400))
    monkeypatch.setattr(documents, "SHARED_PIXELS", 10 * 400 * 400)
    with pytest.raises(ImageError, match="page 12: too many pages share their pixels"):
        list(read_pages(path))
    pages = [Image.new("L", (400, 400), i) for i in range(40)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert len(list(read_pages(path))) == 40


def test_the_file_is_closed_when_the_reader_stops(tmp_path: Path) -> None:
    for name, content in (("a.tif", tiff(3)), ("a.pdf", pdf_page(3, 30, stream(b"", b"")))):
        path = tmp_path / name
        path.write_bytes(content)
        pages = read_pages(path)
        next(pages)
        pages.close()  # type: ignore[attr-defined]
        with pytest.raises(StopIteration):
            next(pages)


def test_a_large_page_does_not_block_other_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "LARGE_PIXELS", 1000)
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(2))
    pages = read_pages(path)
    next(pages)
    assert len(list(read_pages(path))) == 2


def test_forms_within_forms_end_after_some_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_page(1, 100, *forms(3)))
    assert len(list(read_pages(path))) == 1
    monkeypatch.setattr(pdf_module, "MAX_PAGE_SECONDS", 1)
    path.write_bytes(pdf_page(1, 100, *forms(12)))
    with pytest.raises(ImageError, match="page 1: takes over 1 s to render"):
        list(read_pages(path))


def test_memory_for_drawing_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_page(1, 2000, stream(b"", b"")))
    assert len(list(read_pages(path))) == 1
    monkeypatch.setattr(pdf_module, "MAX_MEMORY_BYTES", 1_000_000)
    with pytest.raises(ImageError, match="not enough memory"):
        list(read_pages(path))


def test_an_image_that_would_be_left_out_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_page(1, 100, image(1000)))
    (page,) = read_pages(path)
    assert page.min() < 50
    path.write_bytes(pdf_page(1, 100, image(20_000)))
    with pytest.raises(ImageError, match="page 1: an image of 20000 x 20000 pixels"):
        list(read_pages(path))


@pytest.mark.parametrize(
    "content",
    [
        pdf(),
        pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [2 0 R] /Count 9 >>"),
        pdf(b"<< /Type /Catalog /Pages 2 0 R >>", b"<< /Type /Pages /Kids [] /Count 0 >>"),
        pdf_page(1, 100, stream(b"", b""))[:200],
    ],
    ids=["no objects", "loop", "no pages", "cut"],
)
def test_a_page_tree_without_pages(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    with pytest.raises(ImageError, match="PDF"):
        list(read_pages(path))


@pytest.mark.parametrize("side", [0, -5])
def test_a_pdf_page_without_a_size(tmp_path: Path, side: int) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(pdf_page(1, side, stream(b"", b"")))
    pages = read_pages(path)
    with suppress(ImageError):  # the library may take the size of a letter instead
        assert next(pages).size > 0


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP"])
def test_an_animation_of_thousands_of_frames_is_its_first(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / f"a.{file_format.lower()}"
    frames = [Image.new("L", (8, 8), i % 200) for i in range(1500)]
    frames[0].save(path, file_format, save_all=True, append_images=frames[1:])
    start = time.process_time()
    assert len(list(read_pages(path))) == 1
    assert time.process_time() - start < 2


def test_without_the_renderer_a_pdf_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scan.pdf"
    path.write_bytes(pdf())
    monkeypatch.setattr(documents, "find_spec", lambda _: None)
    with pytest.raises(ImageError, match=r"scan\.pdf: PDF files need pypdfium2; install it"):
        next(read_pages(path))
