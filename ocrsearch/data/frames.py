"""Frames: how many a label needs, and how many a picture gives.

CTC writes at most one symbol a frame and needs a blank between equal neighbours: a label needs
``len(label) + repeats`` frames.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ocrsearch.config import FRAME_STRIDE, ImageConfig
from ocrsearch.data.images import scaled_width

STACKED = (
    "most of these images are higher than wide, so their characters may stand under each other: "
    "that cannot be read; turn the images, or cut them into single characters"
)
"""Advice if the labels of images that are not wide need more frames."""


def frames_needed(label: Sequence[object]) -> int:
    """Return the least number of frames in which CTC can write a label, as text or as ids."""
    repeats = sum(a == b for a, b in itertools.pairwise(label))
    return len(label) + repeats


def count_unfit(
    shapes: Sequence[tuple[int, int]], needed: Sequence[int], config: ImageConfig
) -> int:
    """Return how many pictures have fewer frames than their labels need.

    Args:
        shapes: of each picture, (H, W), after preprocessing and before scaling.
        needed: frames that each label needs.
        config: the scaling.
    """
    return sum(
        n_frames > scaled_width(height, width, config) // FRAME_STRIDE
        for (height, width), n_frames in zip(shapes, needed, strict=True)
    )


def characters_may_be_stacked(shapes: Sequence[tuple[int, int]], texts: Sequence[str]) -> bool:
    """Whether most images with two characters or more are higher than wide."""
    several = [
        height > width for (height, width), text in zip(shapes, texts, strict=True) if len(text) > 1
    ]
    return sum(several) > len(several) / 2
