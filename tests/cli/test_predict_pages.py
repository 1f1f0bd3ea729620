"""``predict --page``: lines with their boxes, drawn pages, several pages, bad files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from ocrsearch.deploy.predictor import load

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


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
