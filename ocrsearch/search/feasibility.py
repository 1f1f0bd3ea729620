"""What can be known of a configuration before it is trained.

Too few frames for the labels give CTC an infinite loss; an attention decoder writes at most one
symbol a frame, which bounds its output; a classifier writes one symbol.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ocrsearch.config import FRAME_STRIDE, Config, PreprocessConfig
from ocrsearch.data.dataset import LabelledImages, PackedImages
from ocrsearch.data.frames import frames_needed
from ocrsearch.data.images import MAX_WIDTH_PX, scaled_width
from ocrsearch.data.preprocess import geometry_of, margin_px, preprocessed_shape
from ocrsearch.errors import InfeasibleError
from ocrsearch.models.layers import count_multiply_adds, list_layers, training_memory_mb
from ocrsearch.search.settings import ConstraintSettings

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
    for name, value in network_figures(config, train).items():
        limit = getattr(limits, name)
        if limit is not None:
            reason = f"{name} would be {value:,.6g}, the space allows {limit:,.6g}"
            findings.append(Finding(name, value / limit - 1.0, reason))
    return findings


def network_figures(config: Config, train: LabelledImages) -> dict[str, float]:
    """Return what a network takes, known without building it.

    Returns:
        ``size_mb`` of its weights in 4 bytes each, ``parameters``, ``multiply_adds`` for the
        picture and the label of median length, and about the ``memory_mb`` that training takes
        with batches of the widest, or of pairs of them where pictures are joined.
    """
    widths = sorted(scaled_widths(config, train.images)) or [FRAME_STRIDE]
    n_symbols = len(set().union(*train.texts)) if train.texts else 1
    lengths = sorted(len(text) for text in train.texts) or [1]
    n_joined = 2 if config.training.augment.join > 0 else 1
    layers, widest = (
        list_layers(config, n_symbols, -(-width // FRAME_STRIDE) * FRAME_STRIDE, length)
        for width, length in (
            (widths[len(widths) // 2], lengths[len(lengths) // 2]),
            (min(n_joined * widths[-1], MAX_WIDTH_PX), n_joined * lengths[-1]),
        )
    )
    n_parameters = sum(layer.n_parameters for layer in layers)
    return {
        "size_mb": n_parameters * 4 / 1e6,
        "parameters": float(n_parameters),
        "multiply_adds": float(count_multiply_adds(layers)),
        "memory_mb": training_memory_mb(widest, config.training.batch_size),
    }


def scaled_widths(config: Config, images: PackedImages) -> list[int]:
    """Return the width in pixels that each picture has when a network reads it."""
    preprocess = config.images.preprocess
    return [
        scaled_width(height, width + 2 * margin_px(height, preprocess), config.images)
        for height, width in _preprocessed_shapes(images, geometry_of(preprocess))
    ]


def check_feasible(config: Config, train: LabelledImages) -> None:
    """Refuse a configuration that cannot learn its training split.

    Raises:
        InfeasibleError: too many labels do not fit.
    """
    if config.model.architecture == "classifier":
        _check_single(train)
        return
    need = frames_needed if config.model.architecture == "crnn" else len
    n_frames = [width // FRAME_STRIDE for width in scaled_widths(config, train.images)]
    pairs = zip(train.texts, n_frames, strict=True)
    unfit = sum(need(text) > available for text, available in pairs)
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
