"""What was read on a page: its lines with their places, and a picture that shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ocrsearch.data.layout import Box
from ocrsearch.data.samples import GrayImage
from ocrsearch.data.sheet import write_sheet

BOX_COLOUR = (0, 0, 220)
TEXT_COLOUR = (160, 60, 0)
"""Blue, green, red."""


@dataclass(frozen=True)
class PageLine:
    """A line that was read on a page.

    Attributes:
        text: NFC.
        confidence: probability of the text as read, 0 to 1.
        symbol_confidences: of each symbol of the text, 0 to 1.
        box: of the line's ink, in pixels of the page as it was given.
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
        width: of the page, in pixels.
        height: of the page, in pixels.
        skew_degrees: by how much its text rises to the right, after the page was turned.
        lines: in reading order.
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
        prediction: what was read on it.

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
