"""``ocrsearch space list``, ``copy`` and ``suggest``: ready spaces, and those derived from data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

import ocrsearch
from ocrsearch.core.errors import OptionError
from ocrsearch.spaces.reading import load_space, space_from_dict
from ocrsearch.spaces.suggestion import ready_spaces
from tests.conftest import SPACE_YAML

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_ready_spaces_are_listed(command: Command) -> None:
    lines = command("space", "list").out.splitlines()
    for name in ready_spaces():
        assert any(line.startswith(f"{name} ") for line in lines)
    assert all(len(line) <= 100 for line in lines)
    spaces = command("space", "list", "--json").json()["spaces"]
    assert [space["name"] for space in spaces] == list(ready_spaces())
    assert all(space["description"].endswith((".", ")")) for space in spaces)


@pytest.mark.parametrize("name", list(ready_spaces()))
def test_a_ready_space_is_checked_by_name(command: Command, name: str) -> None:
    result = command("space", "check", name, "--json")
    assert (result.code, result.err) == (0, "")
    assert result.json()["n_parameters"] > 3


def test_a_space_is_copied_and_never_overwritten(command: Command) -> None:
    result = command("space", "copy", "captcha")
    assert (result.code, result.err) == (0, "")
    assert result.out == "captcha.yaml written; use it as: --space captcha.yaml\n"
    copied = Path("captcha.yaml").read_bytes()
    assert copied == ready_spaces()["captcha"].read_bytes()
    assert command("space", "check", "captcha.yaml").code == 0

    Path("captcha.yaml").write_text("mine", encoding="utf-8")
    result = command("space", "copy", "captcha")
    assert (result.code, result.out) == (2, "")
    assert "--output: captcha.yaml: exists already; give --force" in result.err
    assert Path("captcha.yaml").read_text(encoding="utf-8") == "mine"
    assert command("space", "copy", "captcha", "--force").code == 0
    assert Path("captcha.yaml").read_bytes() == copied


def test_a_copy_gets_another_name(command: Command) -> None:
    result = command("space", "copy", "quick", "-o", "new/a b.yaml")
    assert result.out.endswith("use it as: --space 'new/a b.yaml'\n")
    assert command("space", "copy", "quick", "-o", "mine").out.endswith("--space ./mine\n")
    for path in ("new/a b.yaml", "./mine"):
        assert command("space", "check", path).code == 0


@pytest.mark.parametrize("name", ["captchas", "", "captcha.yaml", "../captcha", "xyz"])
def test_names_that_are_none(command: Command, name: str) -> None:
    result = command("space", "copy", name)
    assert result.code != 0
    assert list(Path().iterdir()) == []


def test_a_file_of_a_ready_name_does_not_win(command: Command) -> None:
    Path("quick").write_text(SPACE_YAML, encoding="utf-8")
    ready = command("space", "check", "quick", "--json").json()["n_parameters"]
    own = command("space", "check", "./quick", "--json").json()["n_parameters"]
    assert ready != own == 4


def test_run_takes_names(command: Command) -> None:
    result = command("run", "--space", "captchas", "--data", "digits")
    assert result.code == 1
    assert "give one of amounts, captcha, " in result.err
    assert "did you mean 'captcha'?" in result.err
    result = command("run", "--space", "search_spaces/captcha.yaml", "--data", "digits")
    assert "no such file; the ready space is named 'captcha'" in result.err


def test_a_suggestion_is_a_space_with_reasons(command: Command, number_folder: Path) -> None:
    shown = command("space", "suggest", str(number_folder))
    written = command("space", "suggest", str(number_folder), "-o", "mine.yaml")
    as_json = command("space", "suggest", str(number_folder), "--json")
    assert [result.code for result in (shown, written, as_json)] == [0, 0, 0]
    assert shown.out == Path("mine.yaml").read_text(encoding="utf-8")
    assert "# 32 training images of 2 characters, 10 different characters (digits)" in shown.out
    *reasons, last = written.out.splitlines()
    assert last == "mine.yaml written; use it as: --space mine.yaml"
    content = as_json.json()
    assert reasons == content["reasons"]
    assert content["detected"]["n_images"] == 32
    loaded = load_space(Path("mine.yaml"))
    assert loaded == space_from_dict(content["space"], "mine")
    assert loaded == space_from_dict(ocrsearch.suggest_space(number_folder), "mine")


def test_a_suggestion_from_nothing_searches_networks(command: Command, number_folder: Path) -> None:
    def content(*options: str) -> dict[str, Any]:
        space: dict[str, Any] = command(
            "space", "suggest", str(number_folder), "--json", *options
        ).json()["space"]
        return space

    started, searched = content(), content("--from-nothing")
    assert started["init"] == "latin"
    assert started["model"]["encoder"]["conv_depth"] == 6
    assert "init" not in searched
    assert searched["model"]["encoder"]["conv_depth"] == {"int": [4, 6]}
    assert searched == ocrsearch.suggest_space(number_folder, from_nothing=True)


def test_a_suggestion_follows_the_data_options(command: Command, number_folder: Path) -> None:
    result = command("space", "suggest", str(number_folder), "--train-fraction", "0.5", "--json")
    assert result.json()["detected"]["n_images"] == 16
    half = ocrsearch.suggest_space(number_folder, train_fraction=0.5)
    assert half == result.json()["space"]
    with pytest.raises(OptionError, match="no such option"):
        ocrsearch.suggest_space(number_folder, trials=3)  # type: ignore[call-arg]


def test_a_suggestion_replaces_no_file(command: Command, number_folder: Path) -> None:
    Path("mine.yaml").write_text("mine", encoding="utf-8")
    result = command("space", "suggest", str(number_folder), "-o", "mine.yaml")
    assert (result.code, result.out) == (2, "")
    assert "mine.yaml: exists already; give --force" in result.err
    assert Path("mine.yaml").read_text(encoding="utf-8") == "mine"
    assert command("space", "suggest", str(number_folder), "-o", "mine.yaml", "--force").code == 0


@pytest.mark.parametrize("names", [[], ["7"], ["blank1", "blank2", "blank3"]])
def test_no_suggestion_for_too_little_data(command: Command, names: list[str]) -> None:
    Path("data").mkdir()
    for name in names:
        image = np.full((20, 40), 255, np.uint8)
        if not name.startswith("blank"):
            image[5:15, 10:12] = 0
        cv2.imwrite(f"data/{name}.png", image)
    result = command("space", "suggest", "data")
    assert (result.code, result.out) == (1, "")
    message = result.err.splitlines()[-1]
    assert message.startswith("ocrsearch: data: ")
    assert "Traceback" not in result.err
