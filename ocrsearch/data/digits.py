"""The built-in data: strings of real handwritten digits.

Composed of the 8 x 8 digits that come with scikit-learn (UCI optical recognition of
handwritten digits). The source digits are split first, so that no digit in a test string was
ever trained on.
"""

from __future__ import annotations

import numpy as np

from ocrsearch.data.samples import Sample, Split
from ocrsearch.data.splits import assign_splits, by_split
from ocrsearch.data.synthesis.digits import DigitArtist
from ocrsearch.data.synthesis.glyphs import Glyphs, cut_glyphs
from ocrsearch.data.synthesis.recipe import Counts, DigitsRecipe, Paper
from ocrsearch.data.synthesis.synthesizer import Synthesizer

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
"""Small and clean, so that a first search learns to read it within minutes."""


def make_digits() -> list[Sample]:
    """Return the built-in set: always the same strings, with their splits."""
    artist = DigitArtist(RECIPE, sklearn_glyphs(RECIPE.seed))
    return Synthesizer(RECIPE, artist).samples()


def sklearn_glyphs(seed: int) -> dict[Split, Glyphs]:
    """Part scikit-learn's single digits by seed and cut them out."""
    from sklearn.datasets import load_digits  # takes two seconds to import

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
