"""A study keeps its space whole, so that it goes on in it whatever the rules are by then."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocrsearch.core.errors import (
    OcrSearchError,
    SpaceError,
    StudyError,
)
from ocrsearch.spaces.reading import parse_space
from ocrsearch.spaces.space import Space
from ocrsearch.spaces.suggestion import open_space
from ocrsearch.studies.database import open_storage
from ocrsearch.studies.facts import FACTS, StudyFacts, stored_space
from ocrsearch.studies.study import ConfigurationStudy, open_study
from ocrsearch.tuning.api import default_name, search

MINE = """
images: {height: {choice: [16, 32]}}
model: {architecture: crnn}
search:
  sampler: {name: random}
  pruner: {name: asha, rungs: [1, 3]}
  constraints: {size_mb: 3}
  try_first: [{images: {height: 32}}]
"""


def begun(folder: Path, space: Space, **facts: Any) -> ConfigurationStudy:
    storage = open_storage(f"sqlite:///{folder / 's.db'}", create=True)
    known = StudyFacts(space.name, space.content, "digits", "f", {}, {}, 0)
    open_study(storage, "s", space, replace(known, **facts))
    return ConfigurationStudy("s", storage)


def settings_of(space: Space) -> dict[str, Any]:
    return space.settings.model_dump(mode="json")


@pytest.mark.parametrize("name", ["captcha", "classifier", "lines", "mine"])
def test_a_study_keeps_its_space(tmp_path: Path, name: str) -> None:
    space = parse_space(MINE, "mine") if name == "mine" else open_space(name)
    assert stored_space(begun(tmp_path, space, search=settings_of(space))) == space


def test_the_settings_are_those_of_the_last_run(tmp_path: Path) -> None:
    space = parse_space(MINE, "mine")
    begun(tmp_path, space, search=settings_of(space))
    changed = parse_space(MINE.replace("[1, 3]", "[2, 6]"), "mine")
    stored = stored_space(begun(tmp_path, changed, search=settings_of(changed)))
    assert stored == changed


def test_a_study_of_an_older_version_has_a_ready_space(tmp_path: Path) -> None:
    space = open_space("words")
    assert stored_space(begun(tmp_path, space)) == space


@pytest.mark.parametrize("name", ["mine", "words"])
def test_a_study_of_an_older_version_has_a_space_of_its_own(tmp_path: Path, name: str) -> None:
    study = begun(tmp_path, parse_space(MINE, name))
    with pytest.raises(StudyError, match=f"'s': created by an older version with space '{name}'"):
        stored_space(study)


@pytest.mark.parametrize("search", [7, {"sampler": {"name": "x"}}, {"try_first": [{"a": 1}]}])
def test_damaged_settings_are_one_line(tmp_path: Path, search: Any) -> None:
    study = begun(tmp_path, parse_space(MINE, "mine"))
    study.set_user_attr(FACTS, {**study.user_attrs[FACTS], "search": search})
    with pytest.raises(OcrSearchError) as caught:
        stored_space(study)
    assert "\n" not in str(caught.value)
    assert "search" in str(caught.value)


def test_a_study_without_facts_has_none(tmp_path: Path) -> None:
    storage = open_storage(f"sqlite:///{tmp_path / 's.db'}", create=True)
    storage.create_new_study([], "s")
    assert stored_space(ConfigurationStudy("s", storage)) is None


def test_names_without_a_space() -> None:
    assert default_name(None, "captcha:some/numbers") == "numbers"
    assert default_name(None, "digits") == "digits"
    assert default_name(open_space("quick"), "digits") == "quick-digits"


def test_a_dataset_in_the_place_of_a_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("captcha").mkdir()
    Path("images").mkdir()
    for folder in ("images", str(tmp_path)):
        with pytest.raises(SpaceError, match="if it holds labelled images, give it as the data"):
            search(folder)
    assert open_space("captcha").name == "captcha"  # whatever else has its name
