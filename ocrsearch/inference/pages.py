"""Pages in any orientation, and their lines with positions.

A page is first read as it is. If that result is doubtful, a few of its longest lines are read
rotated and inverted, and the orientation with the highest confidence is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ocrsearch.data import GrayImage, write_sheet
from ocrsearch.data.pages import Box, FoundLine, Layout, find_lines

if TYPE_CHECKING:
    from ocrsearch.inference.predictor import Prediction


BOX_COLOUR = (0, 0, 220)
TEXT_COLOUR = (160, 60, 0)
"""Blue, green, red."""


@dataclass(frozen=True)
class PageLine:
    """A line that was read on a page.

    Attributes:
        text: NFC.
        confidence: probability of the text as read, 0 to 1.
        symbol_confidences: confidence of each symbol of the text, 0 to 1.
        box: bounding box of the line's ink, in pixels of the page as it was given.
        row: number of its row on the page, counted from 1; cells of a table in a row share it.
    """

    text: str
    confidence: float
    symbol_confidences: tuple[float, ...]
    box: Box
    row: int


READABLE = 0.6
"""Least mean confidence of the characters of a page that is taken as read."""

MIN_PIECES = 8
"""A page with fewer lines can have short ones all the same."""

READABLE_SHORT = 0.85
"""The same of a page whose lines are all as short as those of a page on its side."""


@dataclass(frozen=True)
class PagePrediction:
    """What was read on a page.

    Attributes:
        width: width of the page in pixels.
        height: height of the page in pixels.
        skew_degrees: by how much its text rises to the right, after the page was turned.
        lines: lines in reading order.
        rotation: degrees by which the page was turned clockwise to be read: 0, 90, 180 or 270.
        inverted: whether lines were read light on dark that are dark on light, or the reverse.
        confidence: mean of a character, 0 to 1; 0 if there are no lines.
    """

    width: int
    height: int
    skew_degrees: float
    lines: tuple[PageLine, ...]
    rotation: int = 0
    inverted: bool = False
    confidence: float = 0.0

    @property
    def is_readable(self) -> bool:
        """Whether it was read with some confidence; a page without lines is.

        A page on its side falls into pieces of a character or two, some of which can be read.
        """
        if not self.lines:
            return True
        n_characters = np.median([len(line.text) for line in self.lines])
        is_in_pieces = n_characters <= 2 and len(self.lines) >= MIN_PIECES
        return self.confidence >= (READABLE_SHORT if is_in_pieces else READABLE)

    @property
    def text(self) -> str:
        """The texts of the lines, under each other."""
        return "\n".join(line.text for line in self.lines)


def turned_back(box: Box, turn: int, size: tuple[int, int]) -> Box:
    """Return the box on a page, (W, H), that was turned clockwise by 0, 90, 180 or 270 degrees."""
    left, top, right, bottom = box
    width, height = size
    if turn == 90:
        return top, height - right, bottom, height - left
    if turn == 180:
        return width - right, height - bottom, width - left, height - top
    if turn == 270:
        return width - bottom, left, width - top, right
    return box


def draw_page(page: GrayImage, prediction: PagePrediction) -> np.ndarray:
    """Draw the boxes and texts of a page on it.

    Args:
        page: (H, W) uint8, as it was read.
        prediction: prediction for the page.

    Returns:
        (H, W, 3) uint8, blue, green, red.
    """
    drawn = cv2.cvtColor(page, cv2.COLOR_GRAY2BGR)
    font = cv2.FontFace("uni")  # has the accents of all Latin scripts, and most other scripts
    for line in prediction.lines:
        left, top, right, bottom = line.box
        cv2.rectangle(drawn, (left, top), (right, bottom), BOX_COLOUR, 2)
        size = min(48, max(12, round(0.5 * (bottom - top))))
        cv2.putText(drawn, line.text, (left, max(size, top - 3)), TEXT_COLOUR, font, size)
    return np.asarray(drawn)


class PageWriter:
    """Writes drawn pages as PNG: the first as FILE.png, further ones as FILE-2.png, FILE-3.png."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._n_written = 0

    def write(self, page: GrayImage, prediction: PagePrediction) -> None:
        """Draw a page and write it."""
        self._n_written += 1
        path = self._path
        if self._n_written > 1:
            path = path.with_stem(f"{path.stem}-{self._n_written}")
        write_sheet(draw_page(page, prediction), path)


Read = Callable[[Sequence[GrayImage]], "list[Prediction]"]
"""Reads images of lines."""

SURE = 0.92
"""Confidence from which a reading is not doubted; see ``_confidence``."""

MARGIN = 0.03
"""Another way must be read with so much more confidence."""

N_TRIED = 8
"""Lines that are read another way, the longest ones."""

TURNS = (0, 90, 180, 270)
"""Degrees by which a page is turned clockwise."""


@dataclass(frozen=True)
class _Reading:
    """The lines of a page that is turned in some way, and the texts read in them."""

    turn: int
    layout: Layout
    predictions: list[Prediction]
    inverted: bool

    @property
    def confidence(self) -> float:
        return _confidence(self.layout.lines, self.predictions)


def read_page(page: GrayImage, read: Read) -> PagePrediction:
    """Find the lines of a page and read them.

    Args:
        page: (H, W) uint8.
        read: reads images of lines.
    """
    best = _read_turned(page, 0, read)
    if best.layout.lines and best.confidence < SURE:
        turn = _best_turn(page, best, read)
        if turn:
            best = max(best, _read_turned(page, turn, read), key=lambda r: r.confidence)
    size = (page.shape[1], page.shape[0])
    lines = tuple(
        PageLine(
            p.text,
            p.confidence,
            p.symbol_confidences,
            turned_back(line.box, best.turn, size),
            line.row,
        )
        for line, p in zip(best.layout.lines, best.predictions, strict=True)
    )
    skew = best.layout.skew_degrees
    return PagePrediction(*size, skew, lines, best.turn, best.inverted, best.confidence)


def _read_turned(page: GrayImage, turn: int, read: Read) -> _Reading:
    layout = find_lines(_turned(page, turn))
    predictions = read([line.image for line in layout.lines])
    inverted = False
    for is_light in (False, True):
        ids = [i for i, line in enumerate(layout.lines) if line.is_light == is_light]
        lines, read_before = [layout.lines[i] for i in ids], [predictions[i] for i in ids]
        if ids and _prefers_inverted(lines, read_before, read):
            inverted = True
            for i, prediction in zip(ids, read([_inverse(line) for line in lines]), strict=True):
                predictions[i] = prediction
    return _Reading(turn, layout, predictions, inverted)


def _prefers_inverted(
    lines: Sequence[FoundLine], predictions: Sequence[Prediction], read: Read
) -> bool:
    """Whether lines are read better as light on dark, or dark on light, than as they are."""
    before = _confidence(lines, predictions)
    if before >= SURE:
        return False
    ids = _longest(lines)
    tried = [lines[i] for i in ids]
    before = _confidence(tried, [predictions[i] for i in ids])
    return _confidence(tried, read([_inverse(line) for line in tried])) > before + MARGIN


def _best_turn(page: GrayImage, upright: _Reading, read: Read) -> int:
    """Return the turn at which the longest lines are read with most confidence."""
    sideways = find_lines(_turned(page, 90)).lines
    confidences = {}
    for turn, lines in zip(TURNS, (upright.layout.lines, sideways) * 2, strict=True):
        tried = [lines[i] for i in _longest(lines)]
        confidences[turn] = max(
            _confidence(tried, read([_turned(image, turn // 180 * 180) for image in images]))
            for images in ([line.image for line in tried], [_inverse(line) for line in tried])
        )
    best = max(TURNS, key=lambda turn: confidences[turn])
    return best if confidences[best] > confidences[0] + MARGIN else 0


def _longest(lines: Sequence[FoundLine]) -> list[int]:
    lengths = [line.image.shape[1] / line.image.shape[0] for line in lines]
    return [int(i) for i in np.argsort(lengths, kind="stable")[::-1][:N_TRIED]]


def _confidence(lines: Sequence[FoundLine], predictions: Sequence[Prediction]) -> float:
    """Return the mean confidence of a character in lines, 0 to 1; long lines count more.

    The mean is geometric within a line. A line in which nothing is read counts 0.
    """
    lengths = [line.image.shape[1] / line.image.shape[0] for line in lines]
    values = [p.confidence ** (1 / len(p.text)) if p.text.strip() else 0.0 for p in predictions]
    return float(np.average(values, weights=lengths)) if values else 0.0


def _inverse(line: FoundLine) -> GrayImage:
    return 255 - line.image


def _turned(image: GrayImage, turn: int) -> GrayImage:
    return np.ascontiguousarray(np.rot90(image, -turn // 90))
