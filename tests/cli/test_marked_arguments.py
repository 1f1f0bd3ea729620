"""Messages: arguments as Python has them from the library, options on the command line."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest
import typer.main
from typer.core import TyperGroup

import ocrsearch
from ocrsearch.cli.app import app
from ocrsearch.cli.display import PlainDisplay
from ocrsearch.cli.output import MARKED, error_message, for_command_line, option_of
from ocrsearch.cli.program import warnings_shown
from ocrsearch.core import DataError, OcrSearchError, OptionError, StudyError
from ocrsearch.data import DataOptions
from ocrsearch.data.checks import read_usable
from ocrsearch.data.samples import Sample
from ocrsearch.inference import DecodingOptions
from ocrsearch.tuning import Limits, Status
from ocrsearch.tuning.options import search_options

PACKAGE = Path(ocrsearch.__file__).parent

OPTION = re.compile(r"(?<![\w-])--[a-z][\w-]*")
CSS = re.compile(r"var\(--[\w-]+\)|--[\w-]+:")
"""Custom properties of the style sheets of HTML pages."""

OTHER_PROGRAMS = (
    *("ray start --head", "curl --data-binary"),
    '"optuna", "storage", "upgrade", "--storage"',
)
"""Commands of other programs, which messages advise."""


def library_lines() -> list[tuple[str, str]]:
    """Return the place and text of each line of the package outside the command line."""
    return [
        (f"{path.relative_to(PACKAGE)}:{number}", line)
        for path in sorted(PACKAGE.rglob("*.py*"))
        if path.suffix in (".py", ".pyi") and "cli" not in path.relative_to(PACKAGE).parts
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    ]


def options_in(line: str) -> list[str]:
    """Return the options of this program in a line of source."""
    for command in OTHER_PROGRAMS:
        line = line.replace(command, "")
    return OPTION.findall(CSS.sub("", line))


def all_options(command: object) -> set[str]:
    """Return the options of a command and of all below it."""
    if isinstance(command, TyperGroup):
        return {o for child in command.commands.values() for o in all_options(child)}
    return {option for param in command.params for option in param.opts}  # type: ignore[attr-defined]


def test_no_module_of_the_library_speaks_of_options() -> None:
    found = [
        f"{where}: {options}" for where, line in library_lines() if (options := options_in(line))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ('f"{spec}: raise --max-invalid"', ["--max-invalid"]),
        ("# see --study", ["--study"]),
        ('"--splits FILE"', ["--splits"]),
        ("color: var(--ink); --line: #fff;", []),
        ("start one with 'ray start --head'", []),
        ("a dash -- between words", []),
        ("raise `max_invalid`", []),
    ],
)
def test_the_check_itself_finds_options(line: str, options: list[str]) -> None:
    assert options_in(line) == options


def test_each_marked_argument_is_an_option() -> None:
    marks = {
        match[1]
        for _, line in library_lines()
        for match in re.finditer(r"(?<!`)`([a-z_]+)(?:=[^`]*)?`(?!`)", line)
    }
    assert marks <= MARKED
    assert {option_of(argument) for argument in MARKED} <= all_options(typer.main.get_command(app))


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("give `study` another name", "give --study another name"),
        ("raise `max_invalid` or set `keep_flagged`", "raise --max-invalid or set --keep-flagged"),
        ("resume it with `study='a'`", "resume it with --study a"),
        ("resume it with `study='my study'`", "resume it with --study 'my study'"),
        ('resume it with `study="it\'s"`', "resume it with --study 'it'\"'\"'s'"),
        ("the best together (`ensemble=3`)", "the best together (--ensemble 3)"),
        ("study 'max_invalid' is of max_invalid", "study 'max_invalid' is of max_invalid"),
        ("the folder `rm`", "the folder `rm`"),
        ("a lonely ` and `study", "a lonely ` and `study"),
        ("", ""),
    ],
)
def test_marked_arguments_become_options(message: str, said: str) -> None:
    assert for_command_line(message) == said
    assert for_command_line(said) == said


@pytest.mark.parametrize(
    ("error", "from_python", "on_the_command_line"),
    [
        (
            OptionError("must be at least 1, got 0", "epoch_budget"),
            "epoch_budget: must be at least 1, got 0",
            "--epoch-budget: must be at least 1, got 0",
        ),
        (
            StudyError("study 'a': taken; give `study` another name"),
            "study 'a': taken; give `study` another name",
            "study 'a': taken; give --study another name",
        ),
        (
            DataError("as `splits` says, and neither `group`", "extra_train_data"),
            "extra_train_data: as `splits` says, and neither `group`",
            "--extra-train-data: as --splits says, and neither --group",
        ),
        (OptionError("two of them"), "two of them", "two of them"),
    ],
)
def test_an_error_has_two_forms(
    error: OcrSearchError, from_python: str, on_the_command_line: str
) -> None:
    assert str(error) == from_python
    assert error_message(error) == on_the_command_line


def wrong_search() -> None:
    search_options(None, {"epoch_budget": 0})


def wrong_data() -> None:
    DataOptions(max_invalid=2)


def wrong_columns() -> None:
    DataOptions(columns="picture=a")


def wrong_decoding() -> None:
    DecodingOptions(lm_weight=0.5, beam_size=5)


def unusable() -> None:
    read_usable("csv:t", [Sample("a.png", Path("a.png"), "")], 0.5, None, 1)


@pytest.mark.parametrize(
    ("call", "from_python", "on_the_command_line"),
    [
        (wrong_search, "epoch_budget: must be at least 1", "--epoch-budget: must be at least 1"),
        (
            wrong_data,
            "max_invalid: must be at most 1, got 2",
            "--max-invalid: must be at most 1, got 2",
        ),
        (wrong_columns, "columns: must be some of image=", "--columns: must be some of image="),
        (wrong_decoding, "lm_weight: needs a language model", "--lm-weight: needs a language"),
        (unusable, "at most 50 % may (`max_invalid`)", "at most 50 % may (--max-invalid)"),
    ],
)
def test_real_errors_have_two_forms(
    call: object, from_python: str, on_the_command_line: str
) -> None:
    with pytest.raises(OcrSearchError) as caught:
        call()  # type: ignore[operator]
    assert from_python in str(caught.value)
    assert not OPTION.search(str(caught.value))
    assert on_the_command_line in error_message(caught.value)


def test_warnings_and_notes_name_options(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings_shown():
        logging.getLogger("ocrsearch.x").warning("m.pt: its %s is not used", "`group`")
    PlainDisplay().update(Status(Limits(3)), "`seed` 5 has no effect")
    assert capsys.readouterr().err.splitlines() == [
        "warning: m.pt: its --group is not used",
        "[0/3] --seed 5 has no effect",
    ]
