"""Recipes: strict, portable, the same on disk and as plain data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ocrsearch.core.errors import DataError
from ocrsearch.data.samples import SPLITS
from ocrsearch.data.synthesis.recipe import (
    KINDS,
    Counts,
    DigitsRecipe,
    Paper,
    TextRecipe,
    load_recipe,
    parse_recipe,
    save_recipe,
)


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_smallest_recipe(tmp_path: Path) -> None:
    recipe = load_recipe(write(tmp_path, '{kind: digits, source: "mnist:some/mnist"}'))

    assert isinstance(recipe, DigitsRecipe)
    assert recipe == DigitsRecipe(source=f"mnist:{tmp_path / 'some' / 'mnist'}")
    assert recipe.fresh


@pytest.mark.parametrize("recipe", [DigitsRecipe(), TextRecipe(fonts="f", corpus="c")])
def test_defaults_are_allowed(recipe: DigitsRecipe | TextRecipe) -> None:
    plain = json.loads(json.dumps(recipe.model_dump(mode="json")))

    assert parse_recipe(plain, "here") == recipe


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{kind: words}", "kind: found 'words', must be one of ['digits', 'text']"),
        ("{source: digits}", "kind: found null"),
        ("{kind: [digits]}", "kind: found ['digits']"),
        ("{kind: digits, sorce: x}", "sorce: unknown key; did you mean 'source'?"),
        ("{kind: digits, fonts: x}", "fonts: unknown key"),
        ("{kind: digits, paper: {blurr: [0, 1]}}", "did you mean 'paper.blur'?"),
        ("{kind: text, fonts: x}", "corpus: is missing"),
        ("{kind: digits, min_length: 4, max_length: 3}", "min_length: found 4, must be at most"),
        (
            "{kind: digits, min_length: 0}",
            "min_length: found 0, must be at least 1",
        ),
        ("{kind: digits, scale: [0.9, 0.5]}", "scale: found [0.9, 0.5], must be two numbers from"),
        ("{kind: digits, scale: [0.5, 1.5]}", "from 0.1 to 1, the lower one first"),
        ("{kind: digits, paper: {backgrounds: []}}", "paper.backgrounds"),
        ("{kind: digits, paper: {backgrounds: [wood]}}", "found 'wood'"),
        ("{kind: digits, paper: {noise: [0, .nan]}}", "finite number"),
        ("{kind: digits, counts: {train: 0}}", "counts.train: found 0"),
        ("{kind: digits, kind: text}", "duplicate key 'kind'"),
        ("[kind, digits]", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_recipe(write(tmp_path, text))

    message = str(caught.value)
    assert message.startswith(str(tmp_path / "recipe.yaml"))
    assert expected in message
    assert "\n" not in message


def test_missing_file_is_an_error_of_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_recipe(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    "source", ["digits", "mnist:../mnist", "csv:labels.csv", "plain/folder", "iam:/abs/olute"]
)
def test_saved_recipe_is_loaded_as_it_was(source: str, tmp_path: Path) -> None:
    recipe = DigitsRecipe(source=source, seed=3, paper=Paper(noise=(1, 2))).relative_to(tmp_path)
    (tmp_path / "below").mkdir()

    save_recipe(recipe, tmp_path / "below" / "recipe.yaml")

    loaded = load_recipe(tmp_path / "below" / "recipe.yaml")
    resolved = loaded.with_paths(lambda path: str(Path(path).resolve()))
    assert resolved == recipe.with_paths(lambda path: str(Path(path).resolve()))
    written = (tmp_path / "below" / "recipe.yaml").read_text()
    assert str(tmp_path) not in written


@pytest.mark.parametrize(
    ("n", "parts"), [(1, (1, 0, 0)), (19, (17, 1, 1)), (1000, (800, 100, 100))]
)
def test_counts_of_a_total(n: int, parts: tuple[int, int, int]) -> None:
    counts = Counts.of_total(n)

    assert tuple(counts.of(split) for split in SPLITS) == parts


def test_each_picture_has_its_own_randomness() -> None:
    recipe = DigitsRecipe()
    keys = [
        *((split, index, epoch) for split in SPLITS for index in range(3) for epoch in range(3)),
    ]

    first = {recipe.rng_of(split, index, epoch).random() for split, index, epoch in keys}

    assert len(first) == len(keys)
    assert recipe.rng_of("val", 2, 1).random() == recipe.rng_of("val", 2, 1).random()
    assert DigitsRecipe(seed=1).rng_of("val", 2, 1).random() not in first


def test_kinds_name_themselves() -> None:
    assert {kind: model.model_fields["kind"].default for kind, model in KINDS.items()} == {
        kind: kind for kind in KINDS
    }
