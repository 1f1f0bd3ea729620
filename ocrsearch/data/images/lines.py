"""Line images: preprocessing, scaling to a height, and how many time steps they give.

Preparing a picture for the network: preprocessing, then scaling.

``prepare_image`` is the one way to the network's input, in training, validation and recognition.

Lines: what a network trains on and reads, made of the pictures of a data set.

Frames: how many a label needs, and how many a picture gives.

CTC writes at most one symbol a frame and needs a blank between equal neighbours: a label needs
``len(label) + repeats`` frames.
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
from ocrsearch.data.dataset import LabelledImages
from ocrsearch.data.images.gray import (
    ink_box,
    ink_is_light,
    ink_mask,
    remove_ruling,
    stretch_contrast,
)
from ocrsearch.data.images.reading import MAX_WIDTH_PX, scale_image, scaled_width, shrink_line
from ocrsearch.data.samples import GrayImage

CROP_MARGIN = 0.125
"""Paper that is left round the ink, as a share of the height of the ink."""

MIN_CROP_HEIGHT = 1 / 3
"""Share of the height that a crop keeps at the least."""

CLAHE_CLIP_LIMIT = 3.0


def prepare_image(image: GrayImage, config: ImageConfig) -> GrayImage:
    """Return a picture as the network sees it, but for ``standardize``.

    Args:
        image: (H, W) uint8, as read.
        config: preprocessing, height and factor on the width.

    Returns:
        (config.height, W) uint8, W a multiple of FRAME_STRIDE.
    """
    return scale_image(preprocess(shrink_line(image), config.preprocess), config)


def preprocess(image: GrayImage, config: PreprocessConfig) -> GrayImage:
    """Apply the steps that a configuration names, in the order of its fields.

    Args:
        image: (H, W) uint8, either polarity.
        config: the steps; with none of them the picture itself is returned.

    Returns:
        (H, W) uint8, of another size if the picture is cropped or has a margin.
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


def geometry_of(config: PreprocessConfig) -> PreprocessConfig:
    """Return the steps on which the shape depends, but for the margin, which adds to the width."""
    if not config.crop:
        return PreprocessConfig()
    return PreprocessConfig(crop=True, remove_ruling=config.remove_ruling)


def preprocessed_shape(image: GrayImage, config: PreprocessConfig) -> tuple[int, int]:
    """Return the shape that ``preprocess`` gives; only a crop needs to look at the pixels."""
    height, width = preprocess(image, geometry_of(config)).shape
    return height, width + 2 * margin_px(height, config)


def crop_to_ink(image: GrayImage) -> GrayImage:
    """Cut a picture of dark ink to what ``ink_box`` finds and some paper round it.

    A third of the height stays at the least, so that a dash or a full stop alone is not blown up.
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
    """Equalise contrast in tiles as wide as the picture is high (CLAHE, K. Zuiderveld 1994)."""
    height, width = image.shape
    tiles = (max(1, round(width / max(height, 16))), 1)
    clahe = cv2.createCLAHE(clipLimit=CLAHE_CLIP_LIMIT, tileGridSize=tiles)
    return np.asarray(clahe.apply(image), dtype=np.uint8)


def threshold_ink(image: GrayImage, share: float) -> GrayImage:
    """Mix a picture of dark ink with its black and white version, whose share is given."""
    black_and_white = 255 - ink_mask(image)
    mixed = cv2.addWeighted(black_and_white, share, image, 1 - share, 0)
    return np.asarray(mixed, dtype=np.uint8)


def margin_px(height: int, config: PreprocessConfig) -> int:
    """Return the width of the border on either side of a picture of a height, in pixels."""
    return round(config.margin * height)


def add_margin(image: GrayImage, margin: int) -> GrayImage:
    """Repeat the outermost columns of a picture to the left and right."""
    return np.pad(image, ((0, 0), (margin, margin)), mode="edge") if margin else image


CONTRASTS: dict[str, Callable[[GrayImage], GrayImage]] = {
    "stretch": stretch_contrast,
    "clahe": equalize_locally,
}


@dataclass(frozen=True)
class Line:
    """A prepared picture with the ids of its label, which are empty where none is known."""

    image: GrayImage
    target: tuple[int, ...] = ()


def scaled_lines(data: LabelledImages, charset: Charset, config: ImageConfig) -> list[Line]:
    """Prepare the pictures of a split and encode its labels."""
    return [
        Line(prepare_image(image, config), tuple(charset.encode(text)))
        for image, text in zip(data.images, data.texts, strict=True)
    ]


def join_at_random(
    lines: Sequence[Line], probability: float, rng: np.random.Generator
) -> list[tuple[Line, ...]]:
    """Return each line alone or, with the given probability, with another that fits beside it."""
    if probability <= 0.0 or len(lines) < 2:
        return [(line,) for line in lines]
    joins = rng.random(len(lines)) < probability
    offsets = rng.integers(1, len(lines), len(lines))
    groups: list[tuple[Line, ...]] = []
    for i, line in enumerate(lines):
        other = lines[(i + int(offsets[i])) % len(lines)]
        groups.append((line, other) if joins[i] and _fits(line, other) else (line,))
    return groups


def side_by_side(group: Sequence[Line]) -> Line:
    """Put lines of one height to the right of each other, and their labels behind each other."""
    if len(group) == 1:
        return group[0]
    target = tuple(itertools.chain.from_iterable(line.target for line in group))
    return Line(np.hstack([line.image for line in group]), target)


def _fits(line: Line, other: Line) -> bool:
    """Whether two lines are narrow enough, and CTC can write their labels with no gap between."""
    width: int = line.image.shape[1] + other.image.shape[1]
    n_frames = frames_needed(line.target + other.target)
    return width <= MAX_WIDTH_PX and n_frames <= width // FRAME_STRIDE


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
