"""Packages are entered through their ``__init__``, whose names all exist."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import ocrsearch

ROOT = Path(ocrsearch.__file__).parent
PACKAGES = sorted(p.parent for p in ROOT.rglob("__init__.pyi"))


def dotted(path: Path) -> str:
    """Return the name by which a module or a package is imported."""
    return ".".join(("ocrsearch", *path.relative_to(ROOT).with_suffix("").parts))


def past_the_door(module: Path) -> list[str]:
    """Return the imports of a module that reach into a package in which it is not."""
    here = f"{dotted(module)}."
    found = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module != "ocrsearch":
            package = max(
                (p for p in map(dotted, PACKAGES) if f"{node.module}.".startswith(f"{p}.")),
                key=len,
                default=None,
            )
            inside = package is None or node.module == package or here.startswith(f"{package}.")
            if not inside:
                found.append(f"{dotted(module)}:{node.lineno}: {node.module}; import {package}")
    return found


def test_there_is_no_package_without_names_for_others() -> None:
    others = {p.parent for p in ROOT.rglob("__init__.py")} - set(PACKAGES)
    assert others == {ROOT, ROOT / "cli"}


def test_other_packages_enter_through_the_init() -> None:
    modules = [p for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py"]
    assert [line for module in modules for line in past_the_door(module)] == []


@pytest.mark.parametrize("package", PACKAGES, ids=dotted)
def test_names_of_a_package_exist(package: Path) -> None:
    module = importlib.import_module(dotted(package))
    assert module.__all__
    for name in module.__all__:
        getattr(module, name)


def test_an_import_past_the_init_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ROOT / "cli" / "wrong.py"
    text = "from ocrsearch.data.dataset import Dataset\nfrom ocrsearch.data import load_dataset\n"
    monkeypatch.setattr(Path, "read_text", lambda *args, **kwargs: text)
    (line,) = past_the_door(module)
    assert line.startswith("ocrsearch.cli.wrong:1: ocrsearch.data.dataset")
