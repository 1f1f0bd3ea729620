"""What is known about a configuration before it is trained: size, cost, labels that fit.

What can be known of a configuration before it is trained.

Too few frames for the labels give CTC an infinite loss; an attention decoder writes at most one
symbol a frame, which bounds its output; a classifier writes one symbol.

Whether any configuration of a space can read the labels, known before the search begins.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ocrsearch.core import FRAME_STRIDE, Config, InfeasibleError, PreprocessConfig
from ocrsearch.data import MAX_BAD, BadSample, LabelledImages, PackedImages
from ocrsearch.data.images import (
    MAX_WIDTH_PX,
    STACKED,
    characters_may_be_stacked,
    frames_needed,
    geometry_of,
    margin_px,
    preprocessed_shape,
    scaled_width,
)
from ocrsearch.models import check_size, count_multiply_adds, list_layers, training_memory_mb
from ocrsearch.spaces.settings import ConstraintSettings
from ocrsearch.spaces.space import Space

FRAMES = "frames"
"""Name of the finding on the labels."""

UNITS = {
    "size_mb": "MB of weights",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "memory_mb": "MB of memory",
    "latency_ms": "ms",
}
"""What the limits of a space are counted in."""

N_NAMED = 3
"""So many of the samples that do not fit are named."""


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


def examine(
    config: Config, train: LabelledImages, limits: ConstraintSettings, max_bad: float = MAX_BAD
) -> list[Finding]:
    """Compare a configuration with the labels and with the limits that a space sets.

    Args:
        config: what would be trained.
        train: the training split.
        limits: of the space.
        max_bad: share of the labels that need not fit.

    Returns:
        A finding for the frames and for each limit, whether it is kept or not.
    """
    try:
        check_feasible(config, train, max_bad)
        findings = [Finding(FRAMES, 0.0, "")]
    except InfeasibleError as error:
        findings = [Finding(FRAMES, 1.0, str(error))]
    for name, value in network_figures(config, train).items():
        limit = getattr(limits, name)
        if limit is not None:
            findings.append(Finding(name, value / limit - 1.0, over_limit(name, value, limit)))
    return findings


def over_limit(name: str, value: float, limit: float) -> str:
    """Return what a network needs of something, and what is allowed."""
    return f"needs {value:,.6g} {UNITS[name]}, limit {limit:,.6g}"


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


def check_feasible(
    config: Config, train: LabelledImages, max_bad: float = MAX_BAD
) -> list[BadSample]:
    """Refuse a configuration that cannot learn its training split.

    Args:
        config: what would be trained.
        train: the training split.
        max_bad: share of the labels that need not fit. One label need never fit, unless it is 0.

    Returns:
        The samples that do not fit; nothing is learnt from them.

    Raises:
        InfeasibleError: too many labels do not fit, or the network is too large.
    """
    check_size(config, len(set().union(*train.texts)))
    unfit = find_unfit(config, train)
    allowed = max(1.0, max_bad * len(train)) if max_bad else 0.0
    if unfit and len(unfit) > min(allowed, len(train) - 1):
        raise InfeasibleError(_too_many(config, train, unfit))
    return unfit


def find_unfit(config: Config, train: LabelledImages) -> list[BadSample]:
    """Return the samples whose labels a network cannot write, each with the reason."""
    if config.model.architecture == "classifier":
        return [
            BadSample(name, f"{text!r} has {len(text)} characters, a classifier reads one")
            for name, text in zip(train.names, train.texts, strict=True)
            if len(text) != 1
        ]
    need = frames_needed if config.model.architecture == "crnn" else len
    widths = scaled_widths(config, train.images)
    return [
        BadSample(name, f"{text!r} needs {need(text)} frames, its image gives {n_frames}")
        for name, text, width in zip(train.names, train.texts, widths, strict=True)
        if need(text) > (n_frames := width // FRAME_STRIDE)
    ]


def _too_many(config: Config, train: LabelledImages, unfit: list[BadSample]) -> str:
    first = "; ".join(f"{bad.name}: {bad.reason}" for bad in unfit[:N_NAMED])
    more = f"; and {len(unfit) - N_NAMED} more" if len(unfit) > N_NAMED else ""
    counts = f"{len(unfit)} of {len(train)} labels"
    if config.model.architecture == "classifier":
        return (
            f"{counts} have more than one character, and a classifier reads one ({first}{more}); "
            "search crnn or seq2seq"
        )
    images = config.images
    advice = "allow a larger images.height or images.width_scale, or more unfit samples"
    if characters_may_be_stacked(train.images.shapes, train.texts):
        advice = STACKED
    return (
        f"{counts} need more frames than their images give at height {images.height} and "
        f"width_scale {images.width_scale:g} ({first}{more}); {advice}"
    )


@lru_cache(maxsize=8)
def _preprocessed_shapes(
    images: PackedImages, config: PreprocessConfig
) -> tuple[tuple[int, int], ...]:
    """Return the shapes, kept for the next trials: a crop has to look at every picture."""
    return tuple(preprocessed_shape(image, config) for image in images)


MAX_COMPARED = 64
"""So many configurations are compared at the most."""


def unfit_in_space(space: Space, train: LabelledImages, max_bad: float) -> list[BadSample]:
    """Return the training samples that do not fit the configuration that has most room.

    Args:
        space: what will be searched.
        train: the training split.
        max_bad: share of the labels that need not fit, see ``check_feasible``.

    Raises:
        InfeasibleError: no configuration has room for enough labels.
    """
    roomiest, fewest = None, len(train) + 1
    for config in _extremes(space):
        n_unfit = len(find_unfit(config, train))
        if n_unfit < fewest:
            roomiest, fewest = config, n_unfit
        if not n_unfit:
            return []
    assert roomiest is not None, "each space has a configuration"
    try:
        return check_feasible(roomiest, train, max_bad)
    except InfeasibleError as error:
        raise InfeasibleError(
            f"no configuration of this space can read these labels: {error}"
        ) from None


def _extremes(space: Space) -> Iterator[Config]:
    """Yield configurations with the ends of all that frames depend on, the largest first."""
    decide = [
        p
        for p in space.parameters
        if p.path.startswith("images.") or p.path == "model.architecture"
    ]
    ends = [
        sorted(p.distribution.examples(), key=lambda v: v if isinstance(v, int | float) else 0)
        for p in decide
    ]
    values = itertools.product(*(reversed(e) for e in ends))
    for point in itertools.islice(values, MAX_COMPARED):
        wanted = dict(zip((p.path for p in decide), point, strict=True))
        yield space.resolve(space.complete(wanted))
