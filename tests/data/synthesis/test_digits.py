"""Strings: their lengths, layout and sources."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocrsearch.core.errors import DataError
from ocrsearch.data.samples import SPLITS, Split
from ocrsearch.data.synthesis.digits import DigitArtist, Glyphs, cut_glyphs
from ocrsearch.data.synthesis.recipe import Counts, DigitsRecipe
from ocrsearch.data.synthesis.synthesizer import open_synthesizer, read_glyphs

STILL: dict[str, Any] = {
    "margin": (0.25, 0.25),
    "scale": (0.5, 0.5),
    "stretch": (1, 1),
    "spacing": (0.5, 0.5),
    "slant": (0, 0),
    "brightness": (1, 1),
    "digit_scale": 0,
    "digit_shift": 0,
    "digit_slant": 0,
}


@pytest.fixture
def glyphs() -> dict[Split, Glyphs]:
    """A bar, of which one is worth as much as ten, and a block."""
    bar, block = np.zeros((24, 24), np.uint8), np.zeros((24, 24), np.uint8)
    bar[2:22, 10:14] = 255
    block[2:22, 2:22] = 255
    found = cut_glyphs([bar] + [block] * 10, ["1"] + ["8"] * 10)
    return {"train": found, "val": found, "test": found}


def artist(glyphs: dict[Split, Glyphs], **changes: Any) -> DigitArtist:
    return DigitArtist(DigitsRecipe(**changes), glyphs)


def n_strokes(ink: np.ndarray) -> int:
    """Return how many runs of columns have ink."""
    inked = np.concatenate([[False], ink.max(0) > 0.3, [False]])
    return int((inked[1:] & ~inked[:-1]).sum())


@pytest.mark.parametrize(("low", "high"), [(1, 1), (3, 5), (9, 9)])
def test_lengths_are_within_the_limits_and_use_them(
    low: int, high: int, glyphs: dict[Split, Glyphs]
) -> None:
    writer = artist(glyphs, min_length=low, max_length=high)

    texts = [writer.choose("val", i, np.random.default_rng(i))[0] for i in range(60)]

    assert {len(text) for text in texts} == set(range(low, high + 1))


def test_symbols_are_equally_frequent(glyphs: dict[Split, Glyphs]) -> None:
    writer = artist(glyphs)

    text = "".join(writer.choose("train", i, np.random.default_rng(i))[0] for i in range(400))

    assert text.count("1") / len(text) == pytest.approx(0.5, abs=0.05)


def test_even_few_strings_have_all_symbols(single_digits: Path) -> None:
    recipe = DigitsRecipe(source=f"csv:{single_digits}", max_length=1, counts=Counts.of_total(30))
    synthesizer = open_synthesizer(recipe)

    assert {synthesizer.text("train", i) for i in range(3)} == {"1", "4", "7"}
    assert {synthesizer.text("test", i) for i in range(3)} == {"1", "4", "7"}


def test_a_string_is_laid_out_as_the_recipe_says(glyphs: dict[Split, Glyphs]) -> None:
    writer = artist(glyphs, height=48, **STILL)

    ink = writer.draw("train", np.array([1, 0, 2]), np.random.default_rng(0))

    rows, columns = np.flatnonzero(ink.max(1) > 0.3), np.flatnonzero(ink.max(0) > 0.3)
    assert ink.shape == (48, 12 + 24 + 12 + 5 + 12 + 24 + 12)  # margins, blocks, gaps, bar
    assert (rows[0], rows[-1]) == (12, 35)
    assert (columns[0], columns[-1]) == (12, 88)
    assert n_strokes(ink) == 3
    assert ink.max() == pytest.approx(1)


@pytest.mark.parametrize(("spacing", "strokes"), [(0.3, 5), (-0.2, 1)])
def test_spacing_from_gap_to_overlap(
    spacing: float, strokes: int, glyphs: dict[Split, Glyphs]
) -> None:
    writer = artist(glyphs, **{**STILL, "spacing": (spacing, spacing)})

    ink = writer.draw("train", np.full(5, 1), np.random.default_rng(0))

    assert n_strokes(ink) == strokes


def test_slant_leans_to_the_right_from_the_foot(glyphs: dict[Split, Glyphs]) -> None:
    ink = artist(glyphs, **{**STILL, "slant": (0.5, 0.5)}).draw(
        "train", np.array([0]), np.random.default_rng(0)
    )

    rows = np.flatnonzero(ink.max(1) > 0.5)
    top, foot = (np.flatnonzero(ink[row] > 0.3).mean() for row in (rows[0], rows[-1]))
    assert top - foot == pytest.approx(0.5 * (rows[-1] - rows[0]), abs=1.5)


@pytest.mark.parametrize("height", [16, 128])
@pytest.mark.parametrize("seed", range(4))
def test_extreme_recipes_stay_on_the_canvas(
    height: int, seed: int, glyphs: dict[Split, Glyphs]
) -> None:
    wild = {"digit_scale": 0.5, "digit_shift": 0.5, "digit_slant": 0.5, "scale": (0.1, 1)}
    wild |= {"spacing": (-0.5, -0.5), "slant": (-1, 1), "margin": (0, 0)}
    writer = artist(glyphs, height=height, **wild)

    rng = np.random.default_rng(seed)
    ink = writer.draw("train", rng.integers(11, size=30), rng)

    assert ink.shape[0] == height
    assert 0 <= ink.min() <= ink.max() <= 1
    assert ink.max() > 0.3


def ink_of(glyphs: Glyphs) -> set[bytes]:
    return {ink.tobytes() for ink in glyphs.ink}


@pytest.mark.parametrize("seed", [0, 1])
def test_no_source_digit_is_in_two_splits(seed: int, single_digits: Path) -> None:
    parts = read_glyphs(DigitsRecipe(source=f"csv:{single_digits}", seed=seed))

    found = [ink_of(parts[split]) for split in SPLITS]

    assert [len(part) for part in found] == [96, 12, 12]
    assert len(set.union(*found)) == 120


def test_the_seed_parts_the_source(single_digits: Path) -> None:
    first, second = (
        read_glyphs(DigitsRecipe(source=f"csv:{single_digits}", seed=seed)) for seed in (0, 1)
    )

    assert ink_of(first["test"]) != ink_of(second["test"])


def test_splits_of_the_source_are_kept(single_digits: Path) -> None:
    rows = list(csv.reader(single_digits.read_text().splitlines()))[1:]
    given = [(*row, "test" if i >= 90 else "train") for i, row in enumerate(rows)]
    table = single_digits.with_name("given.csv")
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "text", "split"), *given])
    all_ink = [read_glyphs(DigitsRecipe(source=f"csv:{table}", seed=seed)) for seed in (0, 1)]

    assert [len(ink_of(all_ink[0][split])) for split in SPLITS] == [81, 9, 30]
    assert ink_of(all_ink[0]["test"]) == ink_of(all_ink[1]["test"])


def test_a_split_without_symbols_is_refused(glyphs: dict[Split, Glyphs]) -> None:
    with pytest.raises(DataError, match="no character is left for the val split"):
        artist({**glyphs, "val": cut_glyphs([], [])})


def test_a_symbol_that_train_lacks_is_refused(glyphs: dict[Split, Glyphs]) -> None:
    block = np.zeros((9, 9), np.uint8)
    block[2:7, 2:7] = 255
    with pytest.raises(DataError, match="only the test split has x"):
        artist({**glyphs, "test": cut_glyphs([block], ["x"])})


def test_too_few_strings_for_the_symbols_are_refused(glyphs: dict[Split, Glyphs]) -> None:
    with pytest.raises(DataError, match="1 strings of train cannot show all 2 characters"):
        artist(glyphs, counts=Counts(train=1))
