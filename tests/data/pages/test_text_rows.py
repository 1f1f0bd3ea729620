"""Rows of text: pictures of one line and of several, and what is said of a data set of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ocrsearch.data.pages.layout import (
    SeveralRows,
    count_rows,
    find_several_rows,
)
from ocrsearch.data.samples import GrayImage, Sample

if TYPE_CHECKING:
    from tests.conftest import CommandResult


def rows_of(texts: list[str], ink: int = 0, paper: int = 255) -> GrayImage:
    image = np.full((10 + 34 * len(texts), 240), paper, np.uint8)
    for i, text in enumerate(texts):
        cv2.putText(image, text, (8, 32 + 34 * i), cv2.FONT_HERSHEY_SIMPLEX, 0.8, ink, 2)
    return image


@pytest.mark.parametrize(
    ("texts", "n"),
    [
        (["Abgxy 123"], 1),
        (["ijW jiW ij"], 1),
        (["Abgxy 123", "Defgh 456"], 2),
        (["Abgxy 123", "Defgh 456", "Uvwxyz 78"], 3),
    ],
)
@pytest.mark.parametrize("ink", [0, 255])
def test_rows_are_counted(texts: list[str], n: int, ink: int) -> None:
    assert count_rows(rows_of(texts, ink, 255 - ink)) == n


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (40, 200)])
def test_nothing_has_no_rows(shape: tuple[int, int]) -> None:
    assert count_rows(np.full(shape, 200, np.uint8)) == 0


@pytest.mark.parametrize(
    ("n", "n_several", "is_told"), [(0, 0, False), (40, 1, False), (40, 3, False), (40, 4, True)]
)
def test_few_are_not_told(n: int, n_several: int, *, is_told: bool) -> None:
    names = [f"{i}.png" for i in range(n_several)]

    assert bool(SeveralRows(n, names).describe()) is is_told


def test_some_pictures_of_many_are_looked_at() -> None:
    image = rows_of(["Abgxy 123", "Defgh 456"])
    found = find_several_rows([Sample(f"{i}", image, "a") for i in range(99)])

    assert (found.n_looked_at, len(found.names)) == (40, 40)
    assert "40 of 40 analysed images seem to contain several lines" in found.describe()
    assert find_several_rows([]) == SeveralRows(0, [])


def test_inspect_says_that_pictures_hold_several_lines_and_labels_too(
    tmp_path: Path, command: Callable[..., CommandResult]
) -> None:
    for i in range(6):
        texts = ["Abgxy 123", "Defgh 456"] if i < 4 else ["Abgxy 123"]
        assert cv2.imwrite(str(tmp_path / f"{i}.png"), rows_of(texts, ink=10 * i))
        text = "a\nb\n" if i < 2 else "a b\n"
        (tmp_path / f"{i}.gt.txt").write_text(text)

    shown = command("data", "inspect", f"gt:{tmp_path}")

    assert "4 samples can be used, 2 cannot" in shown.out
    assert "label of more than one line" in shown.out
    assert (
        "2 of 4 analysed images seem to contain several lines of text (2.png, 3.png)" in shown.out
    )
    content = command("data", "inspect", f"gt:{tmp_path}", "--json").json()
    assert content["several_lines"] == {"n_looked_at": 4, "names": ["2.png", "3.png"]}
    assert content["problems"] == {"label of more than one line": 2}
