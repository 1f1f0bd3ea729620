"""Random augmentation of line images, with a searchable strength from 0 to 1 for each kind.

Works on bytes with OpenCV in a few microseconds per image (``scripts/bench_augment.py``). All
geometric changes are a single warp that keeps the canvas size. Concatenation of lines changes
labels and is therefore left to ``batches``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import cv2
import numpy as np

from ocrsearch.core import AugmentConfig
from ocrsearch.data.samples import GrayImage

MAX_SHEAR = 0.35
MAX_ROTATION_DEGREES = 3.0
MAX_SCALE = 0.15
MAX_OVERFLOW = 0.15
"""Maximum overflow at either end of an enlarged line, as a fraction of the height. Long lines
would otherwise lose whole characters, so they shrink normally but hardly grow."""

MAX_TRANSLATION = 0.08
"""Maximum translation, as a fraction of the height."""

MAX_ELASTIC = 0.06
"""Maximum displacement of elastic grid points, as a fraction of the height."""

ELASTIC_ROWS = 4
"""Number of elastic grid points from top to bottom, with the same spacing horizontally."""

MAX_NOISE = 12.0
"""Maximum standard deviation of the noise, in grey levels."""

MAX_GRADIENT = 60.0
"""Maximum brightness change at either end of the image, in grey levels."""

MAX_MASKED = 0.3
"""Maximum fraction of the width that is masked."""

MAX_SPAN = 0.5
"""Maximum width of a masked span, as a fraction of the height: about one character."""

MAX_LOG_GAMMA = 0.5
MAX_CONTRAST = 0.3
MAX_BLOB_RADIUS = 0.15
"""Maximum radius of a blob, as a fraction of the height."""

NORMAL_QUANTILES = np.array([NormalDist().inv_cdf((i + 0.5) / 256) for i in range(256)])
"""Normal quantile per byte. Looking up random bytes is four times as fast as normal noise."""

Change = Callable[[GrayImage, float, np.random.Generator], GrayImage]


def augment(image: GrayImage, config: AugmentConfig, rng: np.random.Generator) -> GrayImage:
    """Return a randomly augmented image.

    Args:
        image: (H, W) uint8.
        config: Strengths from 0 (no change) to 1 (the most that handwriting tolerates).
        rng: Source of randomness.

    Returns:
        (H, W) uint8 of the same size. If ``strength`` is 0, the image itself.
    """
    return augmented_views(image, config, rng, 1)[0]


def augmented_views(
    image: GrayImage, config: AugmentConfig, rng: np.random.Generator, n_views: int
) -> list[GrayImage]:
    """Return augmented images with one warp in common, so that characters are at the same place.

    Args:
        image: (H, W) uint8.
        config: Strengths, as for ``augment``.
        rng: Source of randomness.
        n_views: Number of images.
    """
    if config.strength <= 0.0:
        return [image] * n_views
    warped = _warp(image, config, rng)
    return [_changed(warped, config, rng) for _ in range(n_views)]


def _changed(image: GrayImage, config: AugmentConfig, rng: np.random.Generator) -> GrayImage:
    for kind, change in CHANGES.items():
        strength = config.strength * getattr(config, kind)
        if strength > 0.0:
            image = change(image, strength, rng)
    return image


def _warp(image: GrayImage, config: AugmentConfig, rng: np.random.Generator) -> GrayImage:
    """Shear, scale, rotate, translate and distort with a single interpolation."""
    strengths = (config.shear, config.rotation, *[config.scale] * 2, *[config.translate] * 2)
    elastic = config.strength * config.elastic
    if not any(strengths) and elastic <= 0.0:
        return image
    height, width = image.shape
    drawn = rng.uniform(-config.strength, config.strength, 6).tolist()
    shear, angle, grow_x, grow_y, shift_x, shift_y = (
        strength * value for strength, value in zip(strengths, drawn, strict=True)
    )
    radians = math.radians(angle * MAX_ROTATION_DEGREES * min(1.0, 8 * height / width))
    cos, sin, slant = math.cos(radians), math.sin(radians), shear * MAX_SHEAR
    scale_x = 1 + min(grow_x * MAX_SCALE, 2 * MAX_OVERFLOW * height / width)
    scale_y = 1 + grow_y * MAX_SCALE
    a, b = cos * scale_x, (cos * slant - sin) * scale_y  # rotation @ shear @ scale
    c, d = sin * scale_x, (sin * slant + cos) * scale_y
    middle_x, middle_y = width / 2, height / 2  # the centre is moved, all else turns about it
    x = middle_x + shift_x * MAX_TRANSLATION * height - a * middle_x - b * middle_y
    y = middle_y + shift_y * MAX_TRANSLATION * height - c * middle_x - d * middle_y
    matrix = np.array([[a, b, x], [c, d, y]])
    border = cv2.BORDER_REPLICATE
    if elastic <= 0.0:
        warped = cv2.warpAffine(image, matrix, (width, height), borderMode=border)
    else:
        from_x, from_y = _elastic_sources(image.shape, matrix, elastic, rng)
        warped = cv2.remap(image, from_x, from_y, cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(warped, dtype=np.uint8)


def _elastic_sources(
    shape: tuple[int, ...], matrix: np.ndarray, strength: float, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return the source coordinates x and y of each pixel, (H, W) float32 each.

    Displacements are drawn on a coarse grid with cubic interpolation (after P. Simard et al.:
    Best practices for convolutional neural networks, 2003, which smooths with a Gaussian).
    """
    height, width = shape
    n_columns = max(ELASTIC_ROWS, round(ELASTIC_ROWS * width / height))
    grid = rng.random((ELASTIC_ROWS, n_columns, 2), dtype=np.float32)
    grid = (2 * grid - 1) * np.float32(strength * MAX_ELASTIC * height)
    both = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    x = np.arange(width, dtype=np.float32)
    y = np.arange(height, dtype=np.float32)[:, None]
    inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
    sources = []
    for (a, b, c), displacement in zip(inverse, cv2.split(both), strict=True):
        source = np.asarray(displacement, dtype=np.float32)
        source += a * x + c
        source += b * y
        sources.append(source)
    return sources


def _stroke_width(image: GrayImage, strength: float, rng: np.random.Generator) -> GrayImage:
    if rng.random() >= 0.35 * strength:
        return image
    shape = (2, 1) if rng.random() < 0.5 else (1, 2)
    change = cv2.erode if rng.random() < 0.5 else cv2.dilate
    return np.asarray(change(image, np.ones(shape, np.uint8)), dtype=np.uint8)


def _blobs(image: GrayImage, strength: float, rng: np.random.Generator) -> GrayImage:
    """Draw one to three filled ellipses in the colour of the ink or the paper."""
    if rng.random() >= 0.5 * strength:
        return image
    height, width = image.shape
    spotted = image.copy()
    for _ in range(rng.integers(1, 4)):
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = 1 + strength * MAX_BLOB_RADIUS * height * rng.random(2)
        gray = int(image.min() if rng.random() < 0.5 else image.max())
        cv2.ellipse(spotted, centre, (int(axes[0]), int(axes[1])), 0, 0, 360, gray, cv2.FILLED)
    return spotted


def _brightness(image: GrayImage, strength: float, rng: np.random.Generator) -> GrayImage:
    """Change contrast about the middle grey and gamma, and add a horizontal gradient."""
    if rng.random() >= 0.5:
        return image
    log_gamma, contrast, left, right = (rng.uniform(-strength, strength, 4)).tolist()
    levels = np.linspace(0, 1, 256, dtype=np.float32) ** math.exp(MAX_LOG_GAMMA * log_gamma)
    levels = 127.5 + (255 * levels - 127.5) * (1 + MAX_CONTRAST * contrast)
    changed = np.asarray(cv2.LUT(image, levels), dtype=np.float32)
    changed += MAX_GRADIENT * np.linspace(left, right, image.shape[1], dtype=np.float32)
    return np.asarray(np.clip(changed, 0, 255, out=changed), dtype=np.uint8)


def _blur(image: GrayImage, strength: float, rng: np.random.Generator) -> GrayImage:
    if rng.random() >= 0.25 * strength:
        return image
    return np.asarray(cv2.GaussianBlur(image, (3, 3), rng.uniform(0.3, 1.0)), dtype=np.uint8)


def _noise(image: GrayImage, strength: float, rng: np.random.Generator) -> GrayImage:
    if rng.random() >= 0.5 * strength:
        return image
    deviation = rng.uniform(0, MAX_NOISE * strength)
    levels = np.rint(deviation * NORMAL_QUANTILES).astype(np.int8)
    bytes_ = np.frombuffer(rng.bytes(image.size), dtype=np.uint8).reshape(image.shape)
    return np.asarray(cv2.add(image, cv2.LUT(bytes_, levels), dtype=cv2.CV_8U), dtype=np.uint8)


def _mask(image: GrayImage, strength: float, rng: np.random.Generator) -> GrayImage:
    """Cover spans of columns with a grey level between ink and paper (SpecAugment's time masks).

    Source: D. S. Park et al., 2019, arXiv:1904.08779.
    """
    height, width = image.shape
    masked = image.copy()
    left = rng.uniform(0, strength * MAX_MASKED) * width
    while left >= 1:
        span = min(left, rng.uniform(0, MAX_SPAN) * height)
        start = rng.uniform(0, width - span)
        low, high = np.sort(image[rng.integers(height, size=2), rng.integers(width, size=2)])
        masked[:, int(start) : math.ceil(start + span)] = rng.integers(low, high, endpoint=True)
        left -= max(1.0, span)
    return masked


CHANGES: dict[str, Change] = {
    "stroke_width": _stroke_width,
    "blobs": _blobs,
    "brightness": _brightness,
    "blur": _blur,
    "noise": _noise,
    "mask": _mask,
}
"""Changes after the warp, in order. Each key is a field of ``AugmentConfig``."""
