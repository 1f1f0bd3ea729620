"""Build of the light distribution: the modules that reading models of ONNX needs.

They are found from the imports, so no list can become outdated. Beginning with ENTRIES, all imports
are followed, also those inside functions. A module is left out if it needs a package that is not
among PACKAGES when it is imported; the program reports that at the place where it is imported.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "ocrsearch"

ENTRIES = (
    *("ocrsearch", "ocrsearch.__main__", "ocrsearch.cli.light"),
    # names of ocrsearch/__init__.py, which are imported when they are first used
    *("ocrsearch.core.errors", "ocrsearch.data.data_options", "ocrsearch.inference.decoding"),
    "ocrsearch.inference.predictor",
    "ocrsearch.data.images.pdf_renderer",  # run as a program
    # label formats, which are imported by their names
    *(f"ocrsearch.data.formats.{name}" for name in ("folders", "published", "tables")),
)

EXCLUDED = ("ocrsearch.cli.app",)
"""Modules that are left out although they need no other package."""

PACKAGES = frozenset(
    (
        *("PIL", "bidi", "cv2", "lazy_loader", "numpy", "onnxruntime", "pydantic"),
        *("pydantic_core", "pypdfium2", "rapidfuzz", "rich", "typer", "typing_extensions", "yaml"),
        *("fastapi", "python_multipart", "starlette", "uvicorn"),
    )
)
"""Packages that the distribution requires, or that an extra of it does."""


class Import(NamedTuple):
    """An import of a module.

    Attributes:
        target: module that is imported.
        is_lazy: whether it is inside a function.
    """

    target: str
    is_lazy: bool


class Source:
    """The modules in a checkout."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path_of(self, module: str) -> Path | None:
        """Return the file of a module, None if there is no such module."""
        place = self._root.joinpath(*module.split("."))
        paths = (place / "__init__.py", place.with_name(f"{place.name}.py"))
        return next((path for path in paths if path.is_file()), None)

    @cache  # noqa: B019 - lives as long as the build
    def _stub(self, package: str) -> dict[str, str]:
        """Return the module that each name of a package comes from."""
        path = self._root.joinpath(*package.split("."), "__init__.pyi")
        if not path.is_file():
            return {}
        return {
            name.asname or name.name: self._target(f"{package}.{line.module}", name.name)
            for line in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(line, ast.ImportFrom)
            for name in line.names
        }

    def _target(self, module: str, name: str) -> str:
        """Return the module that ``from module import name`` imports."""
        if self.path_of(f"{module}.{name}"):
            return f"{module}.{name}"
        return self._stub(module).get(name, module)

    @cache  # noqa: B019
    def imports(self, module: str) -> tuple[Import, ...]:
        """Return what a module imports, except for the types."""
        path = self.path_of(module)
        assert path is not None, module
        tree = ast.parse(path.read_text(encoding="utf-8"))
        return tuple(
            Import(self._target(name, part) if part else name, is_lazy)
            for name, part, is_lazy in _import_lines(tree, is_lazy=False)
        )

    @cache  # noqa: B019
    def foreign(self, module: str) -> frozenset[str]:
        """Return the packages outside PACKAGES that are imported together with a module."""
        found: set[str] = set()
        seen: set[str] = set()
        waiting = [module]
        while waiting:
            current = waiting.pop()
            if current in seen:
                continue
            seen.add(current)
            for line in self.imports(current):
                top = line.target.partition(".")[0]
                if line.is_lazy or top in sys.stdlib_module_names:
                    continue
                if top == NAME:
                    waiting.append(line.target)
                elif top not in PACKAGES:
                    found.add(top)
        return frozenset(found)


def _import_lines(node: ast.AST, *, is_lazy: bool) -> Iterator[tuple[str, str, bool]]:
    """Yield module, name (empty for ``import module``) and laziness of each import below a node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((name.name, "", is_lazy) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.module is not None, "imports are absolute"
            yield from ((child.module, name.name, is_lazy) for name in child.names)
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _import_lines(other, is_lazy=is_lazy)
        else:
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _import_lines(child, is_lazy=is_lazy or inside)


class Selection(NamedTuple):
    """The modules of the light distribution.

    Attributes:
        included: modules of the distribution.
        left_out: modules that these may import, with the packages that they need.
    """

    included: set[str]
    left_out: dict[str, frozenset[str]]


def select(source: Source) -> Selection:
    """Follow the imports and choose the modules.

    Raises:
        ValueError: an entry needs a package that is not in the distribution.
    """
    found = Selection(set(), {})
    waiting = list(ENTRIES)
    while waiting:
        module = waiting.pop()
        if module in found.included or module in found.left_out or module in EXCLUDED:
            continue
        if foreign := source.foreign(module):
            found.left_out[module] = foreign
            continue
        found.included.add(module)
        targets = [line.target for line in source.imports(module)]
        waiting += [target for target in targets if target.partition(".")[0] == NAME]
        waiting += [module.rpartition(".")[0]] * ("." in module)
    for module in found.left_out.keys() & set(ENTRIES):
        packages = ", ".join(sorted(found.left_out[module]))
        raise ValueError(f"{module} is to be in the light distribution, but needs {packages}")
    return found


def files_of(source: Source, modules: set[str]) -> list[Path]:
    """Return the files of modules, with the stubs that packages find their names by."""
    found = [path for module in sorted(modules) if (path := source.path_of(module))]
    stubs = [path.with_suffix(".pyi") for path in found]
    return [*found, *(stub for stub in stubs if stub.is_file())]


class LightBuildHook(BuildHookInterface[Any]):
    """Adds the modules to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Choose the files."""
        root = Path(self.root).parent
        source = Source(root)
        files = [*files_of(source, select(source).included), root / NAME / "py.typed"]
        build_data["force_include"] |= {str(f): str(f.relative_to(root)) for f in files}
