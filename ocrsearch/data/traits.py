"""Traits of a training split: statistics from which a search space is derived.

Labels and sizes are measured on all images, pixels on a subset. The rules that use them are in
``spaces/derived.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ocrsearch.core import FRAME_STRIDE
from ocrsearch.data.charset import has_rtl
from ocrsearch.data.images import (
    characters_may_be_stacked,
    frames_needed,
    gray_ends,
    has_ruling,
    ink_box,
    ink_is_light,
    ink_mask,
)
from ocrsearch.data.samples import GrayImage, LabelledImages

N_SAMPLED = 300
"""Maximum number of images whose pixels are measured, evenly spread over the split."""

CLEAR_POLARITY = 0.2
"""Minimum distance of the paper from middle grey, relative to the range, for clear polarity."""

EDGE_PX = 1
"""Distance to the left or right edge, in pixels, below which ink is tight."""


@dataclass(frozen=True)
class Traits:
    """Statistics of a training split. All shares are between 0 and 1.

    Attributes:
        n_images: Number of training images.
        n_symbols: Number of distinct characters in the labels.
        n_texts: Number of distinct labels.
        length_min: Minimum label length, in characters.
        length_median: Median label length.
        length_max: Maximum label length.
        digits_only: Whether all characters are decimal digits.
        rtl_share: Fraction of labels with right-to-left letters or digits.
        height: Median image height, in pixels.
        width: Median image width, in pixels.
        frames: Median number of time steps per character over the width of the ink, at a height
            of one pixel. It scales with the height and ``width_scale``.
        frames_tight: Second percentile of the same over the whole image width.
        stacked: Whether the characters of most labels seem to be stacked vertically.
        light_share: Fraction of images that clearly have light ink on dark paper.
        dark_share: Fraction of images that clearly have dark ink on light paper.
        grey_range: Median difference between the lightest and darkest grey, 0 to 255.
        ink_width: Median width of the ink, relative to the image.
        ink_height: Median height of the ink, relative to the image.
        tight_share: Fraction of images whose ink reaches the left or right edge.
        uneven: Median change of the paper across an image, relative to the grey range.
        noise: Median noise of the paper, relative to the grey range.
        ruled_share: Fraction of images with a ruling line.
    """

    n_images: int
    n_symbols: int
    n_texts: int
    length_min: int
    length_median: float
    length_max: int
    digits_only: bool
    rtl_share: float
    height: float
    width: float
    frames: float
    frames_tight: float
    stacked: bool
    light_share: float
    dark_share: float
    grey_range: float
    ink_width: float
    ink_height: float
    tight_share: float
    uneven: float
    noise: float
    ruled_share: float


def measure_traits(train: LabelledImages) -> Traits:
    """Measure a training split with at least one image."""
    texts, shapes = train.texts, train.images.shapes
    lengths = [len(text) for text in texts]
    symbols = set().union(*texts)
    step = max(1, len(train) // N_SAMPLED)
    sampled = range(0, len(train), step)
    measured = np.array([_measure_pixels(train.images[i]) for i in sampled])
    light, dark, grey_range, ink_width, ink_height, tight, uneven, noise, ruled = measured.T
    frames = [
        width * ink / height / FRAME_STRIDE / lengths[i]
        for i, ink in zip(sampled, ink_width, strict=True)
        for height, width in [shapes[i]]
    ]
    tight_frames = [
        width / height / FRAME_STRIDE / frames_needed(text)
        for (height, width), text in zip(shapes, texts, strict=True)
    ]
    return Traits(
        n_images=len(train),
        n_symbols=len(symbols),
        n_texts=len(set(texts)),
        length_min=min(lengths),
        length_median=float(np.median(lengths)),
        length_max=max(lengths),
        digits_only=all(symbol.isdecimal() for symbol in symbols),
        rtl_share=sum(map(has_rtl, texts)) / len(texts),
        height=float(np.median([height for height, _ in shapes])),
        width=float(np.median([width for _, width in shapes])),
        frames=float(np.median(frames)),
        frames_tight=float(np.quantile(tight_frames, 0.02)),
        stacked=max(lengths) > 1 and characters_may_be_stacked(shapes, texts),
        light_share=float(light.mean()),
        dark_share=float(dark.mean()),
        grey_range=float(np.median(grey_range)),
        ink_width=float(np.median(ink_width)),
        ink_height=float(np.median(ink_height)),
        tight_share=float(tight.mean()),
        uneven=float(np.median(uneven)),
        noise=float(np.median(noise)),
        ruled_share=float(ruled.mean()),
    )


def _measure_pixels(image: GrayImage) -> Sequence[float]:
    """Return the nine pixel statistics of an image, in the order of ``Traits``."""
    low, high, median = gray_ends(image)
    grey_range = high - low
    paper_side = (2 * median - low - high) / max(1, grey_range)
    is_light = ink_is_light(image)
    dark_ink = 255 - image if is_light else image
    rows, columns = ink_box(dark_ink)
    height, width = image.shape
    is_tight = columns.start <= EDGE_PX or columns.stop >= width - EDGE_PX
    uneven, noise = _paper(dark_ink, max(1, grey_range))
    return (
        float(paper_side < -CLEAR_POLARITY),
        float(paper_side > CLEAR_POLARITY),
        float(grey_range),
        (columns.stop - columns.start) / width,
        (rows.stop - rows.start) / height,
        float(is_tight),
        uneven,
        noise,
        float(has_ruling(dark_ink)),
    )


def _paper(image: GrayImage, grey_range: int) -> tuple[float, float]:
    """Return the unevenness and the noise of the paper in an image with dark ink."""
    ink = cv2.dilate(ink_mask(image), np.ones((3, 3), np.uint8)) > 0
    if ink.all():
        return 0.0, 0.0
    pixels = image.astype(np.float32)
    fine = np.abs(pixels - cv2.medianBlur(image, 3))
    low, high = np.quantile(pixels[~ink], (0.1, 0.9))
    return float(high - low) / grey_range, float(fine[~ink].mean()) / grey_range
