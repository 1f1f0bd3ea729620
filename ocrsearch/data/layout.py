"""Lines of writing or print on a page: where they are, in which order, and their pictures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from ocrsearch.data.components import MIN_TEXT_HEIGHT
from ocrsearch.data.groups import Parts, bounds, count_words, group_ink
from ocrsearch.data.page import Page, upright_page
from ocrsearch.data.reading_order import reading_order
from ocrsearch.data.rules import rule_boxes
from ocrsearch.data.samples import GrayImage

MAX_ANALYSED_PIXELS = 12_000_000
"""Larger pages are analysed, and their lines cut out, at a scale at which they have so many."""

MARGIN = 0.2
"""Paper around a line's ink in its picture, as a share of the ink's height."""

MIN_INK_TO_RULE = 1.3
"""Contrast of ink against that of rules from which strokes can be told from a rule they lie on."""

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are just outside."""


@dataclass(frozen=True)
class FoundLine:
    """A line on a page.

    Attributes:
        image: the line cut out of the upright page, with a margin of paper and without ruled
            lines or ink of other lines; as dark on light, or light on dark, as there.
        box: of its ink, in pixels of the page as it was given.
        row: number of the row that it is in, counted from 1 in reading order: lines beside
            each other, such as the cells of a table, share a row.
        is_light: whether it is light on dark.
    """

    image: GrayImage
    box: Box
    row: int
    is_light: bool


@dataclass(frozen=True)
class Layout:
    """The lines of a page in reading order, and by how many degrees they rise to the right."""

    lines: list[FoundLine]
    skew_degrees: float


def find_lines(source: GrayImage) -> Layout:
    """Find the lines on a page.

    Args:
        source: (H, W) uint8, text level to within MAX_SKEW_DEGREES, dark on light or reverse.
    """
    if min(source.shape) < MIN_TEXT_HEIGHT:
        return Layout([], 0.0)
    height, width = source.shape
    scale = min(1.0, math.sqrt(MAX_ANALYSED_PIXELS / source.size))
    if scale < 1.0:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        source = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    page = upright_page(source)
    parts, groups = group_ink(page.ink)
    boxes = np.array([bounds(parts.boxes[ids]) for ids in groups]).reshape(-1, 4)
    n_words = np.array([count_words(parts.boxes[ids]) for ids in groups])
    order = reading_order(boxes, n_words, rule_boxes(page.rules))
    lines = [
        FoundLine(
            _picture(page, parts, groups[i], boxes[i]),
            _source_box(page, parts.boxes[groups[i]], scale, (width, height)),
            number,
            _is_light(page, boxes[i]),
        )
        for number, row in enumerate(order, 1)
        for i in row
    ]
    return Layout(lines, page.skew_degrees)


def _picture(page: Page, parts: Parts, ids: np.ndarray, box: np.ndarray) -> GrayImage:
    """Cut a line out; other ink in its box is painted over with paper."""
    height, width = page.ink.shape
    margin = max(2, round(MARGIN * (box[3] - box[1])))
    rows = slice(max(0, box[1] - margin), min(height, box[3] + margin))
    columns = slice(max(0, box[0] - margin), min(width, box[2] + margin))
    gray, paper, rules = (x[rows, columns] for x in (page.gray, page.paper, page.rules))
    labels = parts.labels[rows, columns]
    own = parts.own(ids)[labels]
    others = (labels > 0) & (own == 0) | (rules > 0)
    others = cv2.dilate(others.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    own |= _strokes_along(rules, own, cv2.absdiff(gray, paper))
    own = cv2.dilate(own, np.ones((3, 3), np.uint8)) > 0
    cut = np.where(others & ~own, paper, gray)
    return 255 - cut if _is_light(page, box) else cut


def _is_light(page: Page, box: np.ndarray) -> bool:
    """Whether a line is light on dark in the source."""
    left, top, right, bottom = box
    return bool(page.light[top:bottom, left:right].mean() > 0.5)


def _strokes_along(rules: np.ndarray, own: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """Return the pixels of rules in which a stroke of a line lies, which is darker than they are.

    Where ink and rules are nearly of one darkness there are none that can be told.

    Args:
        rules: (H, W) uint8 mask.
        own: (H, W) uint8 mask of the line's ink beside the rules.
        contrast: (H, W) uint8, against the paper.
    """
    if not rules.any() or not own.any():
        return np.zeros_like(own)
    of_rules = np.percentile(contrast[rules > 0], 25)  # strokes may lie on much of them
    of_ink = np.median(contrast[own > 0])
    if of_ink < MIN_INK_TO_RULE * of_rules:
        return np.zeros_like(own)
    along = (rules > 0) & (contrast > (of_rules + of_ink) / 2)
    return np.asarray(along, dtype=np.uint8)


def _source_box(page: Page, boxes: np.ndarray, scale: float, size: tuple[int, int]) -> Box:
    """Return the box around components in pixels of the page as it was given, of size (W, H)."""
    left, top, right, bottom = boxes.T
    xs, ys = np.stack([left, right, left, right]), np.stack([top, top, bottom, bottom])
    points = np.stack([xs.ravel(), ys.ravel(), np.ones(4 * len(boxes))])
    places = (page.to_source @ points) / scale
    low = np.clip(np.floor(places.min(1)), 0, size).astype(int)
    high = np.clip(np.ceil(places.max(1)), 0, size).astype(int)
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
