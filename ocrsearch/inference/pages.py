"""Recognition of whole pages in any orientation, with the position of each line.

A page is first recognised as given. If the confidence is low, a few of the longest lines are tried
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
"""Colours as BGR."""


@dataclass(frozen=True)
class PageLine:
    """A line recognised on a page.

    Attributes:
        text: recognised text, NFC.
        confidence: probability that the whole text has no error, 0 to 1. It falls with the length
            of the line.
        symbol_confidences: confidence of each character of the text, 0 to 1.
        box: bounding box of the line's ink, in pixels of the page as given.
        row: row on the page, counted from 1; cells in the same row of a table share it.
        check: whether a person should check the text; None if the model has no threshold.
    """

    text: str
    confidence: float
    symbol_confidences: tuple[float, ...]
    box: Box
    row: int
    check: bool | None = None


READABLE = 0.6
"""Minimum mean confidence per character for a page to count as readable."""

MIN_PIECES = 8
"""Minimum number of lines for short lines to suggest a page on its side."""

READABLE_SHORT = 0.85
"""As ``READABLE``, if the median line has at most 2 characters and there are at least MIN_PIECES
lines. A page on its side looks like this."""


@dataclass(frozen=True)
class PagePrediction:
    """Recognition result for a page.

    Attributes:
        width: width of the page in pixels.
        height: height of the page in pixels.
        skew_degrees: angle by which the text rises to the right, after the rotation.
        lines: lines in reading order.
        rotation: clockwise rotation before recognition in degrees: 0, 90, 180 or 270.
        inverted: whether some lines were inverted before recognition.
        confidence: mean confidence per character, 0 to 1; 0 if there are no lines. Unlike that of a
            line, it does not depend on the length of the texts.
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
        """Whether the confidence is high enough; true for a page without lines.

        A page on its side is segmented into pieces of one or two characters, and some of these
        are recognised with high confidence. Such a page needs a higher mean confidence.
        """
        if not self.lines:
            return True
        n_characters = np.median([len(line.text) for line in self.lines])
        is_in_pieces = n_characters <= 2 and len(self.lines) >= MIN_PIECES
        return self.confidence >= (READABLE_SHORT if is_in_pieces else READABLE)

    @property
    def text(self) -> str:
        """Texts of all lines, separated by line breaks."""
        return "\n".join(line.text for line in self.lines)


def turned_back(box: Box, turn: int, size: tuple[int, int]) -> Box:
    """Map a box from a rotated page back to the page.

    Args:
        box: box on the rotated page in pixels.
        turn: clockwise rotation in degrees: 0, 90, 180 or 270.
        size: width and height of the page before the rotation.
    """
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
    """Draw the recognised boxes and texts on a page.

    Args:
        page: (H, W) uint8, as given to ``read_page``.
        prediction: prediction for the page.

    Returns:
        (H, W, 3) uint8 BGR.
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
    """Writes drawn pages as PNG files: FILE.png, FILE-2.png, FILE-3.png and so on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._n_written = 0

    def write(self, page: GrayImage, prediction: PagePrediction) -> None:
        """Draw a page and write it to the next file."""
        self._n_written += 1
        path = self._path
        if self._n_written > 1:
            path = path.with_stem(f"{path.stem}-{self._n_written}")
        write_sheet(draw_page(page, prediction), path)


Read = Callable[[Sequence[GrayImage]], "list[Prediction]"]
"""Function that recognises line images."""

SURE = 0.92
"""Confidence above which no other orientation is tried; see ``_mean_per_character``."""

MARGIN = 0.03
"""Minimum gain in confidence to prefer another orientation or polarity."""

N_TRIED = 8
"""Number of lines to try in another orientation; the longest lines are used."""

TURNS = (0, 90, 180, 270)
"""Clockwise rotations of a page in degrees."""


@dataclass(frozen=True)
class _Reading:
    """Lines of a rotated page and their predictions."""

    turn: int
    layout: Layout
    predictions: list[Prediction]
    inverted: bool

    @property
    def confidence(self) -> float:
        return _mean_per_character(self.layout.lines, self.predictions)


def read_page(page: GrayImage, read: Read) -> PagePrediction:
    """Find the lines of a page and recognise them.

    Args:
        page: (H, W) uint8.
        read: function that recognises line images.
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
            p.check,
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
            for i, prediction in zip(ids, read([255 - line.image for line in lines]), strict=True):
                predictions[i] = prediction
    return _Reading(turn, layout, predictions, inverted)


def _prefers_inverted(
    lines: Sequence[FoundLine], predictions: Sequence[Prediction], read: Read
) -> bool:
    """Return whether the lines are recognised with more confidence if they are inverted."""
    before = _mean_per_character(lines, predictions)
    if before >= SURE:
        return False
    ids = _longest(lines)
    tried = [lines[i] for i in ids]
    before = _mean_per_character(tried, [predictions[i] for i in ids])
    return _mean_per_character(tried, read([255 - line.image for line in tried])) > before + MARGIN


def _best_turn(page: GrayImage, upright: _Reading, read: Read) -> int:
    """Return the rotation at which the longest lines have the highest confidence."""
    sideways = find_lines(_turned(page, 90)).lines
    confidences = {}
    for turn, lines in zip(TURNS, (upright.layout.lines, sideways) * 2, strict=True):
        tried = [lines[i] for i in _longest(lines)]
        half_turn = turn // 180 * 180  # the sideways lines are already turned by 90 degrees
        confidences[turn] = max(
            _mean_per_character(tried, read([_turned(image, half_turn) for image in images]))
            for images in ([line.image for line in tried], [255 - line.image for line in tried])
        )
    best = max(TURNS, key=lambda turn: confidences[turn])
    return best if confidences[best] > confidences[0] + MARGIN else 0


def _longest(lines: Sequence[FoundLine]) -> list[int]:
    lengths = [line.image.shape[1] / line.image.shape[0] for line in lines]
    return [int(i) for i in np.argsort(lengths, kind="stable")[::-1][:N_TRIED]]


def _mean_per_character(lines: Sequence[FoundLine], predictions: Sequence[Prediction]) -> float:
    """Return the mean confidence per character, 0 to 1, weighted by the length of the lines.

    The confidence is that of the network. Within a line the mean is geometric. A line with an empty
    prediction counts as 0.
    """
    lengths = [line.image.shape[1] / line.image.shape[0] for line in lines]
    values = [_by_network(p) ** (1 / len(p.text)) if p.text.strip() else 0.0 for p in predictions]
    return float(np.average(values, weights=lengths)) if values else 0.0


def _by_network(prediction: Prediction) -> float:
    known = prediction.network_confidence
    return prediction.confidence if known is None else known


def _turned(image: GrayImage, turn: int) -> GrayImage:
    return np.ascontiguousarray(np.rot90(image, -turn // 90))
