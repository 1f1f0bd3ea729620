"""``ocrsearch data synth``: sets from the command line."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import ImageFont

from ocrsearch.data.dataset import load_dataset
from ocrsearch.data.synthesis.recipe import load_recipe

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a font and a corpus."""
    font = ImageFont.load_default(20)
    assert isinstance(font, ImageFont.FreeTypeFont)
    assert isinstance(font.path, BytesIO)
    (tmp_path / "font.ttf").write_bytes(font.path.getvalue())
    entries = [f"{a}{b} street" for a in "abcdef" for b in "ghijk"]
    (tmp_path / "corpus.txt").write_text("\n".join([*entries, "漢字"]), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_digits(command: Command, folder: Path) -> None:
    result = command("data", "synth", "digits", "-o", "set", "--n", 40, "--max-length", 3)

    assert result.code == 0, result.err
    assert result.err == ""
    first, second = result.out.splitlines()
    assert first.startswith("40 images (train 32, val 4, test 4) in set, ")
    assert second == "use them as: --data csv:set/labels.csv"
    splits = load_dataset("csv:set/labels.csv").splits
    assert {split: len(part) for split, part in splits.items()} == {
        "train": 32,
        "val": 4,
        "test": 4,
    }
    assert {len(text) for text in splits["train"].texts} == {1, 2, 3}


def test_text_says_what_is_left_out_once(command: Command, folder: Path) -> None:
    result = command(
        *("data", "synth", "text", "-o", "set", "--fonts", "font.ttf", "--corpus", "corpus.txt"),
        *("--n", 50, "--seed", 4, "--json"),
    )

    assert result.code == 0, result.err
    content = result.json()
    assert [content[name] for name in ("folder", "n", "train", "val", "test")] == [
        "set",
        50,
        40,
        5,
        5,
    ]
    assert [line.removeprefix("note: ") for line in result.err.splitlines()] == content["notes"]
    assert "font.ttf lacks 字 漢" in content["notes"][0]
    recipe = load_recipe(folder / "set" / "recipe.yaml")
    assert recipe.seed == 4
    assert (folder / "set" / "recipe.yaml").read_text().count("../") == 2


def test_options_come_before_the_recipe(command: Command, folder: Path) -> None:
    (folder / "below").mkdir()
    (folder / "below" / "r.yaml").write_text(
        "{kind: text, fonts: ../font.ttf, corpus: ../corpus.txt, seed: 1, height: 30, "
        "counts: {train: 30, val: 2, test: 1}}"
    )

    result = command(
        *("data", "synth", "text", "-o", "set", "--config", "below/r.yaml", "--seed", 9)
    )

    assert result.code == 0, result.err
    recipe = load_recipe(folder / "set" / "recipe.yaml")
    assert (recipe.seed, recipe.height, recipe.counts.val) == (9, 30, 2)
    images = load_dataset("csv:set/labels.csv").splits["train"].images
    assert {image.shape[0] for image in images} == {30}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("digits", "--min-length", 11), 2, "--min-length: found 11, must be at most max_length"),
        (("digits", "--seed", -1), 2, "--seed: must be at least 0, got -1"),
        (("digits", "--source", "nowhere"), 1, "nowhere: no such file"),
        (("digits", "--config", "none.yaml"), 1, "none.yaml: no such file"),
        (("digits", "--config", "text.yaml"), 2, "is a recipe of kind text, not digits"),
        (("digits", "--n", 3), 1, "3 strings of train cannot show all 10 characters"),
        (("text",), 2, "give --fonts and --corpus"),
        (("text", "--fonts", "font.ttf", "--corpus", "none.txt"), 1, "none.txt: no such file"),
    ],
)
def test_what_is_wrong_is_one_line(
    arguments: tuple[object, ...], code: int, message: str, command: Command, folder: Path
) -> None:
    (folder / "text.yaml").write_text("{kind: text, fonts: font.ttf, corpus: corpus.txt}")

    result = command("data", "synth", *arguments, "-o", "set")

    assert result.code == code
    assert result.out == ""
    line = result.err.splitlines()[-1]
    assert line.startswith("ocrsearch: ")
    assert message in line
    assert not (folder / "set").exists()


def test_a_folder_in_use_is_refused(command: Command, folder: Path) -> None:
    result = command("data", "synth", "digits", "-o", ".", "--n", 20)

    assert result.code == 2
    assert "folder is not empty" in result.err
