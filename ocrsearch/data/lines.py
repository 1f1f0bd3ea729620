"""Lines: what a network trains on and reads, made of the pictures of a data set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ocrsearch.config import FRAME_STRIDE, ImageConfig
from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import LabelledImages
from ocrsearch.data.frames import frames_needed
from ocrsearch.data.images import MAX_WIDTH_PX
from ocrsearch.data.preprocess import prepare_image
from ocrsearch.data.samples import GrayImage


@dataclass(frozen=True)
class Line:
    """A prepared picture with the ids of its label, which are empty where none is known."""

    image: GrayImage
    target: tuple[int, ...] = ()


def scaled_lines(data: LabelledImages, charset: Charset, config: ImageConfig) -> list[Line]:
    """Prepare the pictures of a split and encode its labels."""
    return [
        Line(prepare_image(image, config), tuple(charset.encode(text)))
        for image, text in zip(data.images, data.texts, strict=True)
    ]


def join_at_random(
    lines: Sequence[Line], probability: float, rng: np.random.Generator
) -> list[tuple[Line, ...]]:
    """Return each line alone or, with the given probability, with another that fits beside it."""
    if probability <= 0.0 or len(lines) < 2:
        return [(line,) for line in lines]
    joins = rng.random(len(lines)) < probability
    offsets = rng.integers(1, len(lines), len(lines))
    groups: list[tuple[Line, ...]] = []
    for i, line in enumerate(lines):
        other = lines[(i + int(offsets[i])) % len(lines)]
        groups.append((line, other) if joins[i] and _fits(line, other) else (line,))
    return groups


def side_by_side(group: Sequence[Line]) -> Line:
    """Put lines of one height to the right of each other, and their labels behind each other."""
    if len(group) == 1:
        return group[0]
    target = tuple(itertools.chain.from_iterable(line.target for line in group))
    return Line(np.hstack([line.image for line in group]), target)


def _fits(line: Line, other: Line) -> bool:
    """Whether two lines are narrow enough, and CTC can write their labels with no gap between."""
    width: int = line.image.shape[1] + other.image.shape[1]
    n_frames = frames_needed(line.target + other.target)
    return width <= MAX_WIDTH_PX and n_frames <= width // FRAME_STRIDE
