"""What the README shows exists: files, spaces, commands. See also ``test_docs.py``."""

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
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, flags=re.DOTALL)


def blocks(language: str) -> list[str]:
    return [block for found, block in BLOCKS if found == language]


@pytest.mark.parametrize("name", sorted(set(re.findall(r"(?:scripts|docs)/\w+\.\w+", README))))
def test_files_exist(name: str) -> None:
    assert (ROOT / name).is_file()


def test_every_command_is_in_the_readme() -> None:
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for name in group.commands:
        assert f"ocrsearch {name}" in README


def test_every_ready_space_is_in_the_readme() -> None:
    for name in ready_spaces():
        assert f"| `{name}`" in README or f" `{name}` |" in README


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^make (\w+)", README, flags=re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert targets == {"run", "test"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)


def test_the_space_is_one() -> None:
    space, search = blocks("yaml")
    parsed = parse_space(space + search, "README")
    assert len(parsed.parameters) == 5
    assert isinstance(parsed.settings.pruner, AshaSettings)
    assert parsed.settings.constraints.size_mb == 10


def test_all_samplers_and_pruners_are_named() -> None:
    text = blocks("yaml")[1]
    pruners = get_args(get_args(PrunerSettings)[0])
    names = [*get_args(SamplerName), *(kind.model_fields["name"].default for kind in pruners)]
    assert [name for name in names if name not in text] == []


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]*)(#[^)]+)\)", README))
def test_links_lead_to_headings(link: tuple[str, str]) -> None:
    path, anchor = link
    text = (ROOT / path).read_text(encoding="utf-8") if path else README
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]
    assert anchor.removeprefix("#") in anchors
