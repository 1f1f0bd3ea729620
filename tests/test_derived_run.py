"""``run --data FOLDER``: the space follows from the images, and the same command resumes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ocrsearch
from ocrsearch.spaces import suggestion
from ocrsearch.spaces.derived import derive
from ocrsearch.studies.facts import study_facts
from ocrsearch.tuning.api import SearchResult

if TYPE_CHECKING:
    from tests.conftest import CommandResult

pytestmark = pytest.mark.slow


def test_a_study_goes_on_in_its_space_when_the_rules_have_changed(
    number_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Callable[..., CommandResult],
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("run", "--data", str(number_folder), "--workers", "1", "--json", "--epoch-budget")
    first = command(*words, "1").json()
    expected = ocrsearch.suggest_space(number_folder)
    assert first["study"] == number_folder.name
    assert first["suggested"]["space"] == expected
    assert first["suggested"]["detected"]["n_images"] == 32
    assert first["suggested"]["reasons"][0].startswith("32 training images of 2 characters")

    def other_rules(traits, *args, **kwargs):  # type: ignore[no-untyped-def]
        return derive(replace(traits, length_median=40.0), *args, **kwargs)

    monkeypatch.setattr(suggestion, "derive", other_rules)
    assert ocrsearch.suggest_space(number_folder) != expected
    lines: list[str] = []
    second: SearchResult = ocrsearch.search(
        data=number_folder,
        workers=1,
        epoch_budget=2,
        observer=lambda _, line: lines.append(line or ""),
    )
    assert second.study == first["study"]
    assert second.suggested is None
    facts = study_facts(ocrsearch.load_study(second.study).optuna_study)
    assert {**facts.space, "search": first["suggested"]["space"]["search"]} == expected
    assert "the study is resumed in the space that it began with" in lines
