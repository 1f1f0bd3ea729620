"""``ocrsearch space list`` and ``copy``: the ready spaces by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrsearch.search.ready import ready_spaces
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
