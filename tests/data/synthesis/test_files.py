"""Sets as files: readable, the same however made, whole or not there."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from ocrsearch.core.errors import OptionError
from ocrsearch.data.dataset import load_dataset
from ocrsearch.data.samples import SPLITS
from ocrsearch.data.synthesis.recipe import (
    Counts,
    DigitsRecipe,
    TextRecipe,
    load_recipe,
)
from ocrsearch.data.synthesis.synthesizer import Synthesizer, open_synthesizer, write_set
from tests.conftest import folder_contents

COUNTS = Counts(train=110, val=5, test=7)


@pytest.fixture
def synthesizer(single_digits: Path) -> Synthesizer:
    return open_synthesizer(DigitsRecipe(source=f"csv:{single_digits}", counts=COUNTS, seed=5))


def test_files_are_read_as_they_were_drawn(synthesizer: Synthesizer, tmp_path: Path) -> None:
    write_set(synthesizer, tmp_path / "set", 1)

    dataset = load_dataset(f"csv:{tmp_path / 'set' / 'labels.csv'}")

    assert dataset.bad == []
    for split in SPLITS:
        part = dataset.splits[split]
        assert len(part) == COUNTS.of(split)
        for i, (image, text) in enumerate(zip(part.images, part.texts, strict=True)):
            drawn, shown = synthesizer.image(split, i)
            np.testing.assert_array_equal(image, drawn)
            assert text == shown


def test_the_number_of_processes_changes_nothing(synthesizer: Synthesizer, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    write_set(synthesizer, tmp_path / "one", 1)
    write_set(synthesizer, tmp_path / "two", 2, lambda done, n: told.append((done, n)))

    assert folder_contents(tmp_path / "one") == folder_contents(tmp_path / "two")
    assert told == [(50, 122), (100, 122), (110, 122), (115, 122), (122, 122)]


def test_the_recipe_beside_the_files_makes_them_again(
    synthesizer: Synthesizer, tmp_path: Path
) -> None:
    write_set(synthesizer, tmp_path / "set", 1)

    again = open_synthesizer(load_recipe(tmp_path / "set" / "recipe.yaml"))
    write_set(again, tmp_path / "again", 1)

    assert folder_contents(tmp_path / "again") == folder_contents(tmp_path / "set")


def test_many_pictures_are_in_several_folders(tmp_path: Path) -> None:
    class Blank:
        def choose(self, split: object, index: int, rng: object) -> tuple[str, None]:
            return str(index), None

        def draw(self, split: object, chosen: None, rng: object) -> np.ndarray:
            return np.zeros((16, 4), np.float32)

    recipe = DigitsRecipe(counts=Counts(train=2001, val=1, test=0))

    write_set(Synthesizer(recipe, Blank()), tmp_path / "set", 1)

    names = sorted(folder_contents(tmp_path / "set"))
    folders = {str(Path(name).parent) for name in names if name.endswith(".png")}
    assert folders == {"train/000", "train/001", "train/002", "val/000"}
    assert len(names) == 2004
    assert "train/002/002000.png" in names


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_is_there_is_not_overwritten(
    is_folder: bool, synthesizer: Synthesizer, tmp_path: Path
) -> None:
    taken = tmp_path / "set"
    if is_folder:
        taken.mkdir()
        (taken / "mine.txt").write_text("mine")
    else:
        taken.write_text("mine")

    with pytest.raises(OptionError, match="folder is not empty"):
        write_set(synthesizer, taken, 1)

    assert len(list(tmp_path.rglob("*"))) == 1 + is_folder


def test_an_empty_folder_is_filled(synthesizer: Synthesizer, tmp_path: Path) -> None:
    (tmp_path / "deep" / "set").mkdir(parents=True)

    write_set(synthesizer, tmp_path / "deep" / "set", 1)

    assert len(folder_contents(tmp_path / "deep" / "set")) == 124
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_nothing_is_left_when_it_is_interrupted(synthesizer: Synthesizer, tmp_path: Path) -> None:
    def interrupt(done: int, n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_set(synthesizer, tmp_path / "set", 1, interrupt)

    assert list(tmp_path.iterdir()) == []


def test_lines_with_commas_are_read_back(fonts: Path, corpus: Path, tmp_path: Path) -> None:
    recipe = TextRecipe(
        fonts=str(fonts), corpus=str(corpus), counts=COUNTS, max_entries=3, joiners=(", ",)
    )
    synthesizer = open_synthesizer(recipe)

    write_set(synthesizer, tmp_path / "set", 1)

    texts = load_dataset(f"csv:{tmp_path / 'set' / 'labels.csv'}").splits["train"].texts
    assert texts == [synthesizer.text("train", i) for i in range(COUNTS.train)]
    assert any("," in text for text in texts)


def test_a_script_that_cannot_be_run_again(
    synthesizer: Synthesizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one on standard input."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    script = str(tmp_path / "<stdin>")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", script, raising=False)
    write_set(synthesizer, tmp_path / "set", 2)
    assert (tmp_path / "set" / "labels.csv").exists()
