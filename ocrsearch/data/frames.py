"""Frames: how many a label needs, and how many a picture gives.

CTC writes at most one symbol a frame and needs a blank between equal neighbours: a label needs
``len(label) + repeats`` frames.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ocrsearch.config import FRAME_STRIDE, ImageConfig
from ocrsearch.data.images import scaled_width


def frames_needed(text: str) -> int:
    """Return the least number of frames in which CTC can write a label."""
    repeats = sum(a == b for a, b in itertools.pairwise(text))
    return len(text) + repeats


def count_unfit(
    shapes: Sequence[tuple[int, int]], needed: Sequence[int], config: ImageConfig
) -> int:
    """Return how many pictures, given as (H, W), have fewer frames than their labels need."""
    return sum(
        n_frames > scaled_width(height, width, config) // FRAME_STRIDE
        for (height, width), n_frames in zip(shapes, needed, strict=True)
    )
