"""Lines on pages: found where they are, whole, apart, in order, and cut out clean."""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from ocrsearch.data.pages import layout
from ocrsearch.data.pages.layout import (
    MARGIN,
    Box,
    FoundLine,
    find_lines,
)
from ocrsearch.data.samples import GrayImage

PAPER, INK = 235, 40
FONT = cv2.FONT_HERSHEY_SIMPLEX
Writing = tuple[str, int, int]
"""A text, and the left and the baseline of it."""

LETTER: list[Writing] = [
    ("dear reader, 17 may", 80, 100),
    ("this is a page with lines", 80, 170),
    ("of one hand, in one size", 80, 240),
    ("and with words", 80, 310),
    ("that stand apart", 80, 380),
]


def drawn(
    writing: list[Writing], height: int = 460, width: int = 640, size: float = 1.0
) -> tuple[GrayImage, list[Box]]:
    """Return a page and the box of the ink of each line."""
    page = np.full((height, width), PAPER, np.uint8)
    boxes = []
    for text, x, y in writing:
        alone = np.full_like(page, PAPER)
        cv2.putText(alone, text, (x, y), FONT, size, INK, 2, cv2.LINE_AA)
        rows, columns = np.nonzero(alone < (PAPER + INK) // 2)
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        page = np.minimum(page, alone)
    return page, boxes


def iou(a: Box, b: Box) -> float:
    width = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return width * height / (sum(areas) - width * height)


def assert_found(lines: list[FoundLine], boxes: list[Box], least: float = 0.85) -> None:
    """Check that the found lines are those of the boxes, in their order."""
    assert len(lines) == len(boxes)
    for line, box in zip(lines, boxes, strict=True):
        assert iou(line.box, box) >= least, (line.box, box)


# --- where lines are --------------------------------------------------------------------------


@pytest.mark.parametrize("light_on_dark", [False, True])
def test_lines_of_a_letter(light_on_dark: bool) -> None:
    page, boxes = drawn(LETTER)
    found = find_lines(255 - page if light_on_dark else page)
    assert_found(found.lines, boxes, 0.9)
    assert found.skew_degrees == 0.0


@pytest.mark.parametrize("degrees", [-5.0, -2.0, 3.0])
def test_boxes_are_those_of_the_page_as_it_was_given(degrees: float) -> None:
    page, _ = drawn(LETTER)
    height, width = page.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    skewed = cv2.warpAffine(page, matrix, (width, height), borderValue=PAPER)
    boxes: list[Box] = []
    for writing in LETTER:
        alone = cv2.warpAffine(drawn([writing])[0], matrix, (width, height), borderValue=PAPER)
        rows, columns = np.nonzero(alone < (PAPER + INK) // 2)
        boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    found = find_lines(np.asarray(skewed, np.uint8))
    assert found.skew_degrees == pytest.approx(degrees, abs=0.2)
    assert_found(found.lines, boxes)


def test_rules_neither_merge_nor_break_lines() -> None:
    page, boxes = drawn(LETTER)
    for _, _, baseline in LETTER:
        page[baseline + 3 : baseline + 5, 30:610] = 110
        page[baseline - 32 : baseline - 31, 30:610] = 150
    page[20:440, 50:52] = 130  # a margin
    assert_found(find_lines(page).lines, boxes, 0.75)


def test_strings_scattered_on_a_form() -> None:
    writing = [("4711", 60, 100), ("08 15", 400, 104), ("3", 90, 210), ("1234567", 330, 330)]
    page, boxes = drawn(writing)
    for text, x, baseline in writing:
        corner = (x + 24 * len(text), baseline + 14)
        cv2.rectangle(page, (x - 16, baseline - 40), corner, 120, 2)
    assert_found(find_lines(page).lines, boxes)


def test_columns_are_read_one_after_the_other() -> None:
    texts = ["all of the words", "in this column", "come before any", "of the other one"]
    left = [(text, 40, 120 + 50 * i) for i, text in enumerate(texts)]
    right = [(text, 420, 120 + 50 * i) for i, text in enumerate(texts)]
    page, boxes = drawn([("a title over both of the columns", 120, 50), *left, *right], 340, 760)
    assert_found(find_lines(page).lines, boxes)


@pytest.mark.parametrize("ruled", [False, True])
def test_cells_of_a_table_are_read_by_rows(ruled: bool) -> None:
    cells = [(f"{r}{c}{r}{c}", 40 + 180 * c, 80 + 60 * r) for r in range(4) for c in range(3)]
    page, boxes = drawn(cells, 320, 600)
    if ruled:
        for y in range(40, 300, 60):
            page[y : y + 2, 20:560] = INK
        for x in range(20, 570, 180):
            page[40:282, x : x + 2] = INK
    lines = find_lines(page).lines
    assert_found(lines, boxes)
    assert [line.row for line in lines] == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 3


def test_a_ruled_table_of_whole_phrases_is_read_by_rows() -> None:
    texts = ["all of the words", "in this column", "come before any", "of the other one"]
    cells = [(texts[(r + c) % 4], 40 + 330 * c, 80 + 60 * r) for r in range(4) for c in range(2)]
    page, boxes = drawn(cells, 320, 720)
    for y in range(40, 300, 60):
        page[y : y + 2, 20:690] = INK
    assert_found(find_lines(page).lines, boxes)


def test_sizes_may_differ() -> None:
    page, boxes = drawn([("small print of a page", 60, 300), ("and more of it", 60, 340)], size=0.7)
    title, title_boxes = drawn([("TITLE", 60, 150)], size=3.0)
    assert_found(find_lines(np.minimum(page, title)).lines, [*title_boxes, *boxes])


def test_lines_that_touch_are_parted() -> None:
    """Three rows of blocks as high as they are apart, with strokes from row to row."""
    page = np.full((300, 700), PAPER, np.uint8)
    boxes: list[Box] = []
    for row in range(3):
        top = 60 + 48 * row
        for i in range(18):
            page[top : top + 24, 60 + 32 * i : 80 + 32 * i] = INK
        boxes.append((60, top, 60 + 32 * 17 + 20, top + 24))
    for x in (100, 260, 450):
        page[60:160, x : x + 4] = INK
    assert_found(find_lines(page).lines, boxes, 0.5)


def test_a_broken_character_is_no_two_lines() -> None:
    page, boxes = drawn([("4711", 60, 100), ("0815", 60, 200), ("2368", 60, 300)], size=1.6)
    page[170:195, 400:404] = page[170:174, 400:412] = INK  # the upper part of a 6
    page[196:210, 406:409] = page[206:210, 406:419] = page[196:210, 416:419] = INK  # the lower
    assert_found(find_lines(page).lines, [*boxes[:2], (400, 170, 419, 210), boxes[2]])


def test_accents_belong_to_their_line() -> None:
    page = np.full((300, 600), PAPER, np.uint8)
    font = cv2.FontFace("uni")
    texts = ["ễ thị ấy đã ở huế", "Ổ gà và ếch nhỏ", "tiếng Việt có dấu"]
    for i, text in enumerate(texts):
        cv2.putText(page, text, (40, 70 + 80 * i), (INK,), font, 40)
    lines = find_lines(page).lines
    assert len(lines) == 3
    for i, line in enumerate(lines):
        alone = np.full((300, 600), PAPER, np.uint8)
        cv2.putText(alone, texts[i], (40, 70 + 80 * i), (INK,), font, 40)
        rows = np.flatnonzero((alone < 140).any(1))
        assert abs(line.box[1] - rows[0]) <= 2
        assert abs(line.box[3] - rows[-1] - 1) <= 2


def test_a_large_page_is_analysed_at_a_smaller_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    page, boxes = drawn(LETTER, size=1.2, width=800)
    monkeypatch.setattr(layout, "MAX_ANALYSED_PIXELS", page.size // 3)
    assert_found(find_lines(page).lines, boxes)


# --- no lines ---------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (5, 5), (6, 6), (7, 500), (300, 9)])
@pytest.mark.parametrize("level", [0, 255])
def test_blank_pages(shape: tuple[int, int], level: int) -> None:
    assert find_lines(np.full(shape, level, np.uint8)).lines == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 90), (8, 8), (40, 7), (64, 400), (400, 500)])
@pytest.mark.parametrize("seed", range(3))
def test_noise_is_borne(shape: tuple[int, int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    blots = cv2.GaussianBlur(rng.integers(0, 256, shape).astype(np.uint8), (0, 0), 1 + 2 * seed)
    for page in (rng.integers(0, 256, shape), np.asarray(blots), rng.integers(0, 2, shape) * 255):
        height, width = shape
        for line in find_lines(page.astype(np.uint8)).lines:
            left, top, right, bottom = line.box
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
            assert min(line.image.shape) > 0


def test_rules_and_specks_alone_are_no_lines() -> None:
    page = np.full((460, 640), PAPER, np.uint8)
    for y in range(60, 440, 50):
        page[y : y + 2, 20:620] = 100
    assert find_lines(page).lines == []
    page, boxes = drawn(LETTER)
    for x, y in np.random.default_rng(0).integers(0, 400, (60, 2)):
        if (page[y - 6 : y + 8, x - 6 : x + 8] == PAPER).all():
            page[y : y + 2, x : x + 2] = INK
    assert_found(find_lines(page).lines, boxes, 0.6)


# --- pictures of lines ------------------------------------------------------------------------


def test_pictures_are_cut_with_a_margin_and_without_what_is_not_of_the_line() -> None:
    page, boxes = drawn(LETTER)
    clean = page.copy()
    for _, _, baseline in LETTER:
        page[baseline + 14 : baseline + 16, 30:610] = 110
    lines = find_lines(page).lines
    for line, (left, top, right, bottom) in zip(lines, boxes, strict=True):
        margin = round(MARGIN * (bottom - top))
        cut = clean[top - margin : bottom + margin, left - margin : right + margin]
        assert line.image.shape == pytest.approx(cut.shape, abs=4)
        assert line.image[:2].min() > PAPER - 30, "paper above"
        assert line.image[-2:].min() > PAPER - 30, "paper below"
        assert line.image.mean() == pytest.approx(cut.mean(), abs=4)


@pytest.mark.parametrize("light_on_dark", [False, True])
def test_strokes_that_lie_on_a_rule_stay_and_the_rule_does_not(light_on_dark: bool) -> None:
    page, _ = drawn(LETTER)
    _, _, baseline = LETTER[0]
    page[baseline - 2 : baseline, 300:350] = INK  # a stroke along the rule, as the foot of a 2
    ink = page < (PAPER + INK) // 2
    page[baseline - 2 : baseline, 30:610] = np.minimum(page, 110)[baseline - 2 : baseline, 30:610]

    first = find_lines(255 - page if light_on_dark else page).lines[0]

    left, top, right, bottom = first.box
    margin = round(MARGIN * (bottom - top))
    kept = 255 - first.image if light_on_dark else first.image
    row = baseline - 1 - (top - margin)
    columns = slice(max(0, left - margin), right + margin)
    is_ink = ink[baseline - 1, columns]
    assert is_ink.sum() > 60
    assert (kept[row][is_ink] < 120).mean() > 0.95
    far = ~cv2.dilate(is_ink.astype(np.uint8)[None], np.ones((1, 9), np.uint8))[0].astype(bool)
    assert far.sum() > 20
    assert (kept[row][far] > 200).mean() > 0.9


def test_pictures_keep_their_polarity() -> None:
    page, _ = drawn(LETTER)
    dark, light = find_lines(page).lines, find_lines(255 - page).lines
    for a, b in zip(dark, light, strict=True):
        assert np.abs(a.image.astype(int) - (255 - b.image.astype(int))).max() <= 1


def test_the_page_is_left_as_it_was() -> None:
    page, _ = drawn(LETTER)
    before = page.copy()
    page.flags.writeable = False
    find_lines(page)
    assert np.array_equal(page, before)


def test_thousands_of_components_take_seconds_not_minutes() -> None:
    rng = np.random.default_rng(0)
    page = np.full((1500, 1500), PAPER, np.uint8)
    for x, y in rng.integers(0, 1490, (12_000, 2)):
        page[y : y + 6, x : x + 6] = INK
    start = time.process_time()
    find_lines(page)
    assert time.process_time() - start < 20
