"""The synthesizer: the pictures of a recipe by split, epoch and index, in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ocrsearch.data.samples import (
    SPLITS,
    GrayImage,
    Sample,
    Split,
)
from ocrsearch.data.synthesis.paper import Ink, to_paper
from ocrsearch.data.synthesis.recipe import AnyRecipe


class Artist(Protocol):
    """Chooses what to write, and writes it; all randomness comes from the generator."""

    def choose(self, split: Split, index: int, rng: np.random.Generator) -> tuple[str, Any]: ...  # noqa: D102
    def draw(self, split: Split, chosen: Any, rng: np.random.Generator) -> Ink: ...  # noqa: D102


@dataclass(frozen=True)
class Synthesizer:
    """Makes pictures; the same split, index and epoch give the same one in any process.

    Attributes:
        recipe: what they are made of.
        artist: who draws.
        notes: what could not be used as given, for people.
    """

    recipe: AnyRecipe
    artist: Artist
    notes: tuple[str, ...] = ()

    def text(self, split: Split, index: int) -> str:
        """Return what a picture shows, without drawing it."""
        return self.artist.choose(split, index, self.recipe.rng_of(split, index))[0]

    def image(self, split: Split, index: int, epoch: int = 0) -> tuple[GrayImage, str]:
        """Draw a picture; return it with what it shows.

        Args:
            split: whose symbols or entries to use.
            index: its number in the split, from 0.
            epoch: other numbers give other pictures, with the same splits.
        """
        rng = self.recipe.rng_of(split, index, epoch)
        text, chosen = self.artist.choose(split, index, rng)
        return to_paper(self.artist.draw(split, chosen, rng), self.recipe.paper, rng), text

    def samples(self) -> list[Sample]:
        """Return all pictures of the recipe as samples that are drawn when they are read."""
        return [
            Sample(f"{split}/{i:06d}", Drawing(self, split, i), self.text(split, i), split)
            for split in SPLITS
            for i in range(self.recipe.counts.of(split))
        ]


@dataclass(frozen=True)
class Drawing:
    """A picture of a recipe that is drawn when it is needed."""

    synthesizer: Synthesizer
    split: Split
    index: int

    def draw(self) -> GrayImage:
        """Draw it."""
        return self.synthesizer.image(self.split, self.index)[0]

    @property
    def fresh_recipe(self) -> dict[str, Any] | None:
        """The recipe as plain data, if each training epoch is to have new pictures."""
        recipe = self.synthesizer.recipe
        return recipe.model_dump(mode="json") if recipe.fresh else None
