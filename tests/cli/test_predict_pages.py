"""``predict --page``: lines with their boxes, drawn pages, several pages, bad files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from ocrsearch.data.samples import GrayImage
from ocrsearch.inference.predictor import (
    Prediction,
    Predictor,
    load,
)
from ocrsearch.training.model_file import save_bundle

if TYPE_CHECKING:
    from ocrsearch.training.model_file import Bundle
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


@pytest.fixture(scope="module")
def model_file(
    make_bundle: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model file of an untrained recogniser that is sure of whatever it reads."""
    bundle = make_bundle()
    bundle.weights["head.weight"] *= 1000
    path = tmp_path_factory.mktemp("sure") / "model.pt"
    save_bundle(bundle, path)
    return path


@pytest.fixture
def page_file(tmp_path: Path) -> Path:
    """Two pages of a PDF at 200 dpi, each with two strings of digits."""
    pages = []
    for number in range(2):
        page = np.full((800, 700), 240, np.uint8)
        for y in (200, 500):
            cv2.putText(page, f"{number}4213", (100, y), 30, cv2.FontFace("uni"), 50)
        pages.append(Image.fromarray(page))
    path = tmp_path / "scan.pdf"
    pages[0].save(path, save_all=True, append_images=pages[1:], resolution=200)
    return path


def test_lines_with_boxes(command: Command, model_file: Path, page_file: Path) -> None:
    result = command("predict", model_file, page_file, "--page", "--json")
    assert (result.code, result.err) == (0, "")
    (row,) = result.json()["files"]
    assert [(p["page"], p["width"], p["height"]) for p in row["pages"]] == [
        (1, 700, 800),
        (2, 700, 800),
    ]
    assert [line["page"] for line in row["lines"]] == [1, 1, 2, 2]
    assert [line["row"] for line in row["lines"]] == [1, 2, 1, 2]
    for line, y in zip(row["lines"], (200, 500, 200, 500), strict=True):
        left, top, right, bottom = line["box"]
        assert abs(bottom - y) < 12
        assert 90 < left < right < 400
        assert 0 < top < bottom
        assert len(line["symbol_confidences"]) == len(line["text"])
    assert row["text"] == "\n".join(line["text"] for line in row["lines"])


def test_text_names_the_page(command: Command, model_file: Path, page_file: Path) -> None:
    result = command("predict", model_file, page_file, "--page")
    assert [line.split("\t")[0] for line in result.out.splitlines()] == [
        f"{page_file}#page={page}" for page in (1, 1, 2, 2)
    ]


def test_pages_are_drawn(
    command: Command, model_file: Path, page_file: Path, tmp_path: Path
) -> None:
    drawn = tmp_path / "drawn.png"
    assert command("predict", model_file, page_file, "--page", "--draw", drawn).code == 0
    for path in (drawn, tmp_path / "drawn-2.png"):
        with Image.open(path) as image:
            colours = np.asarray(image.convert("RGB")).astype(int)
            assert image.size == (700, 800)
        assert (colours[..., 0] - colours[..., 2] > 100).any()  # boxes are red


@pytest.mark.parametrize(
    "options", [("--draw", "a.png"), ("--page", "--draw", "a.xyz")], ids=["no page", "no png"]
)
def test_draw_needs_a_page_and_a_png(
    command: Command, model_file: Path, page_file: Path, options: tuple[str, ...]
) -> None:
    result = command("predict", model_file, page_file, *options)
    assert result.code == 2
    assert "--draw" in result.err
    assert len(result.err.splitlines()) == 1


def test_a_bad_file_does_not_stop_the_others(
    command: Command, model_file: Path, page_file: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.pdf"
    bad.write_bytes(b"%PDF-1.4 nothing")
    result = command("predict", model_file, bad, page_file, "--page", "--json")
    content = result.json()
    assert result.code == 1
    assert [row["file"] for row in content["files"]] == [str(page_file)]
    assert [failure["file"] for failure in content["failures"]] == [str(bad)]


def test_from_python(model_file: Path) -> None:
    page = np.full((400, 700), 240, np.uint8)
    cv2.putText(page, "90210", (100, 200), 30, cv2.FontFace("uni"), 50)
    read = load(model_file).predict_page(page)
    assert (read.width, read.height) == (700, 400)
    assert len(read.lines) == 1
    assert read.text == read.lines[0].text


class OneWay:
    """In place of a network: reads dark lines with a block on their left, and nothing else."""

    def __call__(self, images: Sequence[GrayImage]) -> list[Prediction]:
        return [self._read(image) for image in images]

    def _read(self, image: GrayImage) -> Prediction:
        height, width = image.shape
        sure = image.mean() > 128 and width > 3 * height
        sure = sure and image[:, : width // 4].mean() < image[:, -(width // 4) :].mean()
        return Prediction("123456", 0.9 if sure else 1e-4, (0.98 if sure else 0.2,) * 6)


@pytest.fixture
def block_page(monkeypatch: pytest.MonkeyPatch) -> GrayImage:
    """A page for OneWay, which reads in place of the network."""
    reader = OneWay()
    for name in ("_read", "_read_lines"):
        monkeypatch.setattr(Predictor, name, lambda _, images, progress=None: reader(images))
    page = np.full((480, 700), 235, np.uint8)
    for top in range(60, 420, 60):
        page[top : top + 24, 60:160] = 40
        for x in range(168, 560, 14):
            page[top : top + 24, x : x + 4] = 40
    return page


@pytest.mark.parametrize(
    ("turns", "dark", "words"),
    [
        (0, False, ()),
        (1, False, ("turned by 90 degrees clockwise",)),
        (2, False, ("turned by 180 degrees clockwise",)),
        (3, True, ("turned by 270 degrees clockwise", "inverted")),
        (0, True, ("inverted",)),
    ],
)
def test_what_was_done_to_a_page_is_said(
    command: Command,
    model_file: Path,
    block_page: GrayImage,
    tmp_path: Path,
    turns: int,
    dark: bool,
    words: tuple[str, ...],
) -> None:
    page = np.ascontiguousarray(np.rot90(block_page, turns))
    path = tmp_path / "page.png"
    Image.fromarray(255 - page if dark else page).save(path)
    result = command("predict", model_file, path, "--page", "--json")
    assert result.code == 0
    (about,) = result.json()["files"][0]["pages"]
    assert (about["rotation"], about["inverted"]) == (90 * turns, dark)
    assert about["readable"]
    assert len(result.err.splitlines()) == bool(words)
    assert all(word in result.err for word in words)


def test_a_page_that_no_orientation_reads_is_refused(
    command: Command, model_file: Path, block_page: GrayImage, tmp_path: Path
) -> None:
    path = tmp_path / "page.png"
    mirrored = block_page.copy()
    mirrored[:, 60:160] = 235  # neither end has a block
    Image.fromarray(mirrored).save(path)
    result = command("predict", model_file, path, "--page", "--json")
    assert result.code == 1
    content = result.json()
    assert len(content["files"][0]["lines"]) == 6
    assert "no orientation reads with confidence" in content["failures"][0]["reason"]
    assert result.err.splitlines() == [f"ocrsearch: {content['failures'][0]['reason']}"]


def test_an_image_of_one_line_is_never_turned(
    command: Command, model_file: Path, block_page: GrayImage, tmp_path: Path
) -> None:
    path = tmp_path / "line.png"
    Image.fromarray(np.ascontiguousarray(np.rot90(block_page[50:95], 2))).save(path)
    result = command("predict", model_file, path, "--json")
    assert result.code == 0
    assert result.json()["files"][0]["lines"][0]["confidence"] < 0.01
