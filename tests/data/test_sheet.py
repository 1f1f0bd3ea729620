"""Contact sheets: every picture and label finds its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocrsearch.data.images.reading import read_image
from ocrsearch.data.sheets import (
    GAP_PX,
    IMAGE_HEIGHT_PX,
    PAPER,
    SHEET_WIDTH_PX,
    TEXT_HEIGHT_PX,
    contact_sheet,
    write_sheet,
)

ROW = GAP_PX + IMAGE_HEIGHT_PX + TEXT_HEIGHT_PX


def label_of(text: str) -> np.ndarray:
    """Return the part of a sheet that has the label of its only picture."""
    sheet = contact_sheet([(np.full((10, 10), PAPER, np.uint8), text)])
    return sheet[GAP_PX + IMAGE_HEIGHT_PX :]


def test_pictures_stand_in_rows() -> None:
    pictures = [(np.full((48, 500), value, np.uint8), "x") for value in (10, 20, 30)]

    sheet = contact_sheet(pictures)

    assert sheet.shape == (2 * ROW, SHEET_WIDTH_PX)
    assert sheet[GAP_PX, GAP_PX] == 10
    assert sheet[GAP_PX, GAP_PX + 500 + GAP_PX] == 20
    assert sheet[ROW + GAP_PX, GAP_PX] == 30


@pytest.mark.parametrize("shape", [(1, 1), (1, 70_000), (70_000, 1), (300, 20), (20, 3000)])
def test_any_shape_has_its_ink_on_the_sheet(shape: tuple[int, int]) -> None:
    sheet = contact_sheet([(np.zeros(shape, np.uint8), " ")])

    assert sheet.shape == (ROW, SHEET_WIDTH_PX)
    assert sheet[GAP_PX, GAP_PX] == 0


@pytest.mark.parametrize("pair", ["eé", "aậ", "uữ", "dđ", "?漢", "?ж"])
def test_accents_are_drawn(pair: str) -> None:
    assert not np.array_equal(label_of(pair[0]), label_of(pair[1]))


@pytest.mark.parametrize("text", ["", " ", "\n", "a\tb", "\0", "\ud800", "\u0301", "مرحبا", "🙂"])
def test_any_label_can_be_drawn(text: str) -> None:
    assert label_of(text).shape == (TEXT_HEIGHT_PX, SHEET_WIDTH_PX)


@pytest.mark.parametrize("n", [200, 5000])
def test_long_labels_are_cut_and_say_so(n: int) -> None:
    label = label_of("x" * n)

    assert (label != PAPER)[:, : -4 * GAP_PX].any(0).reshape(-1, 20).any(1)[1:-4].all()
    assert (label[:, -GAP_PX:] == PAPER).all()
    np.testing.assert_array_equal(label, label_of("x" * (n + 1)))


def test_sheet_is_written_whole(tmp_path: Path) -> None:
    sheet = contact_sheet([(np.zeros((5, 5), np.uint8), "é")])

    write_sheet(sheet, tmp_path / "below" / "sheet.png")

    np.testing.assert_array_equal(read_image(tmp_path / "below" / "sheet.png"), sheet)
    assert [p.name for p in (tmp_path / "below").iterdir()] == ["sheet.png"]
