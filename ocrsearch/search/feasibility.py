"""What can be known of a configuration before it is trained.

Too few frames for the labels give CTC an infinite loss; an attention decoder writes at most one
symbol a frame, which bounds its output; a classifier writes one symbol.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ocrsearch.config import FRAME_STRIDE, Config, PreprocessConfig
from ocrsearch.data.dataset import LabelledImages, PackedImages
from ocrsearch.data.frames import count_unfit, frames_needed
from ocrsearch.data.preprocess import geometry_of, margin_px, preprocessed_shape
from ocrsearch.errors import InfeasibleError
from ocrsearch.models.layers import list_layers
from ocrsearch.search.space import ConstraintSettings

MAX_UNFIT_SHARE = 0.01
"""Share of the training labels that may be more than a network can write."""


@dataclass(frozen=True)
class Finding:
    """How a configuration stands to one limit.

    Attributes:
        name: of the limit.
        excess: what it is over it, as a share of the limit; at most 0 if it keeps to it.
        reason: for people to read.
    """

    name: str
    excess: float
    reason: str


def examine(config: Config, train: LabelledImages, limits: ConstraintSettings) -> list[Finding]:
    """Compare a configuration with the labels and with the limits that a space sets.

    Returns:
        A finding for the frames and for each limit, whether it is kept or not.
    """
    try:
        check_feasible(config, train)
        findings = [Finding("frames", 0.0, "")]
    except InfeasibleError as error:
        findings = [Finding("frames", 1.0, str(error))]
    n_symbols = len(set().union(*train.texts)) if train.texts else 1
    # neither width nor what is written changes the number of weights
    n = sum(x.n_parameters for x in list_layers(config, n_symbols, FRAME_STRIDE, 1))
    figures = {"size_mb": n * 4 / 1e6, "parameters": float(n)}
    for name, value in figures.items():
        limit = getattr(limits, name)
        if limit is not None:
            reason = f"{name} would be {value:,.6g}, the space allows {limit:,.6g}"
            findings.append(Finding(name, value / limit - 1.0, reason))
    return findings


def check_feasible(config: Config, train: LabelledImages) -> None:
    """Refuse a configuration that cannot learn its training split.

    Raises:
        InfeasibleError: too many labels do not fit.
    """
    if config.model.architecture == "classifier":
        _check_single(train)
        return
    need = frames_needed if config.model.architecture == "crnn" else len
    preprocess = config.images.preprocess
    shapes = [
        (height, width + 2 * margin_px(height, preprocess))
        for height, width in _preprocessed_shapes(train.images, geometry_of(preprocess))
    ]
    unfit = count_unfit(shapes, [need(text) for text in train.texts], config.images)
    if unfit > MAX_UNFIT_SHARE * len(train):
        raise InfeasibleError(
            f"{unfit} of {len(train)} labels need more frames than their pictures give at "
            f"height {config.images.height} and width_scale {config.images.width_scale:g}"
        )


@lru_cache(maxsize=8)
def _preprocessed_shapes(
    images: PackedImages, config: PreprocessConfig
) -> tuple[tuple[int, int], ...]:
    """Return the shapes, kept for the next trials: a crop has to look at every picture."""
    return tuple(preprocessed_shape(image, config) for image in images)


def _check_single(train: LabelledImages) -> None:
    longer = [text for text in train.texts if len(text) != 1]
    if len(longer) > MAX_UNFIT_SHARE * len(train):
        raise InfeasibleError(
            f"{len(longer)} of {len(train)} labels have more than one symbol, as {longer[0]!r}, "
            "and a classifier reads one; search crnn or seq2seq"
        )
