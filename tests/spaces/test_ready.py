"""Ready spaces by name, files by path, dicts; anything else is one line."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocrsearch.core.errors import SpaceError
from ocrsearch.spaces import suggestion as ready
from ocrsearch.spaces.reading import load_space
from ocrsearch.spaces.suggestion import (
    describe_space,
    find_space,
    open_space,
    ready_spaces,
)
from tests.conftest import SPACE_YAML

NAMES = ["amounts", "captcha", "classifier", "crnn", "digits", "lines", "quick", "seq2seq", "words"]

CONTENT: dict[str, Any] = {
    "model": {"architecture": "crnn", "encoder": {"conv_depth": {"int": [2, 3]}}},
    "training": {"learning_rate": {"float": [1e-3, 1e-2], "log": True}, "epochs": 3},
}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_all_ready_spaces_are_found_and_described() -> None:
    assert list(ready_spaces()) == NAMES
    for name in NAMES:
        space = open_space(name)
        assert space.name == name
        assert space == load_space(ready_spaces()[name])
        assert len(describe_space(ready_spaces()[name])) > 20


def test_an_installed_package_has_them_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = tmp_path / "ocrsearch" / "spaces"
    shutil.copytree(ready_spaces()["quick"].parent, inside)
    monkeypatch.setattr(ready, "FOLDERS", (inside, tmp_path / "search_spaces"))
    ready_spaces.cache_clear()
    try:
        assert find_space("quick") == inside / "quick.yaml"
    finally:
        ready_spaces.cache_clear()


def test_a_file_counts_by_its_path_or_ending_alone(tmp_path: Path) -> None:
    for name in ("quick", "quick.yaml", "mine", "mine.yml"):
        Path(name).write_text(SPACE_YAML, encoding="utf-8")
    assert find_space("quick") == ready_spaces()["quick"]
    assert find_space("./quick") == find_space(tmp_path / "quick").relative_to(tmp_path)
    assert find_space("quick.yaml") == Path("quick.yaml")
    assert find_space("mine") == Path("mine")
    assert open_space(Path("mine.yml")).name == "mine"


@pytest.mark.parametrize("space", [CONTENT, {**CONTENT, "search": {"sampler": {"name": "random"}}}])
def test_a_dict_has_the_shape_of_a_file(space: dict[str, Any]) -> None:
    checked = open_space(space)
    assert checked.name == "space"
    assert [p.path for p in checked.parameters] == [
        "model.encoder.conv_depth",
        "training.learning_rate",
    ]


def test_a_dict_may_hold_tuples_and_numbers_of_numpy() -> None:
    space: dict[str, Any] = {
        "images": {"height": {"choice": (np.int64(24), 32)}},
        "training": {"learning_rate": {"float": np.array([1e-3, 1e-2]).tolist()}, "epochs": 3},
    }
    checked = open_space(space)
    space["images"]["height"] = 7  # a later change has no effect
    assert checked.content["images"] == {"height": {"choice": [24, 32]}}
    assert all(type(v) is int for v in checked.content["images"]["height"]["choice"])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("captchas", r"path of a YAML file; did you mean 'captcha'\?$"),
        ("xyz", r"space 'xyz': no ready space of this name; give one of amounts, captcha"),
        ("", "folder|there is none"),
        ("search_spaces/quick.yaml", "no such file; the ready space is named 'quick'"),
        ("quick.yaml", "quick.yaml: no such file; the ready space is named 'quick'"),
        ("mine.yaml", "mine.yaml: no such file"),
        ("a" * 5000, "no ready space of this name"),
        ("a\0b", "no ready space of this name"),
        (None, "space: found null, must be the name of a ready space"),
        (3, "space: found 3, must be the name"),
        (["quick"], r"space: found \['quick'\], must be the name"),
        (b"quick", "space: found b'quick', must be the name"),
        ({"training": {"epoch": 3}}, "^space: training.epoch: unknown key; did you mean"),
        ({"training": {"epochs": -1}}, "^space: training.epochs: found -1, must be at least 1"),
        ({"training": {"epochs": object()}}, "^space: training: epochs: found <object"),
        ({"training": {"epochs": np.zeros(3)}}, "^space: training: epochs: found array"),
        ({3: 4}, "^space: "),
        ({"training": 3}, "^space: training: found 3, must be a section"),
        ({"init": "missing.pt"}, "^space: init: missing.pt: no such model file"),
    ],
)
def test_anything_else_is_one_line(space: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        open_space(space)
    assert "\n" not in str(caught.value)


def test_a_dict_within_itself() -> None:
    space: dict[str, Any] = {}
    space["training"] = space
    with pytest.raises(SpaceError, match=r"^space: too deeply nested"):
        open_space(space)
