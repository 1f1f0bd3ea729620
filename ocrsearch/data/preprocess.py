"""Preparing a picture for the network: preprocessing, then scaling.

``prepare_image`` is the one way to the network's input, in training, validation and recognition.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from ocrsearch.config import ImageConfig, PreprocessConfig
from ocrsearch.data.images import scale_image, shrink_line
from ocrsearch.data.ink import ink_box, ink_is_light, ink_mask, remove_ruling, stretch_contrast
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
