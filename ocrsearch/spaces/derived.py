"""Rules that derive a search space from the traits of a dataset.

This module has all rules and all their numbers. A leaf of the tables is a fixed value or a tuple of
a distribution and its values in the first two configurations to try. The first configuration is
small and learns to read early; the second is larger. ``data/traits.py`` measures the traits, and
``suggestion.py`` checks the space against the dataset and writes it to a file.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ocrsearch.data import Traits
from ocrsearch.spaces.space import put_value
from ocrsearch.training import LATIN

Kind = Literal["characters", "short", "words", "lines"]

Leaves = dict[str, Any]
"""Fixed values and tuples by path, such as ``model.encoder.conv_depth``."""

# --- Networks, modelled on the ready spaces classifier, captcha and amounts, words, lines. -------

NETWORKS: dict[Kind, Leaves] = {
    "characters": {
        "model.architecture": "classifier",
        "model.encoder.conv_depth": ({"int": [3, 5]}, 5, 4),
        "model.encoder.conv_base": ({"choice": [16, 24]}, 24, 16),
        "model.encoder.conv_growth": ({"float": [1.2, 1.6], "step": 0.1}, 1.4, 1.6),
        "model.encoder.conv_pooling": ({"choice": ["early", "spread"]}, "spread", "early"),
        "model.encoder.conv_dropout": ({"choice": [0.0, 0.1]}, 0.1, 0.0),
        "model.encoder.linear_width": ({"choice": [64, 96, 128]}, 128, 128),
    },
    "short": {
        "model.architecture": "crnn",
        "model.encoder.conv_depth": ({"int": [4, 6]}, 5, 6),
        "model.encoder.conv_base": ({"choice": [16, 24, 32]}, 16, 32),
        "model.encoder.conv_growth": ({"float": [1.3, 1.7], "step": 0.1}, 1.5, 1.3),
        "model.encoder.conv_pooling": ({"choice": ["early", "spread"]}, "early", "spread"),
        "model.encoder.linear_width": ({"choice": [64, 96, 128]}, 64, 128),
        "model.encoder.rnn_cell": "lstm",
        "model.encoder.rnn_layers": 1,
        "model.encoder.hidden_size": ({"choice": [64, 96, 128]}, 128, 128),
    },
    "words": {
        "model.architecture": "crnn",
        "model.encoder.conv_depth": ({"int": [5, 6]}, 5, 5),
        "model.encoder.conv_base": ({"choice": [16, 24, 32]}, 24, 32),
        "model.encoder.conv_growth": ({"float": [1.3, 1.7], "step": 0.1}, 1.5, 1.5),
        "model.encoder.conv_pooling": ({"choice": ["early", "spread"]}, "early", "early"),
        "model.encoder.conv_dropout": ({"choice": [0.0, 0.1]}, 0.0, 0.0),
        "model.encoder.linear_width": ({"choice": [96, 128, 192]}, 128, 128),
        "model.encoder.rnn_cell": "lstm",
        "model.encoder.rnn_layers": ({"int": [1, 2]}, 1, 1),
        "model.encoder.hidden_size": ({"choice": [96, 128, 192, 256]}, 128, 192),
    },
    "lines": {
        "model.architecture": "crnn",
        "model.encoder.conv_depth": ({"int": [5, 7]}, 6, 6),
        "model.encoder.conv_base": ({"choice": [24, 32]}, 32, 32),
        "model.encoder.conv_growth": ({"float": [1.3, 1.6], "step": 0.1}, 1.4, 1.4),
        "model.encoder.conv_dropout": ({"choice": [0.0, 0.1]}, 0.0, 0.0),
        "model.encoder.linear_width": ({"choice": [128, 192, 256]}, 192, 256),
        "model.encoder.rnn_cell": "lstm",
        "model.encoder.rnn_layers": ({"int": [1, 2]}, 2, 1),
        "model.encoder.hidden_size": ({"choice": [160, 192, 256]}, 192, 256),
        "model.encoder.rnn_batch_norm": True,
    },
}

LARGE_CHARSET: Leaves = {
    "model.encoder.linear_width": ({"choice": [128, 192, 256]}, 192, 256),
    "model.encoder.hidden_size": ({"choice": [192, 256]}, 192, 256),
}
"""Widths for a large charset, in place of those above."""

DECODER: Leaves = {
    "model.architecture": ({"choice": ["crnn", "seq2seq"]}, "seq2seq", "crnn"),
    "model.decoder.when": {"model.architecture": "seq2seq"},
    "model.decoder.attention": ({"choice": ["additive", "location_aware"]}, "additive", None),
    "model.decoder.ctc_weight": ({"float": [0.0, 0.2], "step": 0.1}, 0.0, None),
}
"""Additions if labels do not fit the frames of their images. None stands for no value."""

START_HEIGHT = 40

START_NETWORK: Leaves = {
    "model.architecture": "crnn",
    "model.encoder.conv_depth": 6,
    "model.encoder.conv_base": 32,
    "model.encoder.conv_growth": 1.4,
    "model.encoder.conv_dropout": ({"choice": [0.0, 0.1]}, 0.0, 0.0),
    "model.encoder.linear_width": 192,
    "model.encoder.rnn_cell": "lstm",
    "model.encoder.rnn_layers": 2,
    "model.encoder.hidden_size": 192,
    "model.encoder.rnn_batch_norm": True,
}
"""Network of the model that comes with the program; its weights fit no other network."""

START_SOONER = 3
"""Factor by which trials with pretrained weights are compared earlier."""

START_IMAGES = 5000
"""Largest number of images for which pretrained weights are better than random ones."""

LINE_LENGTH = 16
"""Median label length, in characters, from which labels count as lines."""

WORD_LENGTH = 7
WORD_SYMBOLS = 40
"""Median length, or charset size, from which labels count as words instead of short codes."""

N_SYMBOLS_LARGE = 300
"""Charset size from which the last layers are wider."""

N_SYMBOLS_HARD = 30
"""Charset size above which short labels train for more steps."""

LINES_SIZE_MB = 16
"""Size limit for lines in megabytes, without the last layer."""

# --- Images. --------------------------------------------------------------------------------------

HEIGHTS: dict[Kind, tuple[int, ...]] = {
    "characters": (28, 32, 40),
    "short": (32, 40, 48),
    "words": (32, 40, 48),
    "lines": (32, 40, 48),
}
"""Input heights in pixels; at most two or three of them are searched."""

MAX_ENLARGED = 1.25
"""Largest factor by which images may be enlarged."""

FRAMES: dict[Kind, float] = {"characters": 0.0, "short": 4.0, "words": 3.2, "lines": 2.7}
"""Median number of frames per character that ``images.width_scale`` should give."""

FRAMES_SQUEEZED: dict[Kind, float] = {**FRAMES, "short": 8.0, "words": 7.0}
"""The same for a width_scale below 1: stray strokes make the measured ink too wide."""

FEW_FRAMES = 1.25
"""Factor of that number below which the next larger width_scale is searched too."""

TIGHT_FRAMES = 1.2
"""Smallest ratio of available to needed frames for the tightest labels."""

SCALES = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0)

MIXED_SHARE = 0.1
"""Fraction of images of the rarer polarity from which polarities count as mixed."""

CLEAR_SHARE = 0.9
"""Fraction of images with clear polarity from which it need not be searched."""

LOW_RANGE = 100
"""Median range of grey levels below which contrast is searched."""

EMPTY_SHARE = 0.5
"""Fraction of the width or height covered by ink below which cropping is searched."""

TIGHT_SHARE = 0.5
RULED_SHARE = 0.5
"""Fraction of such images from which a margin, or the removal of ruling lines, is searched."""

UNEVEN = 0.15
NOISY = 0.025
"""Unevenness and noise of the background from which a threshold is searched."""

# --- Training. ------------------------------------------------------------------------------------

STEPS: dict[Kind, int] = {"characters": 4000, "short": 3000, "words": 5000, "lines": 14000}
"""Steps of a full training with 1,000 images, proportional to the fourth root of their number."""

HARD_STEPS = 1.6
"""Factor on the steps for short labels with a busy background or a larger charset."""

MIN_EPOCHS, MAX_EPOCHS = 10, 240
MAX_SAMPLES = 600_000
"""Number of samples per training above which there may be fewer epochs than MIN_EPOCHS."""

FIRST_RUNG_STEPS: dict[Kind, int] = {"characters": 250, "short": 300, "words": 400, "lines": 1000}
"""Steps, at the largest batch size, before which trials are not compared."""

LAST_RUNG = 0.7
"""Fraction of the epochs after which there is no rung."""

BATCHES = ((250, 4), (3000, 8), (10_000, 16), (30_000, 32))
"""Pairs of a number of images and the smallest batch size up to that number."""

MAX_BATCH = 64

FEW_IMAGES = 300
MANY_IMAGES = 20_000

LEARNING_RATES: dict[Kind, tuple[Any, ...]] = {
    "characters": ({"float": [5.0e-4, 5.0e-3], "log": True}, 2.0e-3, 2.0e-3),
    "short": ({"float": [1.0e-3, 4.0e-3], "log": True}, 2.0e-3, 2.0e-3),
    "words": ({"float": [1.0e-3, 4.0e-3], "log": True}, 2.0e-3, 2.0e-3),
    "lines": ({"float": [6.0e-4, 2.5e-3], "log": True}, 1.0e-3, 1.0e-3),
}


@dataclass(frozen=True)
class Derived:
    """A space that was derived from traits.

    Attributes:
        content: space in the shape of a YAML file.
        reasons: detected traits and their consequences, by section of the file.
    """

    content: dict[str, object]
    reasons: dict[str, list[str]]


def derive(
    traits: Traits, min_scale: float = 0.0, *, decoder: bool = False, starts: bool = True
) -> Derived:
    """Derive a space from traits.

    Args:
        traits: traits of the training split.
        min_scale: smallest allowed ``images.width_scale``.
        decoder: whether to search seq2seq too, since the labels do not fit otherwise.
        starts: whether pretrained weights are allowed.
    """
    kind = kind_of(traits)
    decoder = decoder or (kind != "characters" and traits.stacked)
    # the model was trained on Latin letters, but its weights help for other scripts too
    few = traits.n_symbols < N_SYMBOLS_LARGE and traits.n_images <= START_IMAGES
    starts = starts and few and kind != "characters" and not decoder
    batch = next((batch for most, batch in BATCHES if traits.n_images <= most), MAX_BATCH)
    if kind == "characters":
        batch = min(MAX_BATCH, 2 * batch)
    parts = [
        ("images", _scaling(traits, kind, min_scale, starts=starts)),
        ("images", _preprocessing(traits, kind)),
        ("model", _network(traits, kind, decoder=decoder, starts=starts)),
        ("training", _training(traits, kind, batch)),
        ("training", _augmentation(traits, kind)),
    ]
    leaves: Leaves = {}
    reasons: dict[str, list[str]] = {"data": _describe(traits)}
    for section, (more, why) in parts:
        leaves |= more
        reasons.setdefault(section, []).extend(why)
    epochs = leaves["training.epochs"]
    first_rung_steps = FIRST_RUNG_STEPS[kind] // (START_SOONER if starts else 1)
    rungs = _rungs(epochs, traits.n_images / (2 * batch), first_rung_steps)
    # pretrained networks read from the first epoch on, so that their early order holds
    pruner = {"name": "asha", "rungs": rungs, **({"tested": False} if starts else {})}
    search: dict[str, object] = {"pruner": pruner}
    if kind == "lines":
        search["constraints"] = {"size_mb": LINES_SIZE_MB + round(traits.n_symbols * 512 * 4 / 1e6)}
    tuples = {path: leaf for path, leaf in leaves.items() if isinstance(leaf, tuple)}
    search["try_first"] = [
        _nested({path: leaf[i] for path, leaf in tuples.items() if leaf[i] is not None})
        for i in (1, 2)
    ]
    start = {"init": LATIN} if starts else {}
    space = _nested(leaves | {path: leaf[0] for path, leaf in tuples.items()})
    return Derived({**start, **space, "search": search}, reasons)


def kind_of(traits: Traits) -> Kind:
    """Classify the labels by length and charset."""
    if traits.length_max == 1:
        return "characters"
    if traits.length_median >= LINE_LENGTH:
        return "lines"
    many = traits.n_symbols >= WORD_SYMBOLS
    return "words" if many or traits.length_median >= WORD_LENGTH else "short"


def _describe(t: Traits) -> list[str]:
    span = f"{t.length_min} to {t.length_max} (median {t.length_median:g}) characters"
    if t.length_min == t.length_max:
        span = f"{t.length_max} character{'' if t.length_max == 1 else 's'}"
    lines = [
        f"{t.n_images:,} training images of {span}, {t.n_symbols} different "
        f"characters{' (digits)' if t.digits_only else ''}, median size {t.width:g} x {t.height:g}"
    ]
    if t.rtl_share:
        lines.append(
            f"right-to-left text in {t.rtl_share:.0%} of the labels: trained in visual order"
        )
    return lines


def _scaling(t: Traits, kind: Kind, min_scale: float, *, starts: bool) -> tuple[Leaves, list[str]]:
    most = max(HEIGHTS[kind][0], MAX_ENLARGED * t.height)
    allowed = [height for height in HEIGHTS[kind] if height <= most]
    heights: Sequence[int]
    heights = (
        [START_HEIGHT]
        if starts
        else allowed[-2:]
        if kind == "lines"
        else allowed[:2]
        if kind == "characters"
        else allowed
    )
    leaves: Leaves = {
        "images.height": _choice(heights, heights[0], heights[min(1, len(heights) - 1)])
    }
    if kind == "characters":
        return leaves, []
    frames = t.frames * heights[0]
    tight = t.frames_tight * heights[0]
    fitting = [
        scale
        for scale in SCALES
        if scale >= min_scale
        and scale * frames >= (FRAMES if scale >= 1 else FRAMES_SQUEEZED)[kind]
        and scale * tight >= TIGHT_FRAMES
    ]
    scale = fitting[0] if fitting else SCALES[-1]
    larger = SCALES[min(len(SCALES) - 1, SCALES.index(scale) + 1)]
    scales = [scale, larger] if frames * scale < FEW_FRAMES * FRAMES[kind] else [scale]
    leaves["images.width_scale"] = _choice(sorted({*scales}), scale, scale)
    reason = (
        f"at height {heights[0]} and width_scale {scale:g} a character has a median of "
        f"{frames * scale:.1f} frames"
    )
    return leaves, [reason]


def _preprocessing(t: Traits, kind: Kind) -> tuple[Leaves, list[str]]:
    leaves: Leaves = {}
    why = []
    path = "images.preprocess"
    mixed = min(t.light_share, t.dark_share) >= MIXED_SHARE
    if mixed and t.light_share + t.dark_share < CLEAR_SHARE:
        leaves[f"{path}.normalize_polarity"] = _choice([True, False], True, True)
        why.append(
            f"light ink on dark paper in {t.light_share:.0%} of the images: polarity is searched"
        )
    elif mixed or t.light_share >= CLEAR_SHARE:
        leaves[f"{path}.normalize_polarity"] = True
        why.append(
            f"light ink on dark paper in {t.light_share:.0%} of the images: "
            "all become dark on light"
        )
    if t.ruled_share >= RULED_SHARE and kind != "characters":
        leaves[f"{path}.remove_ruling"] = _choice([False, True], False, False)
        why.append(f"ruling lines in {t.ruled_share:.0%} of the images: their removal is searched")
    if min(t.ink_width, t.ink_height) < EMPTY_SHARE:
        leaves[f"{path}.crop"] = _choice([False, True], False, True)
        why.append(
            f"ink takes {t.ink_width:.0%} of the width and {t.ink_height:.0%} of the height: "
            "cropping is searched"
        )
    if t.grey_range < LOW_RANGE:
        leaves[f"{path}.contrast"] = _choice(["none", "stretch", "clahe"], "none", "clahe")
        why.append(f"{t.grey_range:.0f} of 255 grey levels: contrast is searched")
    if t.uneven >= UNEVEN or t.noise >= NOISY:
        leaves[f"{path}.threshold"] = _choice([0.0, 0.5], 0.0, 0.0)
        why.append("uneven or noisy background: a threshold is searched")
    if t.tight_share >= TIGHT_SHARE and kind != "characters":
        leaves[f"{path}.margin"] = _choice([0.0, 0.25], 0.0, 0.0)
        why.append(f"ink at the edge in {t.tight_share:.0%} of the images: a margin is searched")
    return leaves, why


def _network(t: Traits, kind: Kind, *, decoder: bool, starts: bool) -> tuple[Leaves, list[str]]:
    words = {
        "characters": "one character per image: a classifier",
        "short": "short labels: small networks",
        "words": "words or many characters: medium-sized networks",
        "lines": "lines: large networks",
    }
    leaves, why = dict(NETWORKS[kind]), [words[kind]]
    if t.n_symbols >= N_SYMBOLS_LARGE:
        leaves |= {path: leaf for path, leaf in LARGE_CHARSET.items() if path in leaves}
        why.append(f"{t.n_symbols} characters: wider last layers")
    if starts:
        leaves = dict(START_NETWORK)
        why = [
            f"up to {START_IMAGES:,} images: trials start from model {LATIN!r}, with its network"
        ]
    dropout: tuple[Any, ...] = ({"float": [0.0, 0.5], "step": 0.1}, 0.1, 0.3)
    if t.n_images <= FEW_IMAGES:
        dropout = ({"float": [0.1, 0.5], "step": 0.1}, 0.2, 0.4)
    elif t.n_images >= MANY_IMAGES or kind == "lines":
        dropout = ({"float": [0.1, 0.4], "step": 0.1}, 0.2, 0.2)
    leaves["model.encoder.dropout"] = dropout
    if decoder:
        leaves |= DECODER
        why.append("labels hardly fit the frames of their images: seq2seq is searched too")
    return leaves, why


def _training(t: Traits, kind: Kind, batch: int) -> tuple[Leaves, list[str]]:
    hard = kind == "short" and (
        t.uneven >= UNEVEN or t.noise >= NOISY or t.n_symbols > N_SYMBOLS_HARD
    )
    growth = math.pow(t.n_images / 1000, 0.25)
    wanted = STEPS[kind] * growth * (HARD_STEPS if hard else 1.0)
    fewest = max(2, min(MIN_EPOCHS, MAX_SAMPLES // t.n_images))
    epochs = min(MAX_EPOCHS, max(fewest, round(wanted * batch / t.n_images)))
    leaves = {
        "training.optimizer": ({"choice": ["adamw", "nadam"]}, "adamw", "adamw"),
        "training.learning_rate": LEARNING_RATES[kind],
        "training.batch_size": _choice([batch, 2 * batch], batch, batch),
        "training.epochs": epochs,
        "training.decay_fraction": 0.6,
        "training.decay_patience": max(8, epochs // 3),
    }
    steps = math.ceil(t.n_images / batch)
    return leaves, [f"{t.n_images:,} images: {epochs} epochs of at most {steps} batches"]


def _rungs(epochs: int, steps_per_epoch: float, first_steps: int) -> list[int]:
    """Return the epochs at which trials are compared, each three times the previous one.

    The first rung allows for the largest batch size. The last one leaves enough epochs to train.
    """
    first = max(2, math.ceil(first_steps / steps_per_epoch))
    n_rungs = max(1, math.ceil(math.log(LAST_RUNG * epochs / first, 3))) if first < epochs else 1
    return [min(first * 3**i, max(1, epochs // 2)) for i in range(n_rungs)]


def _augmentation(t: Traits, kind: Kind) -> tuple[Leaves, list[str]]:
    path = "training.augment"
    few, many = t.n_images <= FEW_IMAGES, t.n_images >= MANY_IMAGES
    strength: tuple[Any, ...] = ({"float": [0.25, 1.0], "step": 0.25}, 0.5, 0.75)
    if few or kind == "characters":
        strength = ({"float": [0.5, 1.0], "step": 0.25}, 0.75, 0.75)
    elif many:
        strength = ({"float": [0.25, 0.75], "step": 0.25}, 0.25, 0.5)
    leaves: Leaves = {f"{path}.strength": strength}
    why = []
    if kind == "characters":
        leaves[f"{path}.elastic"] = _choice([0.5, 1.0], 1.0, 0.5)
        leaves |= {f"{path}.blur": 0.0, f"{path}.noise": 0.0}
    else:
        leaves[f"{path}.elastic"] = _choice([0.0, 0.5], 0.0, 0.5)
    if few:
        why.append("few images: more dropout and distortion")
    if t.digits_only and t.length_min < t.length_max:
        leaves[f"{path}.concat"] = _choice([0.0, 0.5], 0.5, 0.5)
        why.append("digit strings of varying length: concatenation of two images is searched")
    return leaves, why


def _choice(values: Sequence[Any], first: Any, second: Any) -> Any:
    return ({"choice": list(values)}, first, second) if len(values) > 1 else values[0]


def _nested(flat: Leaves) -> dict[str, object]:
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        put_value(nested, path, value)
    return nested
