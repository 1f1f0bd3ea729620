"""Prepare line images for the network and count their time steps.

``prepare_image`` is the single path to the network's input in training, validation and inference.
CTC emits at most one character per time step and needs a blank between equal neighbours, so a
label needs ``len(label) + repeats`` time steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ocrsearch.core import FRAME_STRIDE, ImageConfig, PreprocessConfig
from ocrsearch.data.charset import Charset
from ocrsearch.data.images.gray import (
    ink_box,
    ink_is_light,
    ink_mask,
    remove_ruling,
    stretch_contrast,
)
from ocrsearch.data.images.reading import MAX_WIDTH_PX, scale_image, scaled_width, shrink_line
from ocrsearch.data.samples import GrayImage, LabelledImages

CROP_MARGIN = 0.125
"""Paper kept around the ink, as a fraction of the ink height."""

MIN_CROP_HEIGHT = 1 / 3
"""Minimum height of a crop, as a fraction of the image height."""

CLAHE_CLIP_LIMIT = 3.0

STACKED = (
    "most of these images are higher than wide, so their characters may be stacked vertically, "
    "which is not supported; rotate the images or cut them into single characters"
)
"""Hint shown if labels need more time steps than images that are not wide."""


def prepare_image(image: GrayImage, config: ImageConfig) -> GrayImage:
    """Return an image as the network sees it, before ``standardize``.

    Args:
        image: (H, W) uint8, as read.
        config: Preprocessing, height and width factor.

    Returns:
        (config.height, W) uint8, with W a multiple of FRAME_STRIDE.
    """
    return scale_image(preprocess(shrink_line(image), config.preprocess), config)


def preprocess(image: GrayImage, config: PreprocessConfig) -> GrayImage:
    """Apply the configured preprocessing steps in field order.

    Args:
        image: (H, W) uint8, either polarity.
        config: Steps to apply. Without any, the image itself is returned.

    Returns:
        (H, W) uint8, of a different size if the image is cropped or gets a margin.
    """
    if config == PreprocessConfig():
        return image
    is_light = ink_is_light(image)
    image = 255 - image if is_light else image
    if config.remove_ruling:
        image = remove_ruling(image)
    if config.crop:
        image = crop_to_ink(image)
    if config.contrast != "none":
        image = CONTRASTS[config.contrast](image)
    if config.threshold > 0:
        image = threshold_ink(image, config.threshold)
    image = add_margin(image, margin_px(image.shape[0], config))
    return 255 - image if is_light and not config.normalize_polarity else image


def crop_to_ink(image: GrayImage) -> GrayImage:
    """Crop an image with dark ink to ``ink_box`` plus a border of paper.

    At least a third of the height is kept so that a single dash or full stop is not enlarged.
    """
    rows, columns = ink_box(image)
    ink_height = rows.stop - rows.start
    missing = MIN_CROP_HEIGHT * image.shape[0] - ink_height
    margin = math.ceil(max(1, CROP_MARGIN * ink_height, missing / 2))
    return image[
        max(0, rows.start - margin) : rows.stop + margin,
        max(0, columns.start - margin) : columns.stop + margin,
    ]


def equalize_locally(image: GrayImage) -> GrayImage:
    """Equalise contrast in tiles as wide as the image is high (CLAHE, K. Zuiderveld 1994)."""
    height, width = image.shape
    tiles = (max(1, round(width / max(height, 16))), 1)
    clahe = cv2.createCLAHE(clipLimit=CLAHE_CLIP_LIMIT, tileGridSize=tiles)
    return np.asarray(clahe.apply(image), dtype=np.uint8)


def threshold_ink(image: GrayImage, share: float) -> GrayImage:
    """Blend an image with dark ink with its binarised version, which has weight ``share``."""
    black_and_white = 255 - ink_mask(image)
    mixed = cv2.addWeighted(black_and_white, share, image, 1 - share, 0)
    return np.asarray(mixed, dtype=np.uint8)


def margin_px(height: int, config: PreprocessConfig) -> int:
    """Return the width of the border on each side, in pixels."""
    return round(config.margin * height)


def add_margin(image: GrayImage, margin: int) -> GrayImage:
    """Extend an image on the left and right by repeating its outermost columns."""
    return np.pad(image, ((0, 0), (margin, margin)), mode="edge") if margin else image


CONTRASTS: dict[str, Callable[[GrayImage], GrayImage]] = {
    "stretch": stretch_contrast,
    "clahe": equalize_locally,
}


def geometry_of(config: PreprocessConfig) -> PreprocessConfig:
    """Return the steps that determine the shape, except the margin, which only adds width."""
    if not config.crop:
        return PreprocessConfig()
    return PreprocessConfig(crop=True, remove_ruling=config.remove_ruling)


def preprocessed_shape(image: GrayImage, config: PreprocessConfig) -> tuple[int, int]:
    """Return the shape after ``preprocess``. Only cropping has to inspect the pixels."""
    height, width = preprocess(image, geometry_of(config)).shape
    return height, width + 2 * margin_px(height, config)


@dataclass(frozen=True)
class Line:
    """Prepared image with the ids of its label, which are empty if it has no label."""

    image: GrayImage
    target: tuple[int, ...] = ()


def scaled_lines(data: LabelledImages, charset: Charset, config: ImageConfig) -> list[Line]:
    """Prepare the images of a split and encode their labels."""
    return [
        Line(prepare_image(image, config), tuple(charset.encode(text)))
        for image, text in zip(data.images, data.texts, strict=True)
    ]


def join_at_random(
    lines: Sequence[Line], probability: float, rng: np.random.Generator
) -> list[tuple[Line, ...]]:
    """Concatenate each line, with the given probability, with another line that fits."""
    if probability <= 0.0 or len(lines) < 2:
        return [(line,) for line in lines]
    joins = rng.random(len(lines)) < probability
    offsets = rng.integers(1, len(lines), len(lines))
    groups: list[tuple[Line, ...]] = []
    for i, line in enumerate(lines):
        other = lines[(i + int(offsets[i])) % len(lines)]
        width: int = line.image.shape[1] + other.image.shape[1]
        n_frames = frames_needed(line.target + other.target)  # CTC may need a blank at the seam
        fits = width <= MAX_WIDTH_PX and n_frames <= width // FRAME_STRIDE
        groups.append((line, other) if joins[i] and fits else (line,))
    return groups


def side_by_side(group: Sequence[Line]) -> Line:
    """Concatenate lines of equal height from left to right, and their labels."""
    if len(group) == 1:
        return group[0]
    target = tuple(itertools.chain.from_iterable(line.target for line in group))
    return Line(np.hstack([line.image for line in group]), target)


def frames_needed(label: Sequence[object]) -> int:
    """Return the minimum number of time steps for CTC to emit a label, given as text or ids."""
    repeats = sum(a == b for a, b in itertools.pairwise(label))
    return len(label) + repeats


def count_unfit(
    shapes: Sequence[tuple[int, int]], needed: Sequence[int], config: ImageConfig
) -> int:
    """Return the number of images with fewer time steps than their labels need.

    Args:
        shapes: (H, W) of each image after preprocessing and before scaling.
        needed: Number of time steps that each label needs.
        config: Height and width factor.
    """
    return sum(
        n_frames > scaled_width(height, width, config) // FRAME_STRIDE
        for (height, width), n_frames in zip(shapes, needed, strict=True)
    )


def characters_may_be_stacked(shapes: Sequence[tuple[int, int]], texts: Sequence[str]) -> bool:
    """Return whether most images with two or more characters are higher than wide."""
    several = [
        height > width for (height, width), text in zip(shapes, texts, strict=True) if len(text) > 1
    ]
    return sum(several) > len(several) / 2
