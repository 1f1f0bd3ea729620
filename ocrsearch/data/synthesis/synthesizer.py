"""Synthesizer: random access to the images of a recipe by split, epoch and index."""

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
    """Chooses a text and renders it. All randomness comes from the generator."""

    def choose(self, split: Split, index: int, rng: np.random.Generator) -> tuple[str, Any]: ...  # noqa: D102
    def draw(self, split: Split, chosen: Any, rng: np.random.Generator) -> Ink: ...  # noqa: D102


@dataclass(frozen=True)
class Synthesizer:
    """Renders images. Equal split, index and epoch give equal images in any process.

    Attributes:
        recipe: Recipe of the dataset.
        artist: Renderer of the recipe's kind.
        notes: Warnings about unusable parts of the sources.
    """

    recipe: AnyRecipe
    artist: Artist
    notes: tuple[str, ...] = ()

    def text(self, split: Split, index: int) -> str:
        """Return the text of an image without rendering it."""
        return self.artist.choose(split, index, self.recipe.rng_of(split, index))[0]

    def image(self, split: Split, index: int, epoch: int = 0) -> tuple[GrayImage, str]:
        """Render an image and return it with its text.

        Args:
            split: Split whose characters or entries are used.
            index: Index in the split, from 0.
            epoch: Epoch number. Other epochs give other images with the same splits.
        """
        rng = self.recipe.rng_of(split, index, epoch)
        text, chosen = self.artist.choose(split, index, rng)
        return to_paper(self.artist.draw(split, chosen, rng), self.recipe.paper, rng), text

    def samples(self) -> list[Sample]:
        """Return all images of the recipe as samples that are rendered when they are read."""
        return [
            Sample(f"{split}/{i:06d}", Drawing(self, split, i), self.text(split, i), split)
            for split in SPLITS
            for i in range(self.recipe.counts.of(split))
        ]


@dataclass(frozen=True)
class Drawing:
    """Image of a recipe that is rendered on demand."""

    synthesizer: Synthesizer
    split: Split
    index: int

    def draw(self) -> GrayImage:
        """Render the image."""
        return self.synthesizer.image(self.split, self.index)[0]

    @property
    def fresh_recipe(self) -> dict[str, object] | None:
        """The recipe as plain data if each training epoch has new images, else None."""
        recipe = self.synthesizer.recipe
        return recipe.model_dump(mode="json") if recipe.fresh else None
