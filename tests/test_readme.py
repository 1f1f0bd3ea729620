"""What the README and the guides show exists: files, spaces, commands. See ``test_docs.py``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import typer.main
from typer.core import TyperGroup

from ocrsearch.cli.app import app
from ocrsearch.spaces.reading import parse_space
from ocrsearch.spaces.settings import (
    AshaSettings,
    PrunerSettings,
    SamplerName,
)
from ocrsearch.spaces.suggestion import ready_spaces

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [README, *(p.read_text(encoding="utf-8") for p in (ROOT / "docs").rglob("*.md"))]
SPACES = (ROOT / "docs" / "guides" / "spaces.md").read_text(encoding="utf-8")
YAML = re.findall(r"```yaml\n(.*?)```", SPACES, flags=re.DOTALL)


@pytest.mark.parametrize(
    "name", sorted(set(re.findall(r"(?:scripts|docs)/[\w/]+\.\w+", "".join(PAGES))))
)
def test_files_exist(name: str) -> None:
    assert (ROOT / name).is_file()


def test_every_command_is_in_a_guide() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for name in group.commands:
        assert any(f"ocrsearch {name}" in page for page in PAGES)


def test_every_ready_space_is_in_the_guide() -> None:
    for name in ready_spaces():
        assert f"| `{name}`" in SPACES or f" `{name}` |" in SPACES


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^make (\w+)", README, flags=re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == {"run", "test"}
    assert "`make docs`" in README
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_the_space_is_one() -> None:
    space, search = YAML
    parsed = parse_space(space + search, "guide")
    assert len(parsed.parameters) == 5
    assert isinstance(parsed.settings.pruner, AshaSettings)
    assert parsed.settings.constraints.size_mb == 10


def test_all_samplers_and_pruners_are_named() -> None:
    text = YAML[1]
    pruners = get_args(get_args(PrunerSettings)[0])
    names = [*get_args(SamplerName), *(kind.model_fields["name"].default for kind in pruners)]
    assert [name for name in names if name not in text] == []
