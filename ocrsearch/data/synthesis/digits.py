"""Strings of symbols, composed of cut-outs of single ones."""

from __future__ import annotations

import math
from collections.abc import Mapping

import cv2
import numpy as np

from ocrsearch.data.samples import Split
from ocrsearch.data.synthesis.glyphs import Glyphs
from ocrsearch.data.synthesis.paper import Ink
from ocrsearch.data.synthesis.recipe import DigitsRecipe
from ocrsearch.errors import DataError

MIN_STEP = 0.2
"""From the left of one glyph to the left of the next, at least; share of a usual height."""


class DigitArtist:
    """Writes strings with the glyphs of a split; one size, slant and spacing for a string."""

    def __init__(self, recipe: DigitsRecipe, glyphs: Mapping[Split, Glyphs]) -> None:
        """Take the glyphs of each split of which strings are wanted.

        Raises:
            DataError: a split has none, or one that the training split lacks.
        """
        self.recipe = recipe
        self.glyphs = glyphs
        for split, of_split in glyphs.items():
            if not of_split.by_symbol:
                raise DataError(
                    f"{recipe.source}: no symbol is left for the {split} split; give a larger "
                    f"source, or counts.{split}: 0"
                )
            alone = sorted(of_split.by_symbol.keys() - glyphs["train"].by_symbol.keys())
            if alone:
                raise DataError(
                    f"{recipe.source}: only the {split} split has {' '.join(alone)}; "
                    "train needs them too"
                )
        n = len(glyphs["train"].by_symbol)
        if recipe.counts.train < n:
            raise DataError(
                f"{recipe.source}: {recipe.counts.train} strings of train cannot show all {n} "
                "symbols; make more"
            )

    def choose(self, split: Split, index: int, rng: np.random.Generator) -> tuple[str, np.ndarray]:
        """Choose what to write: the text, and the ids of its glyphs.

        Symbols are equally frequent however often the source has them; the first ones go in
        turns, so that even a small set has them all.
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
        """Write glyphs one after the other.

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
    """Scale and slant a glyph into a box of left, top, width and height, in pixels."""
    left, top, width, height = box
    lean = slant * height / 2
    x, y = int(max(0, left - abs(lean))), int(top)
    size = (math.ceil(left + width + abs(lean)) - x + 1, math.ceil(top + height) - y + 1)
    scale_x, scale_y = width / crop.shape[1], height / crop.shape[0]
    matrix = np.array([[scale_x, -slant * scale_y, left - x + lean], [0, scale_y, top - y]])
    part = ink[y : y + size[1], x : x + size[0]]
    drawn = cv2.warpAffine(crop, matrix, size)[: part.shape[0], : part.shape[1]]
    np.maximum(part, drawn * brightness, out=part)
