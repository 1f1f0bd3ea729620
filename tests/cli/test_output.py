"""What the commands print holds no escape codes, markup or numbers that are not JSON."""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path

import pytest

import ocrsearch.cli
from ocrsearch.cli.app import main
from ocrsearch.cli.output import (
    can_redraw,
    echo,
    error_line,
    print_json,
    show_table,
)
from ocrsearch.core.explain import config_paths


def test_printed_lines_and_tables_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("\x1b[31mheading",), [("[/nonsense]\x1b]0;pwn\x07",)], title="[bold]title\x9b")
    echo("a\x1b[2J\tb")
    error_line("x\x1b[2Jy\nz" + "0" * 100_000)
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "[/nonsense]" in captured.out
    assert "[bold]title" in captured.out
    assert captured.err.count("\n") == 1
    assert len(captured.err) < 1100


STUDIES = (("captcha-tiny-numbers-of-a-very-long-name", "captcha:/data/numbers", "0.8000", 4, 12),)
HEADINGS = ("study", "data", "best CER", "finished", "failed")


def show_studies(monkeypatch: pytest.MonkeyPatch, *, columns: int | None) -> None:
    """Show a table on a terminal of a width, or on none."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: columns is not None)
    monkeypatch.setenv("COLUMNS", str(columns or 40))
    show_table(HEADINGS, STUDIES, title="all", optional=("failed", "finished", "data"))


@pytest.mark.parametrize("columns", [None, 120])
def test_a_row_of_a_table_is_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int | None
) -> None:
    show_studies(monkeypatch, columns=columns)
    out, err = capsys.readouterr()
    title, heading, rule, row = out.splitlines()
    assert (title, err) == ("all", "")
    assert heading.split("  ")[0] == "study"
    assert set(rule) == {"-", " "}
    assert row.split() == [str(cell) for cell in STUDIES[0]]


@pytest.mark.parametrize(
    ("columns", "n_cells", "gone"),
    [(80, 3, "failed, finished"), (60, 2, "failed, finished, data"), (20, 2, "data")],
)
def test_a_narrow_terminal_gets_fewer_columns_and_whole_names(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
    n_cells: int,
    gone: str,
) -> None:
    show_studies(monkeypatch, columns=columns)
    out, err = capsys.readouterr()
    *_, row = out.splitlines()
    assert len(row.split()) == n_cells
    assert row.startswith(STUDIES[0][0])
    assert gone in err


def test_columns_are_as_wide_as_they_look(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("label", "times"), [("漢字", 5), None, ("e\u0301", 1234)])
    heading, _, first, rule, second = capsys.readouterr().out.splitlines()
    assert heading == "label  times"
    assert first == "漢字       5"
    assert rule == "-----  -----"
    assert second == "e\u0301       1234"


@pytest.mark.parametrize(
    ("is_terminal", "kind", "can"),
    [(True, "xterm-256color", True), (True, "dumb", False), (False, "xterm", False)],
)
def test_bars_need_a_terminal_that_can_redraw(
    monkeypatch: pytest.MonkeyPatch, is_terminal: bool, kind: str, can: bool
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    monkeypatch.setenv("TERM", kind)
    assert can_redraw() is can


def test_empty_tables(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(("study", "data"), [])
    show_table(("", ""), [("a", "b")])
    assert capsys.readouterr().out == "study  data\n-----  ----\na  b\n"


def test_the_last_part_of_a_name_tells_parameters_apart() -> None:
    paths = config_paths()
    leaves = [p for p in paths if not any(other.startswith(f"{p}.") for other in paths)]
    names = [path.rpartition(".")[2] for path in leaves]
    assert sorted(names) == sorted(set(names))


def test_a_log_and_warnings_are_one_harmless_line_each(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ocrsearch", "--version"])
    with pytest.raises(SystemExit):
        main()
    capsys.readouterr()
    handler = logging.lastResort
    assert handler is not None
    for message in ("a\x1b]0;pwn\x07b\nc\u202e", "x" * 100_000):
        handler.emit(logging.LogRecord("n", logging.WARNING, "p", 1, message, None, None))
    first, second = capsys.readouterr().err.splitlines()
    assert first == r"warning: a\x1b]0;pwn\x07b c\u202e"
    assert len(second) < 1100


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    content = {"a": float("nan"), "b": [1.0, float("inf")], "c": "\x9b\u202e\x7f\ud800é"}
    print_json(content)
    out = capsys.readouterr().out
    assert json.loads(out) == {"a": None, "b": [1.0, None], "c": "\x9b\u202e\x7f\ud800é"}
    assert not re.search("[\x7f-\x9f\u202a-\u202e]", out)


def test_commands_print_through_one_module() -> None:
    folder = Path(ocrsearch.cli.__file__).parent
    direct = re.compile(
        r"typer\.echo|click\.echo|(?<!\.)\bprint\(|sys\.std(out|err)\.write|\bConsole\("
    )
    found = [
        f"{path.name}: {line.strip()}"
        for path in folder.glob("*.py")
        if path.name != "output.py"
        for line in path.read_text(encoding="utf-8").splitlines()
        if direct.search(line)
    ]
    assert found == []
