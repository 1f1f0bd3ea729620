"""Printed commands work when they are pasted into a shell."""

from __future__ import annotations

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest

from ocrsearch.cli import run
from ocrsearch.cli.output import STORAGE_VARIABLE, our_command
from ocrsearch.core import DEFAULT_STORAGE
from ocrsearch.tuning.api import SearchResult
from ocrsearch.tuning.status import Limits, Status

PACKAGE = Path(run.__file__).parents[1]

HAND_MADE = re.compile(r"\bocrsearch [a-z-]+[^';(]*\0|\b(?:as|with): --[a-z-]+ [^']*\0")
"""A command of ours, or options to use, with a value put in by hand; \\0 stands for a value."""


@pytest.fixture(autouse=True)
def called_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["ocrsearch"])
    monkeypatch.delenv(STORAGE_VARIABLE, raising=False)


@pytest.mark.parametrize(
    ("storage", "shown"),
    [
        (None, []),
        (DEFAULT_STORAGE, []),
        ("sqlite:///my studies/a.db", ["--storage", "sqlite:///my studies/a.db"]),
        ("sqlite:///$HOME/`id`.db", ["--storage", "sqlite:///$HOME/`id`.db"]),
        ("postgresql://user@host/db", ["--storage", "postgresql://user@host/db"]),
    ],
)
def test_words_come_back_from_the_shell(storage: str | None, shown: list[str]) -> None:
    words = ["best", "--study", "it's; rm -rf *", "--export", "a b.pt"]
    assert shlex.split(our_command(*words, storage=storage)) == ["ocrsearch", *words, *shown]


def test_a_database_in_the_variable_is_found_without_the_option(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(STORAGE_VARIABLE, "postgresql://u:secret@h/d")
    assert our_command("best", storage="postgresql://u:secret@h/d") == "ocrsearch best"
    assert our_command("best", storage=DEFAULT_STORAGE).endswith(f"--storage {DEFAULT_STORAGE}")


def test_a_password_is_not_printed() -> None:
    line = our_command("best", storage="postgresql://u:secret@h/d")
    assert "secret" not in line
    assert STORAGE_VARIABLE in line


def test_a_program_that_is_not_on_the_path_is_named_as_it_was_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ocrsearch").touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "ocrsearch")])
    assert our_command("best") == f"{tmp_path}/ocrsearch best"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert our_command("best") == "ocrsearch best"
    monkeypatch.setattr(sys, "argv", ["-c"])
    assert our_command("best") == "ocrsearch best"


def test_the_end_of_a_search_names_its_database() -> None:
    status = Status(Limits(1), n_complete=1)
    status.best_number, status.best_value, status.best_exact = 0, 0.1, 0.9
    result = SearchResult("my study", "sqlite:///a b.db", "trials", status, 0, None)
    hint = run._summary(result, "captcha:x").splitlines()[-1]
    assert hint == (
        "export it: ocrsearch best --study 'my study' --export model.pt --storage "
        "'sqlite:///a b.db'"
    )
    status.best_value, status.best_exact = 1.0, 0.0
    hint = run._summary(result, "captcha:my images").splitlines()[-1]
    assert hint.endswith("ocrsearch data inspect 'captcha:my images'")


def f_strings(tree: ast.AST) -> list[str]:
    """Return the f-strings of a module with each value as \\0."""
    return [
        "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
    ]


def test_no_message_makes_a_command_by_hand() -> None:
    found = {
        (file.name, text)
        for file in PACKAGE.rglob("*.py")
        for text in f_strings(ast.parse(file.read_text(encoding="utf-8")))
        if HAND_MADE.search(text)
    }
    assert found == set()


@pytest.mark.parametrize(
    "text", ["export it: ocrsearch best --study \0", "use them as: --data csv:\0"]
)
def test_the_scan_finds_commands_made_by_hand(text: str) -> None:
    assert HAND_MADE.search(text)
