"""Pages read whichever way they lie, by a reader that knows upright dark print alone."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from ocrsearch.data.images.gray import ink_is_light
from ocrsearch.data.samples import GrayImage
from ocrsearch.inference.pages import PagePrediction, read_page, turned_back
from ocrsearch.inference.predictor import Prediction

PAPER, INK = 235, 40
N_LINES = 6


class Reader:
    """Reads blocks: with confidence only if they are dark, level and with the thick block first."""

    def __init__(self, knows_light: bool = False) -> None:
        self.knows_light = knows_light
        self.n_read = 0

    def __call__(self, images: Sequence[GrayImage]) -> list[Prediction]:
        self.n_read += len(images)
        return [self._read(image) for image in images]

    def _read(self, image: GrayImage) -> Prediction:
        light = ink_is_light(image)
        ink = (255 - image if light else image) < (PAPER + INK) // 2
        columns = np.flatnonzero(ink.any(0))
        height, width = image.shape
        sure = len(columns) > 0 and width > 3 * height and (self.knows_light or not light)
        if sure:
            first = ink[:, columns[0] : columns[0] + 30].mean()
            last = ink[:, columns[-1] - 29 : columns[-1] + 1].mean()
            sure = first > last
        confidence = 0.98 if sure else 0.3
        return Prediction("abcdef", confidence**6, (confidence,) * 6)


def lines_page(n: int = N_LINES) -> GrayImage:
    """Return a page of lines of strokes; each begins with a solid block."""
    page = np.full((480, 700), PAPER, np.uint8)
    for i in range(n):
        top = 60 + 60 * i
        page[top : top + 24, 60:66] = INK
        for x in range(68, 560 - 20 * (i % 3), 14):
            page[top : top + 24, x : x + 4] = INK
    return page


def tops(read: PagePrediction) -> list[int]:
    return [line.box[1] for line in read.lines]


def assert_upright_boxes(read: PagePrediction, page: GrayImage) -> None:
    """Check that each box, in the page as it was given, is full of ink to its edges."""
    dark = page if not ink_is_light(page) else 255 - page
    assert len(read.lines) == N_LINES
    for line in read.lines:
        left, top, right, bottom = line.box
        part = dark[top:bottom, left:right] < (PAPER + INK) // 2
        assert part.any()
        ys, xs = np.nonzero(part)
        assert ys.min() <= 3
        assert xs.min() <= 3
        assert part.shape[0] - ys.max() <= 4
        assert part.shape[1] - xs.max() <= 4


def test_an_upright_page_is_read_once() -> None:
    reader = Reader()
    read = read_page(lines_page(), reader)
    assert (read.rotation, read.inverted, read.skew_degrees) == (0, False, 0.0)
    assert reader.n_read == N_LINES
    assert read.is_readable
    assert tops(read) == sorted(tops(read))


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_turned_page_is_turned_back(turn: int, dark: bool) -> None:
    page = np.ascontiguousarray(np.rot90(lines_page(), turn // 90))
    page = 255 - page if dark else page
    read = read_page(page, Reader())
    assert (read.rotation, read.inverted) == (turn, dark)
    assert (read.width, read.height) == (page.shape[1], page.shape[0])
    assert read.confidence == pytest.approx(0.98, abs=0.01)
    assert_upright_boxes(read, page)
    first = read.lines[0].box  # the title is at the top of the upright page
    side = {90: first[0], 180: -first[1], 270: -first[0]}[turn]
    others = [{90: b.box[0], 180: -b.box[1], 270: -b.box[0]}[turn] for b in read.lines]
    assert side == min(others)


@pytest.mark.parametrize("degrees", [-14.0, 9.0, 17.0])
def test_a_skewed_page_is_levelled(degrees: float) -> None:
    page = cv2.copyMakeBorder(
        lines_page(), 150, 150, 150, 150, cv2.BORDER_CONSTANT, value=[PAPER] * 4
    )
    height, width = page.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    skewed = np.asarray(cv2.warpAffine(page, matrix, (width, height), borderValue=PAPER), np.uint8)
    read = read_page(skewed, Reader())
    assert read.rotation == 0
    assert read.skew_degrees == pytest.approx(degrees, abs=0.2)
    assert len(read.lines) == N_LINES


def test_a_light_page_is_inverted_only_for_a_model_that_does_not_know_it() -> None:
    dark = 255 - lines_page()
    assert read_page(dark, Reader()).inverted
    assert read_page(dark, Reader()).is_readable
    assert not read_page(dark, Reader(knows_light=True)).inverted


@pytest.mark.parametrize("page_is_dark", [False, True])
def test_a_bar_with_light_text_is_read(page_is_dark: bool) -> None:
    page = lines_page()
    page[340:404] = 255 - page[340:404]
    page = 255 - page if page_is_dark else page
    read = read_page(page, Reader())
    assert read.inverted
    assert len(read.lines) == N_LINES
    assert all(line.confidence > 0.5 for line in read.lines)


@pytest.mark.parametrize("shade", [0.3, 0.45])
def test_text_in_the_shade_is_no_bar(shade: float) -> None:
    page = lines_page()
    page[:, :330] = page[:, :330] * shade
    read = read_page(page, Reader(knows_light=True))
    assert not read.inverted
    assert len(read.lines) >= N_LINES


def test_an_unreadable_page_says_so() -> None:
    read = read_page(
        cv2.flip(lines_page(), 1),
        lambda images: [Prediction("abc", 0.027, (0.3,) * 3) for _ in images],
    )
    assert not read.is_readable
    assert read.rotation == 0
    assert len(read.lines) == N_LINES


def test_a_page_without_lines() -> None:
    read = read_page(np.full((300, 200), 255, np.uint8), Reader())
    assert read.lines == ()
    assert read.is_readable
    assert read.confidence == 0.0


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_boxes_are_turned_back(turn: int) -> None:
    page = np.zeros((40, 70), np.uint8)
    page[5:12, 20:50] = 1
    turned = np.rot90(page, -turn // 90)
    ys, xs = np.nonzero(turned)
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    assert turned_back(box, turn, (70, 40)) == (20, 5, 50, 12)
