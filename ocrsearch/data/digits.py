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
    height=40,
    max_length=8,
    paper=Paper(rules=0, light_on_dark=0),
)


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
