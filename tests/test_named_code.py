"""Files, code, tests and arguments that the guides name exist. See also ``test_docs.py``."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocrsearch.inference import DecodingArguments
from ocrsearch.spaces.suggestion import ready_spaces
from ocrsearch.tuning import SearchArguments

ROOT = Path(__file__).parents[1]
GUIDES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    )
}
CODE_GUIDES = ("CONTRIBUTING.md", "docs/architecture.md")
"""Guides whose names in backticks are names of code."""

CODE = ("ocrsearch", "scripts", "tests")
FENCED = re.compile(r"^```.*?^```", flags=re.DOTALL | re.MULTILINE)
FILE = re.compile(r"([\w./-]+\.pyi?)(?:: (\w+(?:\.\w+)*))?")
FOLDER = re.compile(r"[\w.-][\w./-]*/")
NAME = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
TEST_IN_FILE = re.compile(r"`([A-Za-z_][\w.]*)`\s+(?:in\s+|\()`([\w/.-]+\.py)`")
ARGUMENT = re.compile(r"([a-z_]+)=[^=]+")


def spans(text: str) -> list[str]:
    """Return the words between backticks outside blocks of code, each on one line."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCED.sub("", text))]


def find(name: str, guide: str = "README.md") -> list[Path]:
    """Return the paths of a name: from the repository, the package, the guide, or any folder."""
    folders = (ROOT, ROOT / "ocrsearch", (ROOT / guide).parent)
    found = [folder / name for folder in folders if (folder / name).exists()]
    if not found and "/" not in name:
        found = [path for folder in CODE for path in (ROOT / folder).rglob(name)]
    return found


def targets(node: ast.AST) -> Iterator[str]:
    """Return the names that a statement assigns, with ``self.`` left out."""
    assigned = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in assigned:
        for part in ast.walk(target) if target is not None else ():
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                yield part.id
            elif isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
                yield part.attr


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """Return the names that a file defines: ``function``, ``CONSTANT``, ``Class``, ``Class.x``."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            names.update(targets(node))
        if isinstance(node, ast.ClassDef):
            for inner in ast.walk(node):
                if isinstance(inner, ast.FunctionDef):
                    names.add(f"{node.name}.{inner.name}")
                elif isinstance(inner, ast.Assign | ast.AnnAssign):
                    names.update(f"{node.name}.{target}" for target in targets(inner))
    return frozenset(names)


@functools.cache
def all_names() -> frozenset[str]:
    """Return the names of all files of the package, the scripts and the tests.

    Members are known with and without their class. Texts are known too, such as a value of an
    option, and so are ready spaces.
    """
    names: set[str] = set()
    for path in (path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        names.update(names_in(path))
        if path.is_relative_to(ROOT / "ocrsearch"):
            constants = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            texts = {n.value for n in constants if isinstance(n, ast.Constant)}
            names.update(text for text in texts if isinstance(text, str) and text)
    return frozenset(names | ready_spaces().keys() | {name.rpartition(".")[2] for name in names})


def problem_of(span: str, guide: str) -> str | None:
    """Return the reason why a name in a guide is wrong, None if it is right or no name of code."""
    if "NAME" in span:  # the reader's own
        return None
    if match := FILE.fullmatch(span):
        paths = find(match[1], guide)
        if not paths:
            return "no such file"
        name = match[2]
        return None if name is None or any(name in names_in(p) for p in paths) else "no such name"
    if guide not in CODE_GUIDES:
        return None
    if FOLDER.fullmatch(span):
        return None if find(span, guide) else "no such folder"
    if NAME.fullmatch(span) and span not in all_names():
        is_key = span.islower() and span.rpartition(".")[2] in all_names()
        return None if is_key or find(span) else "no such name"
    return None


@pytest.mark.parametrize("guide", GUIDES)
def test_files_and_code_that_a_guide_names_exist(guide: str) -> None:
    found = spans(GUIDES[guide])
    assert {f"{span}: {problem}" for span in found if (problem := problem_of(span, guide))} == set()


@pytest.mark.parametrize("guide", GUIDES)
def test_code_is_in_the_file_that_a_guide_names(guide: str) -> None:
    pairs = TEST_IN_FILE.findall(FENCED.sub("", GUIDES[guide]))
    wrong = [
        (name, file)
        for name, file in pairs
        if not any(name in names_in(path) for path in find(file, guide))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("guide", "name"),
    sorted(
        {
            (guide, name)
            for guide, text in GUIDES.items()
            for name in re.findall(r"`((?:ocrsearch|scripts|tests|docs)/[a-z0-9_./-]+)`", text)
        }
    ),
)
def test_named_files_exist(guide: str, name: str) -> None:
    assert (ROOT / name).exists()


def test_arguments_of_python_that_the_guide_names_exist() -> None:
    known = {*SearchArguments.__annotations__, *DecodingArguments.__annotations__}
    arguments = [
        match[1]
        for span in spans(GUIDES["docs/guides/python.md"])
        if (match := ARGUMENT.fullmatch(span))
    ]
    assert arguments
    assert [argument for argument in arguments if argument not in known] == []


@pytest.mark.parametrize(
    ("span", "problem"),
    [
        ("ocrsearch/core/config.py", None),
        ("core/config.py: Config", None),
        ("tuning/scheduler.py: Scheduler.ending", None),
        ("tuning/runner.py: Runner.status", None),
        ("crnn.py", None),
        ("Scheduler.ending", None),
        ("search.constraints.memory_mb", None),
        ("read_NAME", None),
        ("make test", None),
        ("cli/", None),
        ("core/nothing.py", "no such file"),
        ("nothing.py", "no such file"),
        ("core/config.py: Nothing", "no such name"),
        ("tuning/scheduler.py: ending", "no such name"),
        ("tuning/scheduler.py: Runner.run", "no such name"),
        ("Scheduler.nothing", "no such name"),
        ("test_no_such_test", "no such name"),
        ("nothing_at_all", "no such name"),
        ("nothing/", "no such folder"),
    ],
)
def test_the_check_finds_wrong_names(span: str, problem: str | None) -> None:
    assert problem_of(span, "CONTRIBUTING.md") == problem
