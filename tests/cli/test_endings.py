"""How commands end: the version, exit codes, Ctrl-C, closed pipes and streams."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import ocrsearch.cli

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

Command = Callable[..., "CommandResult"]

PROGRAM = [sys.executable, "-m", "ocrsearch"]


def run_program(shell_line: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which ``$O`` is the program."""
    return subprocess.run(
        ["bash", "-c", shell_line],
        env={
            **os.environ,
            "O": " ".join(PROGRAM),
            "PYTHONPATH": str(Path(ocrsearch.__file__).parents[1]),
        },
        capture_output=True,
        text=True,
        timeout=60,
        **options,
    )


def test_version(command: Command) -> None:
    result = command("--version")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"ocrsearch {version('ocrsearch')}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dashboard", "--port", "99999"], "--port: must be at most 65535, got 99999"),
        (["data", "preview", "digits", "--n", "0"], "--n: must be at least 1, got 0"),
        (["best", "--confirm", "x"], "--confirm: must be an integer, got x"),
        (["best", "--max-latency-ms", "nan"], "--max-latency-ms: must be at least 0, got nan"),
        (["run", "--space", "s", "--trials", "1e3"], "--trials: must be an integer, got 1e3"),
        (["run", "--space", "s", "--target-cer", "low"], "--target-cer: must be a number, got low"),
        (["run", "--space", "s", "--device", "tpu"], "--device: 'tpu' is not one of 'auto', 'cpu'"),
        (["run", "--space", "s", "--engine", "x"], "--engine: 'x' is not one of 'local', 'ray'"),
        (["evaluate", "m", "--errors", "-1"], "--errors: must be at least 0, got -1"),
        (["train"], "Missing option '--config'."),
        (["run", "--spac", "s"], "No such option: --spac"),
        (["rum"], "No such command 'rum'. Did you mean 'run'?"),
        (["--versoin"], "No such option: --versoin"),
        (["best", "--study", ""], "--study: must not be empty"),
        (["best", "--study="], "--study: must not be empty"),
        (["run", "--space", "s", "--data", ""], "--data: must not be empty"),
        (["train", "--output", "", "--data", "digits"], "--output: must not be empty"),
        (["studies", "export", "-o", ""], "-o: must not be empty"),
        (["evaluate", ""], "an argument: must not be empty"),
    ],
)
def test_wrong_usage_is_one_line_that_names_the_option(
    command: Command, arguments: list[str], said: str
) -> None:
    result = command(*arguments)
    assert (result.code, result.out) == (2, "")
    *usage, line = result.err.splitlines()
    assert line.startswith(f"ocrsearch: {said}")
    assert usage == [] or (usage[0].startswith("Usage: ocrsearch ") and len(usage) == 2)


def test_ctrl_c_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(url: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ocrsearch.studies.list_studies", interrupt)
    result = command("studies", "list")
    assert (result.code, result.out, result.err) == (130, "", "ocrsearch: interrupted\n")


def test_ctrl_c_while_the_program_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ocrsearch.cli.app.main", interrupt)
    with pytest.raises(SystemExit) as ended:
        ocrsearch.cli.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "ocrsearch: interrupted\n"


@pytest.mark.parametrize(
    "where", ["os.kill(os.getpid(), 2)", "exec('os.kill(os.getpid(), 2); [0] * 9')"]
)
def test_ctrl_c_in_a_program_at_work(where: str) -> None:
    script = f"""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
import ocrsearch.studies.results as query

def list_studies(url):
    {where}

query.list_studies = list_studies
sys.argv = ["ocrsearch", "studies", "list"]
from ocrsearch.cli import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "ocrsearch: interrupted\n"


def test_a_pipe_that_is_closed_ends_a_command_quietly(study_db: StudyDb) -> None:
    line = f"set -o pipefail; $O studies list --storage {study_db.url} | true"
    done = run_program(f"$O space schema | head -1; {line}")
    assert done.stdout == "{\n"
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0: all was written before the pipe was closed


def test_help_into_a_closed_pipe() -> None:
    done = run_program("$O run --help | true")
    assert done.stderr == ""


@pytest.mark.parametrize("line", ["$O space schema >&-", "$O space schema <&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_error(line: str) -> None:
    done = run_program(line)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_is_full_is_named() -> None:
    done = run_program("$O space schema > /dev/full")
    assert done.returncode == 1
    assert done.stderr == "ocrsearch: standard output: No space left on device\n"


def test_a_value_may_end_in_an_equals_sign(command: Command, study_db: StudyDb) -> None:
    result = command("best", "--storage", study_db.url, "--study=a=")
    assert result.code == 1
    assert result.err.startswith("ocrsearch: study 'a=': not in ")
    result = command("run", "--storage=")
    assert result.code == 2
    assert result.err == "ocrsearch: --storage: must not be empty; leave it out or give a value\n"
