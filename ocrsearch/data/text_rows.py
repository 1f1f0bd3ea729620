"""Rows of text in pictures that should hold one line each: pages given to a reader of lines."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ocrsearch.data.images import picture_of, read_image
from ocrsearch.data.layout import find_lines
from ocrsearch.data.samples import Drawable, GrayImage, Sample
from ocrsearch.machine import n_reading_threads

MAX_LOOKED_AT = 40
"""Pictures of which the layout is looked at, evenly spread."""

MIN_WIDTH = 0.3
"""Least width of a row, as a share of the picture's."""

MIN_HEIGHT = 0.5
"""Least height of a row, as a share of the highest one's: less is an accent or a speck."""

MAX_OVERLAP = 0.25
"""Share of a row's height by which it may overlap the row above."""

MIN_SHARE = 0.1
"""Share of pictures with several rows below which there may be none: the layout errs too."""


@dataclass(frozen=True)
class SeveralRows:
    """How many pictures were looked at, and names of those that seem to hold several rows."""

    n_looked_at: int
    names: list[str]

    def describe(self) -> str:
        """Return a warning, or nothing if there are too few to be sure."""
        n = len(self.names)
        if n < max(2, MIN_SHARE * self.n_looked_at):
            return ""
        return (
            f"{n} of {self.n_looked_at} images looked at seem to hold several lines of text "
            f"({', '.join(self.names[:3])}{', ...' if n > 3 else ''}): cut them into lines, which "
            "is what a recogniser reads"
        )


def find_several_rows(samples: Sequence[Sample]) -> SeveralRows:
    """Look at some of the pictures of samples, all of which can be read."""
    ids = np.linspace(0, len(samples) - 1, min(len(samples), MAX_LOOKED_AT)).astype(int)
    some = [samples[i] for i in ids]
    with ThreadPoolExecutor(n_reading_threads()) as pool:
        counts = list(pool.map(lambda sample: count_rows(_whole(sample.image)), some))
    names = [sample.name for sample, n in zip(some, counts, strict=True) if n > 1]
    return SeveralRows(len(some), names)


def _whole(source: Path | GrayImage | Drawable) -> GrayImage:
    """Return a picture in its own size, in which the lines of a page can be told."""
    return read_image(source) if isinstance(source, Path) else picture_of(source)


def count_rows(image: GrayImage) -> int:
    """Return how many rows of text under each other a picture, (H, W) uint8, seems to hold."""
    lines = [line.box for line in find_lines(image).lines]
    rows = [box for box in lines if box[2] - box[0] >= MIN_WIDTH * image.shape[1]]
    highest = max((bottom - top for _, top, _, bottom in rows), default=0)
    rows = [box for box in rows if box[3] - box[1] >= MIN_HEIGHT * highest]
    n, end = 0, float("-inf")
    for _, top, _, bottom in sorted(rows, key=lambda box: box[1] + box[3]):
        n += top >= end - MAX_OVERLAP * (bottom - top)
        end = max(end, bottom)
    return n
