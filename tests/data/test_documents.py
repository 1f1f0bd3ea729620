"""Files of several pages: TIFF and PDF, whole, damaged and encrypted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ocrsearch.data.documents import PDF_DPI, read_pages
from ocrsearch.errors import ImageError


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
        (b"text", "not a picture"),
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
