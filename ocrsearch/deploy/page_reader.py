"""Pages read whichever way they lie: upright, sideways, upside down, dark on light or reverse.

A page is read as it is given. Only if that reading is doubtful, a few of its longest lines are
read turned and inverted, and the way that reads with most confidence is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ocrsearch.data.layout import FoundLine, Layout, find_lines
from ocrsearch.data.samples import GrayImage
from ocrsearch.deploy.pages import PageLine, PagePrediction, turned_back

if TYPE_CHECKING:
    from ocrsearch.deploy.predictor import Prediction

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
