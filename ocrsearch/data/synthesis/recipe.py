"""Recipes: what a synthetic data set is made of, as a YAML file and as plain data.

A recipe and its seed determine every picture. Lengths on paper are shares of the height of
the picture or of a symbol, so that a recipe looks the same at any height.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import yaml
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
"""The source that needs no path: the handwritten digits of scikit-learn."""

Range = tuple[float, float]
"""Lowest and highest value; each picture draws one between them."""


def _rising(low: float, high: float) -> AfterValidator:
    def check(value: Range) -> Range:
        if not low <= value[0] <= value[1] <= high:
            raise ValueError(f"must be two numbers from {low:g} to {high:g}, the lower one first")
        return value

    return AfterValidator(check)


class Counts(Frozen):
    """Pictures of each split; with ``fresh``, those of train are of one epoch."""

    train: Integer = Field(8000, ge=1, le=10_000_000)
    val: Integer = Field(1000, ge=0, le=1_000_000)
    test: Integer = Field(1000, ge=0, le=1_000_000)

    @classmethod
    def of_total(cls, n: int) -> Counts:
        """Part a number of pictures into 80 % train, 10 % val and 10 % test."""
        held_out = n // 10
        return cls(train=n - 2 * held_out, val=held_out, test=held_out)

    def of(self, split: Split) -> int:
        """Return the number of pictures of a split."""
        n: int = getattr(self, split)
        return n


class Paper(Frozen):
    """Paper, ink and camera. Levels and deviations are of 255 grey levels."""

    backgrounds: tuple[Literal["plain", "gradient", "texture"], ...] = Field(
        ("plain", "gradient", "texture"), min_length=1, description="One is drawn for a picture."
    )
    level: Annotated[Range, _rising(0, 255)] = Field((150, 250), description="Of the paper.")
    contrast: Annotated[Range, _rising(1, 255)] = Field(
        (60, 170), description="Of full ink on the paper."
    )
    gradient: Annotated[Range, _rising(0, 255)] = Field(
        (5, 50), description="Of the light from one side to the other."
    )
    texture: Annotated[Range, _rising(0, 100)] = Field(
        (2, 12), description="Deviation of grain, waves and hatching."
    )
    rules: Number = Field(0.2, ge=0, le=1, description="Share of pictures with ruled lines.")
    light_on_dark: Number = Field(0.1, ge=0, le=1, description="Share of negatives.")
    blur: Annotated[Range, _rising(0, 5)] = Field((0.3, 1.1), description="Deviation, in pixels.")
    noise: Annotated[Range, _rising(0, 100)] = Field((0, 8), description="Deviation.")
    speckles: Annotated[Range, _rising(0, 0.2)] = Field(
        (0, 0.002), description="Share of the pixels where one begins."
    )


class Recipe(Frozen):
    """What all kinds have in common."""

    paths: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that are paths, relative to the recipe's file."""

    counts: Counts = Counts()
    seed: Integer = Field(0, ge=0, lt=2**31)
    fresh: bool = Field(True, description="Whether each training epoch has new pictures.")
    height: Integer = Field(48, ge=16, le=128, description="Of the pictures, in pixels.")
    margin: Annotated[Range, _rising(0, 2)] = Field(
        (0.08, 0.4), description="Left and right, share of the height."
    )
    paper: Paper = Paper()

    def rng_of(self, split: Split, index: int, epoch: int = 0) -> np.random.Generator:
        """Return the generator from which all of one picture is drawn, whoever makes it."""
        return np.random.default_rng([self.seed, SPLITS.index(split), epoch, index])

    def with_paths(self, change: Callable[[str], str]) -> Self:
        """Return a copy with its paths changed."""
        values = {name: change_path(getattr(self, name), change) for name in self.paths}
        return self.model_copy(update=values)

    def relative_to(self, folder: Path) -> Self:
        """Return a copy with absolute paths, taken to be relative to a folder."""
        return self.with_paths(lambda value: str(folder / home_path(value)))


class DigitsRecipe(Recipe):
    """Strings composed of pictures of single digits, or of any other single symbols."""

    paths = ("source",)

    kind: Literal["digits"] = "digits"
    source: str = Field(
        "digits", description="Specification of single symbols; 'digits' are scikit-learn's."
    )
    min_length: Integer = Field(1, ge=1, le=100)
    max_length: Integer = Field(10, ge=1, le=100)
    scale: Annotated[Range, _rising(0.1, 1)] = Field(
        (0.45, 0.85), description="Height of a usual digit, one for a string; share of the height."
    )
    stretch: Annotated[Range, _rising(0.5, 2)] = Field(
        (0.8, 1.2), description="Of the width, one for a string."
    )
    spacing: Annotated[Range, _rising(-0.5, 2)] = Field(
        (-0.06, 0.45), description="Gap or overlap, one for a string; share of a digit's height."
    )
    slant: Annotated[Range, _rising(-1, 1)] = Field((-0.15, 0.35), description="Of a string.")
    brightness: Annotated[Range, _rising(0.1, 1)] = Field((0.75, 1), description="Ink of a digit.")
    digit_scale: Number = Field(0.08, ge=0, le=0.5, description="Each digit differs by up to this.")
    digit_shift: Number = Field(0.06, ge=0, le=0.5, description="Up, down and sideways.")
    digit_slant: Number = Field(0.1, ge=0, le=0.5)


class TextRecipe(Recipe):
    """Lines drawn with fonts."""

    paths = ("fonts", "corpus")

    kind: Literal["text"] = "text"
    fonts: str = Field(description="A folder of .ttf and .otf files, or one such file.")
    corpus: str = Field(description="UTF-8 text, an entry a line.")
    min_length: Integer = Field(1, ge=1, le=1000, description="Symbols of a line.")
    max_length: Integer = Field(80, ge=1, le=1000)
    max_entries: Integer = Field(
        1, ge=1, le=100, description="Most entries that are joined to a line, if they fit."
    )
    joiners: tuple[str, ...] = Field((" ", ", "), min_length=1, description="Between entries.")
    cases: tuple[Literal["kept", "lower", "title", "upper"], ...] = Field(
        ("kept",), min_length=1, description="One is drawn for a line."
    )
    scale: Annotated[Range, _rising(0.1, 2)] = Field(
        (0.7, 1), description="Height from ascender to descender, share of the height."
    )
    stretch: Annotated[Range, _rising(0.5, 2)] = Field((0.85, 1.25), description="Of the width.")
    stroke: Annotated[Range, _rising(-1, 1)] = Field(
        (-0.3, 0.8), description="From -1 for a thin pen over 0, as the font is, to 1 for a thick."
    )
    slant: Annotated[Range, _rising(-1, 1)] = Field((-0.2, 0.4))
    wave: Annotated[Range, _rising(0, 0.3)] = Field(
        (0, 0.04), description="Amplitude of the baseline, share of the height."
    )
    warp: Annotated[Range, _rising(0, 0.1)] = Field(
        (0, 0.03), description="By which letters are bent, share of the height."
    )
    word_space: Annotated[Range, _rising(0, 3)] = Field(
        (0.12, 0.5), description="Between words, one for a line; share of the font's height."
    )
    word_shift: Number = Field(0.04, ge=0, le=0.3, description="Of each word, up and down.")
    brightness: Annotated[Range, _rising(0.1, 1)] = Field(
        (0.75, 1), description="Of the ink, along a line."
    )


AnyRecipe = DigitsRecipe | TextRecipe

KINDS: dict[str, type[AnyRecipe]] = {
    "digits": DigitsRecipe,
    "text": TextRecipe,
}


def parse_recipe(content: Mapping[str, Any], where: str) -> AnyRecipe:
    """Check a recipe whole; ``where`` is for messages.

    Raises:
        DataError: an unknown kind or key, or a value that is not allowed.
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


def load_recipe(path: Path) -> AnyRecipe:
    """Read a recipe file; its paths, which are relative to it, become absolute.

    Raises:
        DataError: no such file, or not a recipe.
    """
    return parse_recipe(read_yaml(path, DataError), str(path)).relative_to(real_path(path).parent)


def save_recipe(recipe: AnyRecipe, path: Path) -> None:
    """Write a recipe whose paths are absolute; in the file they are relative to it."""
    folder = real_path(path).parent
    portable = recipe.with_paths(lambda value: os.path.relpath(value, folder))
    text = yaml.safe_dump(portable.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_text_file(path, text)


def change_path(spec: str, change: Callable[[str], str]) -> str:
    """Change the path within a specification, which may begin with the name of a format."""
    if spec == SKLEARN_DIGITS:
        return spec
    name, colon, path = spec.partition(":")
    if colon and name.isalnum() and len(name) > 1:  # one letter is a drive of Windows
        return f"{name}:{change(path)}"
    return change(spec)
