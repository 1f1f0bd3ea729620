"""Digit strings composed of images of single characters, and the built-in dataset.

Characters are cut out of their images once and arranged in strings. The built-in dataset uses
the 8 x 8 digits of scikit-learn (UCI optical recognition of handwritten digits). They are split
before composition, so that no digit in a test string is used in training.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from ocrsearch.core import DataError
from ocrsearch.data.samples import GrayImage, Sample, Split
from ocrsearch.data.splits import assign_splits, by_split
from ocrsearch.data.synthesis.recipe import Counts, DigitsRecipe, Ink, Paper

MIN_CONTRAST = 24
"""Minimum difference in grey levels between paper and ink. Images with less are blank."""

MIN_HEIGHT_PX, MAX_HEIGHT_PX = 20, 64
"""Height limits of stored glyphs, chosen so that rendering needs little scaling."""

MIN_STEP = 0.2
"""Minimum step from the left edge of a glyph to the next, as a fraction of a usual height."""


@dataclass(frozen=True)
class Glyphs:
    """Cut-outs of single characters.

    Attributes:
        ink: (h, w) uint8 per glyph, 0 for no ink.
        heights: (N,) float64 height of each glyph relative to the median.
        by_symbol: Indices of the glyphs of each character, in code point order.
    """

    ink: list[GrayImage]
    heights: np.ndarray
    by_symbol: dict[str, np.ndarray]


def cut_glyphs(images: Iterable[GrayImage], texts: Iterable[str]) -> Glyphs:
    """Cut characters out of images of either polarity, and skip blank images.

    Raises:
        DataError: A label is not a single character.
    """
    ink, heights, symbols = [], [], []
    for image, text in zip(images, texts, strict=True):
        if len(text) != 1:
            raise DataError(
                f"label {text!r} of the source: must be a single character, because strings are "
                "composed of single characters; correct or remove it"
            )
        crop = _cut(image)
        if crop is None:
            continue
        heights.append(crop.shape[0] / image.shape[0])
        symbols.append(text)
        working_height = min(max(crop.shape[0], MIN_HEIGHT_PX), MAX_HEIGHT_PX)
        if working_height != crop.shape[0]:
            factor = working_height / crop.shape[0]
            size = (max(1, round(crop.shape[1] * factor)), working_height)
            method = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
            crop = np.asarray(cv2.resize(crop, size, interpolation=method), dtype=np.uint8)
        ink.append(crop)
    relative = np.array(heights)
    by_symbol = {
        symbol: np.flatnonzero(np.array(symbols) == symbol) for symbol in sorted(set(symbols))
    }
    return Glyphs(ink, relative / np.median(relative) if symbols else relative, by_symbol)


def _cut(image: GrayImage) -> GrayImage | None:
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    paper = float(np.median(edge))
    ink = np.abs(image.astype(np.float32) - np.float32(paper))
    darkest = float(ink.max())
    if darkest < MIN_CONTRAST:
        return None
    ink = np.clip(ink * (280 / darkest) - 25, 0, 255)  # ignore the unevenness of the paper
    rows, columns = np.flatnonzero(ink.max(1) > 64), np.flatnonzero(ink.max(0) > 64)
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(crop, dtype=np.uint8)


class DigitArtist:
    """Renders strings from a split's glyphs, with common size, slant and spacing per string."""

    def __init__(self, recipe: DigitsRecipe, glyphs: Mapping[Split, Glyphs]) -> None:
        """Store the glyphs of each split with strings.

        Raises:
            DataError: A split has no glyphs, or has glyphs that the training split lacks.
        """
        self.recipe = recipe
        self.glyphs = glyphs
        for split, of_split in glyphs.items():
            if not of_split.by_symbol:
                raise DataError(
                    f"{recipe.source}: no character is left for the {split} split; use a larger "
                    f"source, or counts.{split}: 0"
                )
            alone = sorted(of_split.by_symbol.keys() - glyphs["train"].by_symbol.keys())
            if alone:
                raise DataError(
                    f"{recipe.source}: only the {split} split has {' '.join(alone)}, must be in "
                    "train too; use a larger source"
                )
        n = len(glyphs["train"].by_symbol)
        if recipe.counts.train < n:
            raise DataError(
                f"{recipe.source}: {recipe.counts.train} strings of train cannot show all {n} "
                "characters; raise counts.train"
            )

    def choose(self, split: Split, index: int, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        """Choose the text of a string and the ids of its glyphs.

        All characters are equally frequent, regardless of the source. The first strings cycle
        through the characters, so that even a small dataset contains all of them.
        """
        by_symbol = self.glyphs[split].by_symbol
        symbols = list(by_symbol)
        length = rng.integers(self.recipe.min_length, self.recipe.max_length + 1)
        drawn = rng.integers(len(symbols), size=length)
        drawn[0] = index % len(symbols)
        text = "".join(symbols[i] for i in drawn)
        ids = [by_symbol[symbol][rng.integers(len(by_symbol[symbol]))] for symbol in text]
        return text, np.array(ids)

    def draw(self, split: Split, ids: np.ndarray, rng: np.random.Generator) -> Ink:
        """Render glyphs from left to right.

        Returns:
            (recipe.height, W) float32 ink from 0 to 1.
        """
        recipe, glyphs, n = self.recipe, self.glyphs[split], len(ids)
        size = rng.uniform(*recipe.scale) * recipe.height
        stretch = rng.uniform(*recipe.stretch)
        gap = rng.uniform(*recipe.spacing) * size
        differences = rng.uniform(-1, 1, (4, n))
        heights = size * glyphs.heights[ids] * (1 + recipe.digit_scale * differences[0])
        heights = np.clip(heights, 2, recipe.height - 1)
        slants = rng.uniform(*recipe.slant) + recipe.digit_slant * differences[1]
        tops = (recipe.height - heights) / 2 + size * recipe.digit_shift * differences[2]
        tops = np.clip(tops, 0, recipe.height - heights - 1)
        crops = [glyphs.ink[i] for i in ids]
        widths = np.array([c.shape[1] / c.shape[0] for c in crops]) * heights * stretch
        lean = np.abs(slants) * heights / 2
        left, right = rng.uniform(*recipe.margin, 2) * recipe.height + lean.max()
        steps = widths + gap + size * recipe.digit_shift * differences[3]
        steps = np.maximum(steps, MIN_STEP * size)
        starts = left + np.concatenate([[0.0], np.cumsum(steps[:-1])])
        brightness = rng.uniform(*recipe.brightness, n).astype(np.float32) / np.float32(255)
        ink = np.zeros((recipe.height, math.ceil(max(starts + widths) + right)), np.float32)
        for i, crop in enumerate(crops):
            _write(ink, crop, (starts[i], tops[i], widths[i], heights[i]), slants[i], brightness[i])
        return ink


def _write(
    ink: Ink,
    crop: np.ndarray,
    box: tuple[float, float, float, float],
    slant: float,
    brightness: np.float32,
) -> None:
    """Scale and slant a glyph into a box (left, top, width, height) in pixels."""
    left, top, width, height = box
    lean = slant * height / 2
    x, y = int(max(0, left - abs(lean))), int(top)
    size = (math.ceil(left + width + abs(lean)) - x + 1, math.ceil(top + height) - y + 1)
    scale_x, scale_y = width / crop.shape[1], height / crop.shape[0]
    matrix = np.array([[scale_x, -slant * scale_y, left - x + lean], [0, scale_y, top - y]])
    part = ink[y : y + size[1], x : x + size[0]]
    drawn = cv2.warpAffine(crop, matrix, size)[: part.shape[0], : part.shape[1]]
    np.maximum(part, drawn * brightness, out=part)


RECIPE = DigitsRecipe(
    counts=Counts(train=1500, val=300, test=500),
    seed=20_240_101,
    fresh=False,
    height=40,
    max_length=8,
    margin=(0.1, 0.3),
    scale=(0.55, 0.8),
    stretch=(0.95, 1.05),
    spacing=(-0.05, 0.25),
    slant=(-0.25, 0.25),
    brightness=(0.9, 1),
    digit_slant=0.05,
    paper=Paper(
        backgrounds=("gradient",),
        level=(150, 255),
        contrast=(60, 140),
        gradient=(0, 40),
        rules=0,
        light_on_dark=0,
        blur=(0, 0.5),
        noise=(0, 12),
        speckles=(0, 0),
    ),
)
"""Recipe of the built-in dataset: small and clean, to be learned within minutes."""


def sklearn_glyphs(seed: int) -> dict[Split, Glyphs]:
    """Split scikit-learn's single digits by seed and cut them out."""
    from sklearn.datasets import load_digits  # importing it takes two seconds

    bunch = load_digits()
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    samples = [
        Sample(f"{i:04d}", image, str(digit))
        for i, (image, digit) in enumerate(zip(images, bunch.target, strict=True))
    ]
    return {
        split: cut_glyphs([np.asarray(s.image) for s in part], [s.text for s in part])
        for split, part in by_split(assign_splits(samples, seed)).items()
    }
