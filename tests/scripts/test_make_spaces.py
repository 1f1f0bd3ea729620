"""The ready spaces that follow from the rules are those that the rules give now."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPACES: dict[str, str] = runpy.run_path(str(ROOT / "scripts" / "make_spaces.py"))["spaces"]()


@pytest.mark.parametrize("name", SPACES)
def test_a_file_is_what_the_rules_give(name: str) -> None:
    file = ROOT / "search_spaces" / f"{name}.yaml"
    assert file.read_text(encoding="utf-8") == SPACES[name], "run scripts/make_spaces.py"
