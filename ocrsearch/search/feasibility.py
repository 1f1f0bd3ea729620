"""What can be known of a configuration before it is trained.

CTC writes at most one symbol a frame and needs a blank between equal neighbours: a label needs
``len(label) + repeats`` frames. Too few give an infinite loss.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ocrsearch.config import FRAME_STRIDE, Config, ImageConfig
from ocrsearch.data.dataset import LabelledImages
from ocrsearch.data.images import scaled_width
from ocrsearch.errors import InfeasibleError

MAX_UNFIT_SHARE = 0.01
"""Share of the training labels that may need more frames than their pictures give."""


def frames_needed(text: str) -> int:
    """Return the least number of frames in which CTC can write a label."""
    repeats = sum(a == b for a, b in itertools.pairwise(text))
    return len(text) + repeats


def count_unfit(
    shapes: Sequence[tuple[int, int]], texts: Sequence[str], config: ImageConfig
) -> int:
    """Return how many labels do not fit the frames of their pictures, given as (H, W)."""
    return sum(
        frames_needed(text) > scaled_width(height, width, config) // FRAME_STRIDE
        for (height, width), text in zip(shapes, texts, strict=True)
    )


def check_feasible(config: Config, train: LabelledImages) -> None:
    """Refuse a configuration that cannot learn its training split.

    Raises:
        InfeasibleError: too many labels do not fit.
    """
    if config.model.architecture != "crnn":
        return
    unfit = count_unfit(train.images.shapes, train.texts, config.images)
    if unfit > MAX_UNFIT_SHARE * len(train):
        raise InfeasibleError(
            f"{unfit} of {len(train)} labels need more frames than their pictures give at "
            f"height {config.images.height} and width_scale {config.images.width_scale:g}"
        )
