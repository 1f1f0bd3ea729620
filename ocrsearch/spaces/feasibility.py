"""Checks of a configuration before it is trained: its size and cost, and the length of the labels.

With fewer frames than a label needs, the CTC loss is infinite. An attention decoder writes at most
one character per frame, a classifier writes one character. ``unfit_in_space`` checks that at least
one configuration of a space can read the labels.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache

from ocrsearch.core import FRAME_STRIDE, Config, InfeasibleError, PreprocessConfig
from ocrsearch.data import MAX_INVALID, BadSample, LabelledImages, PackedImages
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
from ocrsearch.models import (
    check_size,
    count_multiply_adds,
    int8_size_mb,
    list_layers,
    training_memory_mb,
)
from ocrsearch.spaces.settings import ConstraintSettings
from ocrsearch.spaces.space import Space

FRAMES = "frames"
"""Name of the finding about the labels."""

UNITS = {
    "size_mb": "MB of weights",
    "int8_mb": "MB as an int8 file",
    "parameters": "parameters",
    "multiply_adds": "multiply-adds",
    "memory_mb": "MB of memory",
    "latency_ms": "ms",
}
"""Unit of each limit of a space."""

N_NAMED = 3
"""Number of samples that an error message names."""


@dataclass(frozen=True)
class Finding:
    """Comparison of a configuration with one limit.

    Attributes:
        name: name of the limit.
        excess: excess over the limit, as a fraction of it; 0 or less if the limit is met.
        reason: message for users, such as "needs 5 MB of weights, limit 3".
    """

    name: str
    excess: float
    reason: str


def examine(
    config: Config,
    train: LabelledImages,
    limits: ConstraintSettings,
    max_invalid: float = MAX_INVALID,
) -> list[Finding]:
    """Compare a configuration with the labels and with the limits of a space.

    Args:
        config: configuration to check.
        train: training split.
        limits: limits of the space.
        max_invalid: largest fraction of labels that need not fit.

    Returns:
        A finding for the frames and one for each limit, met or not.
    """
    try:
        check_feasible(config, train, max_invalid)
        findings = [Finding(FRAMES, 0.0, "")]
    except InfeasibleError as error:
        findings = [Finding(FRAMES, 1.0, str(error))]
    for name, value in network_figures(config, train).items():
        limit = getattr(limits, name)
        if limit is not None:
            findings.append(Finding(name, value / limit - 1.0, over_limit(name, value, limit)))
    return findings


def over_limit(name: str, value: float, limit: float) -> str:
    """Return the message for a value over its limit."""
    return f"needs {value:,.6g} {UNITS[name]}, limit {limit:,.6g}"


def network_figures(config: Config, train: LabelledImages) -> dict[str, float]:
    """Return the size and cost of a network without building it.

    Returns:
        ``size_mb`` of the weights with 4 bytes each, ``int8_mb`` of an exported file with weights
        of 8 bits, number of ``parameters``, ``multiply_adds`` for an image and a label of median
        length, and an estimate of ``memory_mb`` for training with batches of the widest images. If
        images are concatenated, these are pairs of them.
    """
    widths = sorted(scaled_widths(config, train.images)) or [FRAME_STRIDE]
    n_symbols = len(set().union(*train.texts)) if train.texts else 1
    lengths = sorted(len(text) for text in train.texts) or [1]
    n_joined = 2 if config.training.augment.concat > 0 else 1
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
        "int8_mb": int8_size_mb(layers),
        "parameters": float(n_parameters),
        "multiply_adds": float(count_multiply_adds(layers)),
        "memory_mb": training_memory_mb(widest, config.training.batch_size),
    }


def scaled_widths(config: Config, images: PackedImages) -> list[int]:
    """Return the width in pixels of each image at the input of the network."""
    preprocess = config.images.preprocess
    return [
        scaled_width(height, width + 2 * margin_px(height, preprocess), config.images)
        for height, width in _preprocessed_shapes(images, geometry_of(preprocess))
    ]


def check_feasible(
    config: Config, train: LabelledImages, max_invalid: float = MAX_INVALID
) -> list[BadSample]:
    """Refuse a configuration that cannot learn its training split.

    Args:
        config: configuration to check.
        train: training split.
        max_invalid: largest fraction of labels that need not fit. A single label is always allowed
            not to fit, unless the fraction is 0.

    Returns:
        Samples that do not fit, from which nothing is learnt.

    Raises:
        InfeasibleError: too many labels do not fit, or the network is too large.
    """
    check_size(config, len(set().union(*train.texts)))
    unfit = find_unfit(config, train)
    allowed = max(1.0, max_invalid * len(train)) if max_invalid else 0.0
    if not unfit or len(unfit) <= min(allowed, len(train) - 1):
        return unfit

    examples = "; ".join(f"{bad.name}: {bad.reason}" for bad in unfit[:N_NAMED])
    if len(unfit) > N_NAMED:
        examples += f"; and {len(unfit) - N_NAMED} more"
    counts = f"{len(unfit)} of {len(train)} labels"
    if config.model.reads_one:
        raise InfeasibleError(
            f"{counts} have more than one character, and a {config.model.architecture} reads one "
            f"({examples}); search crnn or seq2seq"
        )
    images = config.images
    advice = "allow a larger images.height or images.width_scale, or more unfit samples"
    if characters_may_be_stacked(train.images.shapes, train.texts):
        advice = STACKED
    raise InfeasibleError(
        f"{counts} need more frames than their images give at height {images.height} and "
        f"width_scale {images.width_scale:g} ({examples}); {advice}"
    )


def find_unfit(config: Config, train: LabelledImages) -> list[BadSample]:
    """Return the samples whose labels the network cannot output, each with the reason."""
    if config.model.reads_one:
        reads = f"a {config.model.architecture} reads one"
        return [
            BadSample(name, f"{text!r} has {len(text)} characters, {reads}")
            for name, text in zip(train.names, train.texts, strict=True)
            if len(text) != 1
        ]
    need = frames_needed if config.model.separates_repeats else len
    widths = scaled_widths(config, train.images)
    return [
        BadSample(name, f"{text!r} needs {need(text)} frames, its image gives {n_frames}")
        for name, text, width in zip(train.names, train.texts, widths, strict=True)
        if need(text) > (n_frames := width // FRAME_STRIDE)
    ]


@lru_cache(maxsize=8)
def _preprocessed_shapes(
    images: PackedImages, config: PreprocessConfig
) -> tuple[tuple[int, int], ...]:
    """Return the shapes of all images; cached, since cropping has to read every image."""
    return tuple(preprocessed_shape(image, config) for image in images)


MAX_COMPARED = 64
"""Largest number of configurations that are compared."""


def unfit_in_space(space: Space, train: LabelledImages, max_invalid: float) -> list[BadSample]:
    """Return the training samples that do not fit any configuration of a space.

    Args:
        space: search space.
        train: training split.
        max_invalid: largest fraction of labels that need not fit, see ``check_feasible``.

    Raises:
        InfeasibleError: too many labels do not fit, whatever the configuration.
    """
    # the bounds of the parameters that affect the number of frames, the largest values first
    decide = [
        p
        for p in space.parameters
        if p.path.startswith("images.") or p.path == "model.architecture"
    ]
    ends = [
        sorted(p.distribution.examples(), key=lambda v: v if isinstance(v, int | float) else 0)
        for p in decide
    ]
    points = itertools.product(*(reversed(e) for e in ends))
    roomiest, fewest = None, len(train) + 1
    for point in itertools.islice(points, MAX_COMPARED):
        wanted = dict(zip((p.path for p in decide), point, strict=True))
        config = space.resolve(space.complete(wanted))
        n_unfit = len(find_unfit(config, train))
        if n_unfit < fewest:
            roomiest, fewest = config, n_unfit
        if not n_unfit:
            return []
    assert roomiest is not None, "every space has a configuration"
    try:
        return check_feasible(roomiest, train, max_invalid)
    except InfeasibleError as error:
        raise InfeasibleError(
            f"no configuration of this space can read these labels: {error}"
        ) from None
