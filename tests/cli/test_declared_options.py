"""Options that are declared once: the same names, texts, defaults and limits on both sides."""

from __future__ import annotations

from typing import Any

import pytest
import typer.main

from ocrsearch.cli.app import app
from ocrsearch.core import OptionError, checked_values, declared_options
from ocrsearch.data import DataOptions
from ocrsearch.deployment import ServiceArguments, ServiceOptions
from ocrsearch.inference import DecodingArguments, DecodingOptions
from ocrsearch.tuning import ARGUMENTS, SearchOptions
from ocrsearch.tuning.options import SearchArguments

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
COMMAND_OPTIONS = {
    name: {param.name: param for param in COMMANDS[name].params}
    for name in ("run", "predict", "evaluate", "serve")
}
FIELDS = {field: argument for argument, field in ARGUMENTS.items()}
DECLARED = {
    FIELDS.get(name, name): option
    for options in (SearchOptions, DataOptions)
    for name, (_, option) in declared_options(options).items()
}
DECODING = {name: option for name, (_, option) in declared_options(DecodingOptions).items()}
SERVICE = {name: option for name, (_, option) in declared_options(ServiceOptions).items()}


def test_run_has_all_arguments_of_search() -> None:
    assert set(DECLARED) == set(SearchArguments.__annotations__)
    assert set(COMMAND_OPTIONS["run"]) - set(DECLARED) == {"space", "data", "as_json"}


def test_predict_and_evaluate_have_all_decoding_options() -> None:
    assert set(DECODING) == set(DecodingArguments.__annotations__)
    assert set(DECODING) <= set(COMMAND_OPTIONS["predict"])
    assert set(DECODING) <= set(COMMAND_OPTIONS["evaluate"])


def test_serve_has_all_service_options() -> None:
    assert set(SERVICE) == set(ServiceArguments.__annotations__)
    assert set(SERVICE) <= set(COMMAND_OPTIONS["serve"])


@pytest.mark.parametrize(
    ("command", "name"),
    [
        *(("run", name) for name in DECLARED),
        *(("predict", name) for name in DECODING),
        *(("evaluate", name) for name in DECODING),
        *(("serve", name) for name in DECODING | SERVICE),
    ],
)
def test_an_option_has_the_declared_text_and_default(command: str, name: str) -> None:
    param = COMMAND_OPTIONS[command][name]
    declared = DECLARED[name] if command == "run" else (DECODING | SERVICE)[name]
    assert param.opts == [f"--{name.replace('_', '-')}"]
    assert param.default is None
    assert param.help.startswith(declared.help)
    assert param.metavar == declared.metavar
    if declared.shown:
        assert param.help.endswith(f" Default: {declared.shown}.")


@pytest.mark.parametrize("options", [SearchOptions, DataOptions, DecodingOptions, ServiceOptions])
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
