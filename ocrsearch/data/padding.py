"""Batches of images of similar width for recognition: their sizes and their pixels, as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ocrsearch.data.samples import GrayImage

BUCKET_PX = 16
"""Multiple in pixels to which batches of unequal widths are padded, to limit their shapes."""

MAX_BATCH_SIZE = 64
"""Number of lines that are read at once, in validation as in recognition."""

MAX_COLUMNS = 16_384
"""Maximum number of pixel columns in an evaluation batch, to limit memory for long lines."""


def width_sorted_batches(
    widths: Sequence[int], max_batch_size: int, max_columns: int = MAX_COLUMNS
) -> list[list[int]]:
    """Divide indices into batches of similar width, for evaluation.

    Args:
        widths: Image widths in pixels.
        max_batch_size: Maximum images per batch.
        max_columns: Maximum pixel columns per batch.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(widths)), key=lambda i: widths[i]):
        fits = batches and len(batches[-1]) < max_batch_size
        if fits and widths[i] * (len(batches[-1]) + 1) <= max_columns:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def padded_width(widths: Sequence[int]) -> int:
    """Return the width to which the images of a batch are padded, in pixels."""
    width = max(widths)
    if min(widths) == width:  # images of equal width need no padding, which costs time
        return width
    return -(-width // BUCKET_PX) * BUCKET_PX


def standardize(image: GrayImage) -> np.ndarray:
    """Return an image as float32 with mean 0 and deviation 1. Blank images become 0."""
    mean, deviation = image.mean(dtype=np.float64), image.std(dtype=np.float64)
    return (image.astype(np.float32) - np.float32(mean)) / np.float32(max(deviation, 1.0))
