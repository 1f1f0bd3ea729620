"""The script that draws the packages: the committed drawing is current, and arrows are minimal."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

from tests.conftest import load_script


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    return load_script("draw_architecture")


def test_the_committed_drawing_is_current(drawing: ModuleType) -> None:
    page = drawing.PAGE.read_text(encoding="utf-8")
    assert page == drawing.current_page(), "run: python scripts/draw_architecture.py"


def test_each_package_is_in_the_drawing_and_its_question_in_the_table(drawing: ModuleType) -> None:
    page = drawing.PAGE.read_text(encoding="utf-8")
    packages = {path.parent.name for path in drawing.ROOT.glob("ocrsearch/*/__init__.py")}
    assert set(drawing.read_layers()) == packages
    assert packages == set(re.findall(r"^\| `(\w+)` \| .*\? \|", page, flags=re.MULTILINE))
    arrows = re.findall(r"^    (\w+) --> (\w+)$", page, flags=re.MULTILINE)
    assert {name for arrow in arrows for name in arrow} == packages


def test_files_that_the_page_names_exist(drawing: ModuleType) -> None:
    page = drawing.PAGE.read_text(encoding="utf-8")
    names = re.findall(r"`([a-z_]+/[\w/]+(?:\.py|/))(?:: (\w+))?`", page)
    assert len(names) > 20
    for name, defined in names:
        path = drawing.ROOT / ("" if name.startswith("scripts/") else "ocrsearch") / name
        assert path.exists(), name
        assert not defined or f"def {defined}(" in path.read_text(encoding="utf-8"), defined


def test_imports_go_down_only(drawing: ModuleType) -> None:
    layers = drawing.read_layers()
    imports = drawing.read_imports(layers)
    assert imports["data"] == {"core"}
    for i, package in enumerate(layers):
        assert imports[package] <= set(layers[i + 1 :])


def test_arrows_that_follow_from_others_are_omitted(drawing: ModuleType) -> None:
    layers = ["a", "b", "c", "d"]
    imports = {"a": {"b", "c"}, "b": {"c", "d"}, "c": set(), "d": set()}
    assert drawing.shortest_arrows(layers, imports) == [("a", "b"), ("b", "c"), ("b", "d")]
    text = drawing.draw(layers, imports)
    assert "    b --> d\n" in text
    assert "| **a** | x | x |  |" in text


def test_the_text_around_the_drawing_stays(drawing: ModuleType) -> None:
    page = f"before\n{drawing.BEGIN}old{drawing.END}\nafter\n"
    once = drawing.with_drawing(page, "new")
    assert once == f"before\n{drawing.BEGIN}\n\nnew\n\n{drawing.END}\nafter\n"
    assert drawing.with_drawing(once, "new") == once
