"""What the commands print holds no escape codes, markup or numbers that are not JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from rich.table import Table

import ocrsearch.cli
from ocrsearch.cli.output import echo, error_line, print_json, show


def test_printed_lines_and_tables_are_harmless(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("\x1b[31mheading", title="[bold]title")
    table.add_row("[/nonsense]\x1b]0;pwn\x07")
    show(table)
    echo("a\x1b[2J\tb")
    error_line("x\x1b[2Jy\nz" + "0" * 100_000)
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out + captured.err
    assert "[/nonsense]" in captured.out
    assert "[bold]title" in captured.out
    assert captured.err.count("\n") == 1
    assert len(captured.err) < 1100


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
