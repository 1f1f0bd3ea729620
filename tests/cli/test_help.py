"""Help texts: examples that work, options in groups, descriptions in plain words, completion."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer.main
from typer.core import TyperGroup

from ocrsearch.cli.app import app
from ocrsearch.cli.program import PROGRAM
from ocrsearch.core.errors import StudyError

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]

WIDTH = 80
"""Columns of a usual terminal, and of a page of help where there is none."""


def all_commands(
    command: Any, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Give the words and the command of each command that does something."""
    if not isinstance(command, TyperGroup):
        yield words, command
        return
    for name, child in command.commands.items():
        yield from all_commands(child, (*words, name))


COMMANDS = dict(all_commands(typer.main.get_command(app)))


def examples(command: Any) -> list[str]:
    """Return the lines of the examples in the help of a command."""
    _, found, block = (command.help or "").partition("\nExamples:\n")
    return [line.strip() for line in block.splitlines()] if found else []


EXAMPLES = [(words, line) for words, command in COMMANDS.items() for line in examples(command)]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_has_examples(words: tuple[str, ...]) -> None:
    lines = examples(COMMANDS[words])
    assert lines
    assert all(shlex.split(line)[: len(words) + 1] == [PROGRAM, *words] for line in lines)


@pytest.mark.parametrize(("words", "line"), EXAMPLES, ids=[line for _, line in EXAMPLES])
def test_the_options_of_each_example_are_right(
    words: tuple[str, ...], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # whether an output can be written is tried out
    arguments = shlex.split(line)[len(words) + 1 :]
    COMMANDS[words].make_context(" ".join(words), arguments)  # raises what the program would
    assert len(line) <= WIDTH - 2, "it would be cut into two lines"


def test_a_wrong_example_would_be_found() -> None:
    with pytest.raises(typer.TyperException, match="No such option: --trails"):
        COMMANDS["run",].make_context("run", ["--space", "s.yaml", "--trails", "3"])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_option_is_described_in_plain_words(words: tuple[str, ...]) -> None:
    for param in COMMANDS[words].params:
        assert param.help, param.name
        assert re.match(r"[A-Z]|auto:", param.help), param.help
        assert not re.match(r"(Of|What|Whether) ", param.help), param.help
        assert param.help.endswith("."), param.help


@pytest.mark.parametrize("flag", ["-h", "--help"])
@pytest.mark.parametrize("words", [(), ("data",), ("run",), ("data", "synth", "text")])
def test_both_flags_show_help(command: Command, words: tuple[str, ...], flag: str) -> None:
    result = command(*words, flag)
    assert (result.code, result.err) == (0, "")
    assert f"Usage: {' '.join([PROGRAM, *words])}" in result.out
    assert "\x1b" not in result.out


def test_the_options_of_run_are_in_groups(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    help_text = command("run", "--help").out
    groups = ("Search", "When to stop", "Data", "Study", "Machine", "Output")
    places = [help_text.index(f"─ {group} ─") for group in groups]
    assert places == sorted(places)
    assert all(line in help_text for line in examples(COMMANDS["run",]))


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        ("bash", "complete -o default -F _ocrsearch_completion ocrsearch"),
        ("zsh", "#compdef ocrsearch"),
        ("fish", "complete --command ocrsearch"),
    ],
)
def test_shells_are_told_how_to_complete(
    command: Command, monkeypatch: pytest.MonkeyPatch, shell: str, script: str
) -> None:
    monkeypatch.setenv("_OCRSEARCH_COMPLETE", f"source_{shell}")
    result = command()
    assert result.code == 0
    assert script in result.out
    assert "\x1b" not in result.out


def complete(command: Command, monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    """Return what bash would offer at the end of a line."""
    words = line.split(" ")
    monkeypatch.setenv("_OCRSEARCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    result = command()
    assert (result.code, result.err) == (0, "")
    assert "\x1b" not in result.out
    return result.out.split()


def test_words_are_completed(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert complete(command, monkeypatch, "ocrsearch ev") == ["evaluate"]
    assert complete(command, monkeypatch, "ocrsearch run --max-") == [
        "--max-invalid",
        "--max-disk-mb",
    ]
    assert complete(command, monkeypatch, "ocrsearch run --device c") == ["cpu", "cuda"]


def test_a_search_of_the_built_in_digits_says_so(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)

    def search(*arguments: Any, progress: Callable[[int, int], None], **options: Any) -> None:
        progress(1, 2)
        progress(2, 2)
        raise StudyError("the end")

    monkeypatch.setattr("ocrsearch.tuning.search", search)
    (tmp_path / "s.yaml").write_text("images: {height: 16}")
    said = ["note: no --data given: searching the built-in digits", "2 images read"]
    assert command("run", "--space", "s.yaml").err.splitlines()[:-1] == said
    assert "note" not in command("run", "--space", "s.yaml", "--data", "digits").err
