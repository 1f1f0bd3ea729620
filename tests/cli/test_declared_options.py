"""Options that are declared once: the same names, texts, defaults and limits on both sides."""

from __future__ import annotations

from typing import Any

import pytest
import typer.main

from ocrsearch.cli.app import app
from ocrsearch.core import OptionError, checked_values, declared_options
from ocrsearch.data import DataOptions
from ocrsearch.tuning import ARGUMENTS, SearchOptions
from ocrsearch.tuning.options import SearchArguments

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
RUN = {param.name: param for param in COMMANDS["run"].params}
FIELDS = {field: argument for argument, field in ARGUMENTS.items()}
DECLARED = {
    FIELDS.get(name, name): option
    for options in (SearchOptions, DataOptions)
    for name, (_, option) in declared_options(options).items()
}


def test_run_has_all_arguments_of_search() -> None:
    assert set(DECLARED) == set(SearchArguments.__annotations__)
    assert set(RUN) - set(DECLARED) == {"space", "data", "as_json"}


@pytest.mark.parametrize("name", DECLARED)
def test_an_option_has_the_declared_text_and_default(name: str) -> None:
    param, declared = RUN[name], DECLARED[name]
    assert param.opts == [f"--{name.replace('_', '-')}"]
    assert param.default is None
    assert param.help.startswith(declared.help)
    assert param.metavar == declared.metavar
    if declared.shown:
        assert param.help.endswith(f" Default: {declared.shown}.")


@pytest.mark.parametrize("options", [SearchOptions, DataOptions])
def test_the_defaults_are_allowed_and_documented(options: Any) -> None:
    defaults = options()
    assert checked_values(defaults) == {
        name: getattr(defaults, name) for name in declared_options(options)
    }
    for name in declared_options(options):
        assert f"\n    {name}: " in options.__doc__


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"splits": "a\0b"}, "splits: must not have null characters"),
        ({"extra_train_data": "x" * 5000}, "extra_train_data: "),
        ({"bidi": "up"}, "bidi: must be 'auto', 'rtl', 'ltr' or 'off', got 'up'"),
        ({"train_fraction": True}, "train_fraction: must be a number, not true or false, got true"),
        ({"keep_flagged": None}, "keep_flagged: must be true or false, got null"),
    ],
)
def test_declared_limits_are_checked(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(OptionError) as caught:
        DataOptions(**options)
    assert str(caught.value).startswith(problem)
