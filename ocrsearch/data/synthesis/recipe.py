"""Recipes for synthetic datasets, as YAML files and plain data.

A recipe and its seed determine every image. Lengths are fractions of the image height or the
character height, so that a recipe looks the same at any height.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, ValidationError

from ocrsearch.core import (
    DataError,
    Frozen,
    Integer,
    Number,
    config_paths,
    explain_validation_error,
    home_path,
    read_yaml,
    real_path,
    shown,
    write_text_file,
)
from ocrsearch.data.samples import SPLITS, Split

SKLEARN_DIGITS = "digits"
"""Source without a path: scikit-learn's handwritten digits."""

Ink = NDArray[np.float32]
"""(H, W) float32 from 0 (no ink) to 1, as rendered before it is put on paper."""

Range = tuple[float, float]
"""Lowest and highest value. A value in between is drawn per image."""


def _rising(low: float, high: float) -> AfterValidator:
    def check(value: Range) -> Range:
        if not low <= value[0] <= value[1] <= high:
            raise ValueError(f"must be two numbers from {low:g} to {high:g}, the lower one first")
        return value

    return AfterValidator(check)


class Counts(Frozen):
    """Number of images per split; with ``fresh``, the training images per epoch."""

    train: Integer = Field(8000, ge=1, le=10_000_000)
    val: Integer = Field(1000, ge=0, le=1_000_000)
    test: Integer = Field(1000, ge=0, le=1_000_000)

    @classmethod
    def of_total(cls, n: int) -> Counts:
        """Split a number of images into 80 % train, 10 % val and 10 % test."""
        held_out = n // 10
        return cls(train=n - 2 * held_out, val=held_out, test=held_out)

    def of(self, split: Split) -> int:
        """Return the number of images in a split."""
        n: int = getattr(self, split)
        return n


class Paper(Frozen):
    """Paper, ink and camera. Levels and deviations are in units of 255 grey levels."""

    backgrounds: tuple[Literal["plain", "gradient", "texture"], ...] = Field(
        ("plain", "gradient", "texture"), min_length=1, description="Kinds to draw from per image."
    )
    level: Annotated[Range, _rising(0, 255)] = Field((150, 250), description="Paper brightness.")
    contrast: Annotated[Range, _rising(1, 255)] = Field(
        (60, 170), description="Contrast between full ink and paper."
    )
    gradient: Annotated[Range, _rising(0, 255)] = Field(
        (5, 50), description="Brightness difference between opposite sides."
    )
    texture: Annotated[Range, _rising(0, 100)] = Field(
        (2, 12), description="Standard deviation of grain, waves and hatching."
    )
    rules: Number = Field(0.2, ge=0, le=1, description="Fraction of images with ruled lines.")
    light_on_dark: Number = Field(0.1, ge=0, le=1, description="Fraction of inverted images.")
    blur: Annotated[Range, _rising(0, 5)] = Field(
        (0.3, 1.1), description="Standard deviation of the blur, in pixels."
    )
    noise: Annotated[Range, _rising(0, 100)] = Field((0, 8), description="Deviation.")
    speckles: Annotated[Range, _rising(0, 0.2)] = Field(
        (0, 0.002), description="Fraction of pixels where a speck starts."
    )


class Recipe(Frozen):
    """Fields common to all kinds of recipes."""

    paths: ClassVar[tuple[str, ...]] = ()
    """Names of the fields with paths, which are relative to the recipe file."""

    counts: Counts = Counts()
    seed: Integer = Field(0, ge=0, lt=2**31)
    fresh: bool = Field(True, description="Whether to render new images for each training epoch.")
    height: Integer = Field(48, ge=16, le=128, description="Image height, in pixels.")
    margin: Annotated[Range, _rising(0, 2)] = Field(
        (0.08, 0.4), description="Left and right margin, as a fraction of the height."
    )
    paper: Paper = Paper()

    def rng_of(self, split: Split, index: int, epoch: int = 0) -> np.random.Generator:
        """Return the generator for one image. It is independent of all other images."""
        return np.random.default_rng([self.seed, SPLITS.index(split), epoch, index])

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """Return a copy with all paths replaced by ``change(path)``."""
        values = {name: change_path(getattr(self, name), change) for name in self.paths}
        return self.model_copy(update=values)

    def relative_to(self, folder: Path) -> Self:
        """Return a copy with absolute paths, resolved relative to a folder."""
        return self.with_paths(lambda value: str(folder / home_path(value)))


class DigitsRecipe(Recipe):
    """Recipe for strings composed of images of single digits or other characters."""

    paths = ("source",)

    kind: Literal["digits"] = "digits"
    source: str = Field(
        "digits", description="Dataset of single characters; 'digits' are scikit-learn's."
    )
    min_length: Integer = Field(1, ge=1, le=100)
    max_length: Integer = Field(10, ge=1, le=100)
    scale: Annotated[Range, _rising(0.1, 1)] = Field(
        (0.45, 0.85), description="Usual digit height per string, as a fraction of the height."
    )
    stretch: Annotated[Range, _rising(0.5, 2)] = Field(
        (0.8, 1.2), description="Factor on the width per string."
    )
    spacing: Annotated[Range, _rising(-0.5, 2)] = Field(
        (-0.06, 0.45), description="Gap or overlap per string, as a fraction of the digit height."
    )
    slant: Annotated[Range, _rising(-1, 1)] = Field((-0.15, 0.35), description="Slant per string.")
    brightness: Annotated[Range, _rising(0.1, 1)] = Field((0.75, 1), description="Ink per digit.")
    digit_scale: Number = Field(0.08, ge=0, le=0.5, description="Maximum size change per digit.")
    digit_shift: Number = Field(0.06, ge=0, le=0.5, description="Maximum displacement per digit.")
    digit_slant: Number = Field(0.1, ge=0, le=0.5)


class TextRecipe(Recipe):
    """Recipe for lines of text rendered with fonts."""

    paths = ("fonts", "corpus")

    kind: Literal["text"] = "text"
    fonts: str = Field(description="Folder with .ttf and .otf files, or a single such file.")
    corpus: str = Field(description="UTF-8 text with one entry per line.")
    min_length: Integer = Field(1, ge=1, le=1000, description="Minimum characters per line.")
    max_length: Integer = Field(80, ge=1, le=1000)
    max_entries: Integer = Field(
        1, ge=1, le=100, description="Maximum entries to concatenate per line, if they fit."
    )
    joiners: tuple[str, ...] = Field((" ", ", "), min_length=1, description="Entry separators.")
    cases: tuple[Literal["kept", "lower", "title", "upper"], ...] = Field(
        ("kept",), min_length=1, description="Letter cases to draw from per line."
    )
    scale: Annotated[Range, _rising(0.1, 2)] = Field(
        (0.7, 1), description="Ascender to descender, as a fraction of the image height."
    )
    stretch: Annotated[Range, _rising(0.5, 2)] = Field((0.85, 1.25), description="Width factor.")
    stroke: Annotated[Range, _rising(-1, 1)] = Field(
        (-0.3, 0.8), description="Pen width from -1 (thin) to 1 (thick); 0 is the font's own."
    )
    slant: Annotated[Range, _rising(-1, 1)] = Field((-0.2, 0.4))
    wave: Annotated[Range, _rising(0, 0.3)] = Field(
        (0, 0.04), description="Baseline amplitude, as a fraction of the height."
    )
    warp: Annotated[Range, _rising(0, 0.1)] = Field(
        (0, 0.03), description="Bending of letters, as a fraction of the height."
    )
    word_space: Annotated[Range, _rising(0, 3)] = Field(
        (0.12, 0.5), description="Word spacing per line, as a fraction of the font height."
    )
    word_shift: Number = Field(0.04, ge=0, le=0.3, description="Maximum vertical shift per word.")
    brightness: Annotated[Range, _rising(0.1, 1)] = Field(
        (0.75, 1), description="Ink brightness along a line."
    )


AnyRecipe = DigitsRecipe | TextRecipe

KINDS: dict[str, type[AnyRecipe]] = {
    "digits": DigitsRecipe,
    "text": TextRecipe,
}


def parse_recipe(content: Mapping[str, Any], where: str) -> AnyRecipe:
    """Validate a recipe. ``where`` is its name in messages.

    Raises:
        DataError: The kind, a key or a value is invalid.
    """
    kind = content.get("kind")
    if kind not in list(KINDS):
        raise DataError(f"{where}: kind: found {shown(kind)}, must be one of {list(KINDS)}")
    try:
        recipe = KINDS[str(kind)].model_validate(dict(content))
    except ValidationError as error:
        known = config_paths(KINDS[str(kind)])
        raise DataError(explain_validation_error(where, error, known)) from None
    if recipe.min_length > recipe.max_length:
        raise DataError(
            f"{where}: min_length: found {recipe.min_length}, "
            f"must be at most max_length, {recipe.max_length}"
        )
    return recipe


def is_recipe_file(path: Path) -> bool:
    """Return whether a path without a prefix is a YAML file."""
    return path.suffix.lower() in (".yaml", ".yml") and path.is_file()


def load_recipe(path: Path) -> AnyRecipe:
    """Read a recipe file and make its paths absolute. They are relative to the file.

    Raises:
        DataError: The file is missing or not a valid recipe.
    """
    return parse_recipe(read_yaml(path, DataError), str(path)).relative_to(real_path(path).parent)


def save_recipe(recipe: AnyRecipe, path: Path) -> None:
    """Write a recipe with absolute paths. In the file they are relative to it."""
    folder = real_path(path).parent
    portable = recipe.with_paths(lambda value: os.path.relpath(value, folder))
    text = yaml.safe_dump(portable.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text_file(path, text)


def change_path(spec: str, change: Callable[[str], str]) -> str:
    """Change the path in a data specification, which may have a format prefix."""
    if spec == SKLEARN_DIGITS:
        return spec
    name, colon, path = spec.partition(":")
    if colon and name.isalnum() and len(name) > 1:  # a single letter is a Windows drive
        return f"{name}:{change(path)}"
    return change(spec)
