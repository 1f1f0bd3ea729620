"""Which files are pictures: by contents or ending, and what is skipped is counted."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from ocrsearch.core.errors import DataError, ImageError
from ocrsearch.data.formats.files import ImageFiles, find_images
from ocrsearch.data.formats.specs import FORMATS, read_samples
from ocrsearch.data.images.documents import is_document_file
from ocrsearch.data.images.reading import is_image_file, read_image

if TYPE_CHECKING:
    from tests.conftest import CommandResult

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64

ENDINGS = {
    ".png": "PNG",
    ".apng": "PNG",
    ".PNG": "PNG",
    ".jfif": "JPEG",
    ".JFIF": "JPEG",
    ".jpe": "JPEG",
    ".jp2": "JPEG2000",
    ".avif": "AVIF",
    ".dib": "DIB",
    ".ico": "ICO",
    ".pcx": "PCX",
    ".tga": "TGA",
    ".webp": "WEBP",
    ".jpg_": "JPEG",
    ".scan": "TIFF",
    "": "PNG",
}


def drawn() -> Image.Image:
    pixels = np.full((16, 32), 255, np.uint8)
    pixels[4:12, 4:20] = 0
    return Image.fromarray(pixels).convert("RGB")


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_picture_is_taken_and_read_whatever_its_ending(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"ab{ending}"
    drawn().save(path, format=ENDINGS[ending])

    assert is_image_file(path)
    [sample] = read_samples(f"captcha:{tmp_path}")
    assert (sample.text, sample.image) == ("ab", path)
    image = read_image(path)
    height, width = image.shape
    assert image[height // 2, width // 3] < 64 < 192 < image.max()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", b"text"),
        ("b.txt", b"P1 is not a bitmap"),
        ("c.db", b"\xd0\xcf\x11\xe0" * 99),
        ("d.bin", b""),
        ("e.bin", bytes(3000)),
        ("f.heic", HEIC),
        ("g.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("h.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        ("i", b"\n\x05\x01\x08"),
    ],
)
def test_other_files_are_no_pictures(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)

    assert not is_image_file(tmp_path / name)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    assert not is_image_file(tmp_path / "pipe")


def folder_of_many(folder: Path) -> Path:
    for name in ("1.png", "2.jfif", "below/3.jp2"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        drawn().save(folder / name, format=ENDINGS[Path(name).suffix])
    for name in ("a.txt", "b.TXT", "x.db", "y.heic", "._1.png", ".DS_Store", ".git/z.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(HEIC if name == "y.heic" else b"x")
    (folder / "doc").write_bytes(b"%PDF-1.4")
    return folder


def test_skipped_files_are_counted_and_hidden_ones_ignored(tmp_path: Path) -> None:
    found = find_images(folder_of_many(tmp_path))

    assert [path.name for path in found.images] == ["1.png", "2.jfif"]
    assert found.skipped == {".txt": 2, "without an extension": 1, ".db": 1, ".heic": 1}
    assert found.describe_skipped() == (
        "5 files skipped: .txt 2, without an extension 1, .db 1, .heic 1; "
        "convert HEIC to JPEG or PNG"
    )


def test_documents_in_folders_below(tmp_path: Path) -> None:
    found = find_images(folder_of_many(tmp_path), is_document_file, nested=True)

    assert [path.name for path in found.images] == ["1.png", "2.jfif", "3.jp2", "doc"]


@pytest.mark.parametrize(
    ("skipped", "told"),
    [
        ({}, ""),
        ({".db": 1}, "1 file skipped: .db 1"),
        ({f".{i}": 1 for i in range(9)}, "9 files skipped: .0 1, .1 1, .2 1, .3 1, .4 1, ..."),
    ],
)
def test_what_is_said_of_skipped_files(skipped: dict[str, int], told: str) -> None:
    assert ImageFiles([], skipped).describe_skipped() == told


def test_captchas_warn_of_what_they_skip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read_samples(str(folder_of_many(tmp_path)))

    assert "5 files skipped: .txt 2" in caplog.text
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").touch()
    with pytest.raises(DataError, match=r"no images in this folder \(1 file skipped: .txt 1\)"):
        FORMATS["captcha"].read(tmp_path / "none")


def test_gt_names_the_file_that_has_the_stem(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    drawn().save(tmp_path / "a.jp2")
    drawn().save(tmp_path / "b.scan", format="PNG")
    (tmp_path / "b.notes").write_text("x")
    (tmp_path / "c.heic").write_bytes(HEIC)
    (tmp_path / "d.xml").write_text("<x/>")
    drawn().save(tmp_path / "e.png")
    drawn().save(tmp_path / "e.jp2")
    drawn().save(tmp_path / "more.png")
    for stem in "abcde":
        (tmp_path / f"{stem}.gt.txt").write_text("x")
    with caplog.at_level(logging.WARNING):
        samples = read_samples(f"gt:{tmp_path}")

    assert [s.name for s in samples] == ["a.jp2", "b.scan", "c.heic", "d.png", "e.png"]
    assert "1 image without .gt.txt skipped" in caplog.text
    with pytest.raises(ImageError, match="HEIC image, not supported; convert it"):
        read_image(tmp_path / "c.heic")


def test_predict_reads_a_folder_and_counts_the_rest(
    tmp_path: Path, model_file: Path, command: Callable[..., CommandResult]
) -> None:
    folder = folder_of_many(tmp_path / "in")
    (folder / "doc").unlink()
    result = command("predict", model_file, folder)

    assert (result.code, len(result.out.splitlines())) == (0, 3)
    assert "4 files skipped: .txt 2, .db 1, .heic 1" in result.err
    content = command("predict", model_file, folder, "--json").json()
    assert content["skipped"] == {".txt": 2, ".db": 1, ".heic": 1}
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").touch()
    failed = command("predict", model_file, tmp_path / "none")
    assert failed.code == 1
    assert "no images in this folder (1 file skipped: .txt 1)" in failed.err


def test_a_picture_in_an_icon_that_is_larger_than_it_says(tmp_path: Path) -> None:
    path = tmp_path / "a.ico"
    drawn().save(path)
    icon = bytearray(path.read_bytes())
    at = icon.index(b"IHDR") + 4
    icon[at : at + 8] = (9000).to_bytes(4, "big") * 2
    path.write_bytes(icon)

    with pytest.raises(ImageError):
        read_image(path)


def test_a_jpeg_2000_of_many_samples(tmp_path: Path) -> None:
    path = tmp_path / "a.jp2"
    Image.new("RGBA", (60, 40)).save(path)
    content = bytearray(path.read_bytes())
    at = content.index(b"ihdr") + 4
    content[at : at + 8] = (6000).to_bytes(4, "big") * 2
    path.write_bytes(content)

    with pytest.raises(ImageError, match="image too large: 6000 x 6000"):
        read_image(path)


def test_a_label_may_begin_with_a_point(tmp_path: Path) -> None:
    for name in (".75.png", "._75.png", ".hidden", "1.png"):
        Image.new("L", (9, 9), 9).save(tmp_path / name, "PNG")
    assert [path.name for path in find_images(tmp_path).images] == [".75.png", "1.png"]
