"""Augmentation of line pictures: one strength from 0 to 1, searched like the rest.

Works on bytes with OpenCV, a few microseconds a picture; geometry keeps the canvas.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from ocrsearch.data.samples import GrayImage

MAX_SHEAR = 0.35
MAX_ROTATION_DEGREES = 3.0
MAX_SCALE = 0.15
MAX_SHIFT = 0.08
"""Shift as a share of the height."""


def augment(image: GrayImage, strength: float, rng: np.random.Generator) -> GrayImage:
    """Return a randomly changed copy of a picture.

    Args:
        image: (H, W) uint8.
        strength: 0 changes nothing, 1 as much as handwriting bears.
        rng: where the randomness comes from.

    Returns:
        (H, W) uint8, of the same size.
    """
    if strength <= 0.0:
        return image
    image = _affine(image, strength, rng)
    if rng.random() < 0.35 * strength:
        image = _stroke_width(image, rng)
    if rng.random() < 0.25 * strength:
        blurred = cv2.GaussianBlur(image, (3, 3), rng.uniform(0.3, 1.0))
        image = np.asarray(blurred, dtype=np.uint8)
    if rng.random() < 0.5 * strength:
        image = _noise(image, 12.0 * strength, rng)
    return image


def _affine(image: GrayImage, strength: float, rng: np.random.Generator) -> GrayImage:
    height, width = image.shape
    shear, angle, grow_x, grow_y, shift_x, shift_y = rng.uniform(-strength, strength, 6)
    radians = math.radians(angle * MAX_ROTATION_DEGREES * min(1.0, 8 * height / width))
    cos, sin = math.cos(radians), math.sin(radians)
    linear = np.array([[cos, -sin], [sin, cos]]) @ np.array([[1.0, shear * MAX_SHEAR], [0.0, 1.0]])
    linear = linear @ np.diag([1 + grow_x * MAX_SCALE, 1 + grow_y * MAX_SCALE])
    centre = np.array([width / 2, height / 2])
    shift = np.array([shift_x, shift_y]) * MAX_SHIFT * height
    matrix = np.column_stack([linear, centre + shift - linear @ centre])
    return np.asarray(
        cv2.warpAffine(image, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE),
        dtype=np.uint8,
    )


def _stroke_width(image: GrayImage, rng: np.random.Generator) -> GrayImage:
    shape = (2, 1) if rng.random() < 0.5 else (1, 2)
    change = cv2.erode if rng.random() < 0.5 else cv2.dilate
    return np.asarray(change(image, np.ones(shape, np.uint8)), dtype=np.uint8)


def _noise(image: GrayImage, deviation: float, rng: np.random.Generator) -> GrayImage:
    noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(0, deviation)
    return np.clip(image + noise, 0, 255).astype(np.uint8)
