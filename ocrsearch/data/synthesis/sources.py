"""Sources: a recipe's digits, fonts and corpus, read and parted before anything is made."""

from __future__ import annotations

from ocrsearch.data.dataset import load_dataset
from ocrsearch.data.digits import sklearn_glyphs
from ocrsearch.data.options import DataOptions
from ocrsearch.data.samples import SPLITS, Split
from ocrsearch.data.synthesis.digits import DigitArtist
from ocrsearch.data.synthesis.glyphs import Glyphs, cut_glyphs
from ocrsearch.data.synthesis.recipe import (
    SKLEARN_DIGITS,
    AnyRecipe,
    DigitsRecipe,
    TextRecipe,
)
from ocrsearch.data.synthesis.synthesizer import Synthesizer
from ocrsearch.data.synthesis.text import TextArtist


def open_synthesizer(recipe: AnyRecipe) -> Synthesizer:
    """Read all that a recipe names.

    Raises:
        DataError: a source that cannot be read or used.
    """
    if isinstance(recipe, TextRecipe):
        artist = TextArtist(recipe)
        return Synthesizer(recipe, artist, tuple(artist.notes))
    return Synthesizer(recipe, DigitArtist(recipe, read_glyphs(recipe)))


def read_glyphs(recipe: DigitsRecipe) -> dict[Split, Glyphs]:
    """Read the single symbols of each split of which strings are wanted.

    The splits are those that the source gives, or drawn by the recipe's seed.
    """
    if recipe.source == SKLEARN_DIGITS:
        glyphs = sklearn_glyphs(recipe.seed)
    else:
        splits = load_dataset(recipe.source, DataOptions(split_seed=recipe.seed)).splits
        glyphs = {split: cut_glyphs(part.images, part.texts) for split, part in splits.items()}
    return {split: glyphs[split] for split in SPLITS if recipe.counts.of(split)}
