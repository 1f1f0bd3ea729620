"""Write the drawing of packages and imports in ``docs/architecture.md``.

The layers are those that import-linter checks (``pyproject.toml``). The imports are read from the
source with grimp, the library behind import-linter. The drawing is a Mermaid block: an arrow means
"imports". If a chain of other arrows implies an arrow, it is omitted. The table below the drawing
has all imports. A test fails if the committed drawing is out of date.

Usage: python scripts/draw_architecture.py
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- drawing: written by scripts/draw_architecture.py -->"
END = "<!-- end of the drawing -->"

Imports = Mapping[str, frozenset[str]]
"""Packages that each package imports."""


def read_layers() -> list[str]:
    """Return the names of the packages, the highest layer first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [str(layer).removeprefix("ocrsearch.") for layer in layers]


def read_imports(layers: list[str]) -> Imports:
    """Return the packages that each package imports, in any of its modules."""
    graph = grimp.build_graph("ocrsearch", cache_dir=None)
    imports: dict[str, set[str]] = {layer: set() for layer in layers}
    for module in graph.modules:
        imported = map(_package_of, graph.find_modules_directly_imported_by(module))
        imports.setdefault(_package_of(module), set()).update(imported)
    return {layer: frozenset(imports[layer] - {layer, ""}) for layer in layers}


def _package_of(module: str) -> str:
    """Return the package of a module; empty for ``ocrsearch`` and ``ocrsearch.__main__``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] != "__main__" else ""


def shortest_arrows(layers: list[str], imports: Imports) -> list[tuple[str, str]]:
    """Return the imports that are not implied by a chain of other imports."""
    reached: dict[str, set[str]] = {}
    arrows = []
    for package in reversed(layers):
        direct = [other for other in layers if other in imports[package]]
        further = {name for other in direct for name in reached[other]}
        reached[package] = {*direct, *further}
        arrows += [(package, other) for other in direct if other not in further]
    return sorted(arrows, key=lambda arrow: (layers.index(arrow[0]), layers.index(arrow[1])))


def draw(layers: list[str], imports: Imports) -> str:
    """Return the Mermaid block and the table of all imports."""
    arrows = [f"    {a} --> {b}" for a, b in shortest_arrows(layers, imports)]
    rows = [["", *layers[1:]], ["---"] * len(layers)]
    rows += [
        [f"**{package}**", *("x" if other in imports[package] else "" for other in layers[1:])]
        for package in layers[:-1]
    ]
    table = ["| " + " | ".join(row) + " |" for row in rows]
    caption = "The package of the row imports the packages marked x:"
    return "\n".join(["```mermaid", "flowchart TD", *arrows, "```", "", caption, "", *table])


def with_drawing(text: str, drawing: str) -> str:
    """Return the page with the drawing between its marks replaced."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{drawing}\n\n{END}{after}"


def current_page() -> str:
    """Return the page with the drawing for the current code."""
    layers = read_layers()
    drawing = draw(layers, read_imports(layers))
    return with_drawing(PAGE.read_text(encoding="utf-8"), drawing)


def main() -> None:
    """Write the page."""
    PAGE.write_text(current_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
