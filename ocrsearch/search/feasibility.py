"""What can be known of a configuration before it is trained.

CTC writes at most one symbol a frame and needs a blank between equal neighbours: a label needs
``len(label) + repeats`` frames. Too few give an infinite loss. An attention decoder writes at
most one symbol a frame, which bounds its output.
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
    shapes: Sequence[tuple[int, int]], needed: Sequence[int], config: ImageConfig
) -> int:
    """Return how many pictures, given as (H, W), have fewer frames than their labels need."""
    return sum(
        n_frames > scaled_width(height, width, config) // FRAME_STRIDE
        for (height, width), n_frames in zip(shapes, needed, strict=True)
    )


def check_feasible(config: Config, train: LabelledImages) -> None:
    """Refuse a configuration that cannot learn its training split.

    Raises:
        InfeasibleError: too many labels do not fit.
    """
    need = frames_needed if config.model.architecture == "crnn" else len
    unfit = count_unfit(train.images.shapes, [need(text) for text in train.texts], config.images)
    if unfit > MAX_UNFIT_SHARE * len(train):
        raise InfeasibleError(
            f"{unfit} of {len(train)} labels need more frames than their pictures give at "
            f"height {config.images.height} and width_scale {config.images.width_scale:g}"
        )
