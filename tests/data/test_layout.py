"""Lines on pages: found where they were drawn, in reading order, whatever else is on the page."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from ocrsearch.data.layout import Box, find_lines, reading_order
from ocrsearch.data.samples import GrayImage

PAGE_SIZE = (900, 1200)
FONT = cv2.FontFace("uni")
TEXTS = ["18 March 1907", "40 apples, 12 pears", "paid in full", "No. 55821", "with thanks"]


def page_with(texts: list[str], left: int = 80, step: int = 120) -> tuple[GrayImage, list[Box]]:
    """Draw lines under each other; return the page and the boxes of their ink."""
    page = np.full(PAGE_SIZE, 235, np.uint8)
    boxes = []
    for i, text in enumerate(texts):
        line = np.full(PAGE_SIZE, 235, np.uint8)
        cv2.putText(line, text, (left, 100 + i * step), 30, FONT, 40)
        rows, columns = np.nonzero(line < 128)
        boxes.append((int(columns.min()), int(rows.min()), int(columns.max()), int(rows.max())))
        page = np.minimum(page, line)
    return page, boxes


def overlap(a: Box, b: Box) -> float:
    """Return intersection over union."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(0, width) * max(0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return both / (sum(areas) - both)


def turned(page: GrayImage, degrees: float) -> tuple[GrayImage, np.ndarray]:
    height, width = page.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(page, matrix, (width, height), borderValue=235)), matrix


def ruled(page: GrayImage) -> GrayImage:
    lines = page.copy()
    for y in range(110, page.shape[0], 120):
        cv2.line(lines, (0, y), (page.shape[1], y), 120, 2)
    return np.minimum(page, lines)


def noisy(page: GrayImage) -> GrayImage:
    noise = np.random.default_rng(0).normal(0, 6, page.shape)
    return np.clip(page + noise, 0, 255).astype(np.uint8)


def shaded(page: GrayImage) -> GrayImage:
    return (page * np.linspace(0.5, 1.0, page.shape[1])).astype(np.uint8)


@pytest.mark.parametrize(
    "change",
    [lambda p: p, ruled, noisy, shaded, lambda p: 255 - p],
    ids=["plain", "ruled", "noisy", "uneven light", "white on black"],
)
def test_lines_are_found_where_they_are(change: object) -> None:
    page, boxes = page_with(TEXTS)
    assert callable(change)
    layout = find_lines(change(page))
    assert len(layout.lines) == len(boxes)
    assert abs(layout.skew_degrees) < 0.3
    for line, box in zip(layout.lines, boxes, strict=True):
        assert overlap(line.box, box) > 0.6
        assert line.image.dtype == np.uint8


@pytest.mark.parametrize("degrees", [-3.0, 1.5, 3.0])
def test_a_skewed_page(degrees: float) -> None:
    page, boxes = page_with(TEXTS)
    skewed, matrix = turned(page, degrees)
    layout = find_lines(skewed)
    assert layout.skew_degrees == pytest.approx(degrees, abs=0.5)
    assert len(layout.lines) == len(boxes)
    for line, (left, top, right, bottom) in zip(layout.lines, boxes, strict=True):
        middle = matrix @ ((left + right) / 2, (top + bottom) / 2, 1.0)
        found = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
        assert np.allclose(found, middle, atol=20)


def test_strings_scattered_on_a_form() -> None:
    page = np.full(PAGE_SIZE, 240, np.uint8)
    places = [(80, 120), (800, 150), (420, 400), (100, 700), (760, 720)]
    for number, place in enumerate(places):
        cv2.putText(page, f"{number}480{number}", place, 30, FONT, 44)
    found = [line.box for line in find_lines(page).lines]
    assert len(found) == len(places)
    for box, (x, y) in zip(found, places, strict=True):
        assert abs(box[0] - x) < 15
        assert abs(box[3] - y) < 15


@pytest.mark.parametrize(
    "page",
    [
        np.full((1, 1), 255, np.uint8),
        np.full((3, 2000), 0, np.uint8),
        np.full((600, 400), 255, np.uint8),
        np.full((600, 400), 0, np.uint8),
        np.random.default_rng(0).normal(200, 5, (600, 400)).astype(np.uint8),
    ],
    ids=["one pixel", "a strip", "white", "black", "only noise"],
)
def test_nothing_is_found_where_nothing_is(page: GrayImage) -> None:
    assert find_lines(page).lines == []


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        ([], []),
        ([(0, 0, 10, 10)], [0]),
        ([(0, 50, 90, 60), (0, 0, 90, 10)], [1, 0]),
        ([(50, 2, 90, 12), (0, 0, 40, 10)], [1, 0]),
    ],
    ids=["none", "one", "under each other", "side by side"],
)
def test_reading_order(boxes: list[Box], expected: list[int]) -> None:
    assert reading_order(np.array(boxes, np.int64).reshape(-1, 4)) == expected


def test_columns_are_read_one_after_the_other() -> None:
    left = [(0, y, 400, y + 20) for y in range(0, 200, 40)]
    right = [(500, y, 900, y + 20) for y in range(0, 200, 40)]
    assert reading_order(np.array(right + left)) == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
