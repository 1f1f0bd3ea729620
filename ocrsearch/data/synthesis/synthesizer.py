"""Synthesizer: random access to the images of a recipe by split, epoch and index.

An artist renders the ink of a text; here the ink is put on paper, as a scanner or camera sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ocrsearch.data.samples import SPLITS, GrayImage, Sample, Split
from ocrsearch.data.synthesis.recipe import AnyRecipe, Paper

Ink = NDArray[np.float32]
"""(H, W) float32 from 0 (no ink) to 1."""

TEXTURE_SEED = 7
N_TEXTURES = 24
TEXTURE_SIZE = (160, 1024)


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
    def recipe(self) -> dict[str, object]:
        """The recipe as plain data. If ``fresh`` is true, each training epoch has new images."""
        return self.synthesizer.recipe.model_dump(mode="json")


def to_paper(ink: Ink, paper: Paper, rng: np.random.Generator) -> GrayImage:
    """Put ink on paper and simulate a scan or photo of it.

    Args:
        ink: (H, W) float32 from 0 to 1. Modified in place.
        paper: Ranges for paper, lighting and noise.
        rng: Source of randomness.

    Returns:
        (H, W) uint8.
    """
    if rng.random() < paper.rules:
        _rule(ink, rng)
    ink *= np.float32(-rng.uniform(*paper.contrast))
    ink += np.float32(rng.uniform(*paper.level))
    _add_background(ink, paper, rng)
    sigma = rng.uniform(*paper.blur)
    seen: Ink = ink if sigma < 0.2 else cv2.GaussianBlur(ink, (0, 0), sigma)  # type: ignore[assignment]
    noise = rng.standard_normal(ink.shape, dtype=np.float32)
    noise *= np.float32(rng.uniform(*paper.noise))
    seen += noise
    # dark and light specks of one to four pixels
    height, width = seen.shape
    n = rng.poisson(rng.uniform(*paper.speckles) * height * width)
    rows, columns = rng.integers(height, size=n), rng.integers(width, size=n)
    levels = rng.uniform(0, 255, n).astype(np.float32)
    kinds = rng.integers(3, size=n)
    seen[rows, columns] = levels
    wide, high = kinds > 0, kinds > 1
    seen[rows[wide], np.minimum(columns[wide] + 1, width - 1)] = levels[wide]
    seen[np.minimum(rows[high] + 1, height - 1), columns[high]] = levels[high]
    image = np.clip(seen, 0, 255).astype(np.uint8)
    return 255 - image if rng.random() < paper.light_on_dark else image


def _rule(ink: Ink, rng: np.random.Generator) -> None:
    """Draw the baseline, and sometimes the line above and the side of a box."""
    height, width = ink.shape
    thickness, darkness = int(rng.integers(1, 3)), np.float32(rng.uniform(0.3, 1.0))
    below = int(height * rng.uniform(0.8, 0.98))
    rows = [below] if rng.random() < 0.6 else [below, int(height * rng.uniform(0, 0.12))]
    for row in rows:
        np.maximum(ink[row : row + thickness], darkness, out=ink[row : row + thickness])
    if rng.random() < 0.25:
        column = 0 if rng.random() < 0.5 else width - thickness
        side = ink[:, column : column + thickness]
        np.maximum(side, darkness, out=side)


def _add_background(ink: Ink, paper: Paper, rng: np.random.Generator) -> None:
    kind = paper.backgrounds[rng.integers(len(paper.backgrounds))]
    height, width = ink.shape
    if kind != "plain":
        across, down = rng.uniform(-0.5, 0.5, 2) * rng.uniform(*paper.gradient)
        ink += np.linspace(-across, across, width, dtype=np.float32)
        ink += np.linspace(-down, down, height, dtype=np.float32)[:, None]
    if kind == "texture":
        texture = _textures()[rng.integers(N_TEXTURES)]
        top = rng.integers(texture.shape[0] - height + 1)
        n = texture.shape[1]
        there_and_back = np.abs((rng.integers(n) + np.arange(width)) % (2 * n - 2) - (n - 1))
        part = texture[top : top + height].take(there_and_back, axis=1)
        ink += part * np.float32(rng.uniform(*paper.texture))


@cache
def _textures() -> NDArray[np.float16]:
    """Return background textures, (N_TEXTURES, H, W), each of mean 0 and deviation 1."""
    rng = np.random.default_rng(TEXTURE_SEED)
    makers = (_grain, _waves, _hatching)
    textures = np.stack([makers[i % len(makers)](rng) for i in range(N_TEXTURES)])
    textures -= textures.mean((1, 2), keepdims=True)
    textures /= textures.std((1, 2), keepdims=True)
    return textures.astype(np.float16)


def _grain(rng: np.random.Generator) -> Ink:
    noise = rng.standard_normal(TEXTURE_SIZE, dtype=np.float32)
    sigma_x, sigma_y = rng.uniform(0.7, 6, 2)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma_x, sigmaY=sigma_y), np.float32)


def _waves(rng: np.random.Generator) -> Ink:
    """Return two crossing sets of thin curved lines, as on cheques."""
    y, x = np.mgrid[: TEXTURE_SIZE[0], : TEXTURE_SIZE[1]].astype(np.float32)
    total = np.zeros(TEXTURE_SIZE, np.float32)
    for direction in (1, -1):
        bend = rng.uniform(2, 10) * np.sin(x / rng.uniform(10, 60) + rng.uniform(0, 6))
        bend += rng.uniform(5, 30) * np.sin((x + y) / rng.uniform(40, 150) + rng.uniform(0, 6))
        phase = (y + direction * bend) / rng.uniform(3, 8)
        total -= np.maximum(np.cos(2 * np.pi * phase), 0) ** 2
    return total


def _hatching(rng: np.random.Generator) -> Ink:
    """Return thin parallel lines at an angle, with grain."""
    y, x = np.mgrid[: TEXTURE_SIZE[0], : TEXTURE_SIZE[1]].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 9)
    lines = np.cos(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    return np.asarray(0.15 * _grain(rng) - np.maximum(lines, 0) ** 2, dtype=np.float32)
