"""Starting: a command loads what it needs and nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandResult

HEAVY = (
    *("torch", "optuna", "pandas", "numpy", "cv2", "sklearn", "plotly", "pydantic"),
    *("PIL", "sqlalchemy", "yaml"),
)
COMMANDS = (
    *("run", "best", "evaluate", "predict", "dashboard", "space", "space check", "space schema"),
    *("studies", "studies list", "studies export", "data", "data inspect", "data preview"),
    *("data split", "data synth", "data synth digits", "data synth text", "train", "inspect"),
    *("language-model", "serve", "card", "log"),
)


def loaded(statement: str) -> set[str]:
    """Return the heavy modules that a new Python has loaded after a statement."""
    script = f"""
import sys
{statement}
print("loaded:", *[name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.splitlines()[-1].removeprefix("loaded:").split())


def test_the_check_itself_finds_what_is_loaded() -> None:
    assert loaded("import yaml") == {"yaml"}


@pytest.mark.parametrize(
    "statement",
    [
        "import ocrsearch",
        "import ocrsearch.cli.app",
        """
from ocrsearch.cli.app import main
sys.argv = ["ocrsearch", "--help"]
try:
    main()
except SystemExit as exit:
    assert not exit.code
""",
    ],
    ids=["package", "command line", "help"],
)
def test_help_loads_nothing_heavy(statement: str) -> None:
    assert loaded(statement) == set()


def test_no_help_loads_more_than_what_draws_it() -> None:
    calls = [["--version"], *([*name.split(), "--help"] for name in COMMANDS)]
    statement = f"""
from ocrsearch.cli import main
for arguments in {calls!r}:
    sys.argv = ["ocrsearch", *arguments]
    try:
        main()
    except SystemExit as exit:
        assert not exit.code
"""
    assert loaded(statement) <= {"pydantic"}  # typer itself converts values with it


@pytest.mark.parametrize(
    "modules",
    [
        "ocrsearch.core.config, ocrsearch.spaces.space",
        "ocrsearch.data.dataset, ocrsearch.studies.results",
        "ocrsearch.tuning.api, ocrsearch.tuning.runner, ocrsearch.cli.display",
    ],
)
def test_what_needs_no_tensors_loads_no_torch(modules: str) -> None:
    assert "torch" not in loaded(f"import {modules}")


def test_help_of_the_installed_command() -> None:
    command = Path(sys.executable).with_name("ocrsearch")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert done.stderr == ""
    for name in ("run", "best", "train", "evaluate", "predict", "space", "studies", "dashboard"):
        assert f" {name} " in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_its_help(command: Callable[..., CommandResult], name: str) -> None:
    result = command(*name.split(), "--help")
    assert (result.code, result.err) == (0, "")
    assert "Usage:" in result.out
    assert f"ocrsearch {name} " in result.out
    assert "--help" in result.out
