"""Options of a search: types, ranges, text for times, and names of the API in messages."""

from __future__ import annotations

import pickle
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ocrsearch.cli.output import error_message
from ocrsearch.core.errors import (
    DataError,
    OcrSearchError,
    OptionError,
    StudyError,
)
from ocrsearch.data.data_options import DataOptions
from ocrsearch.tuning.api import search
from ocrsearch.tuning.options import (
    ARGUMENTS,
    SearchArguments,
    SearchOptions,
    parse_duration,
    search_options,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1h30m15s", 5415),
        ("1.5h", 5400),
        ("0.5", 0.5),
        (" 10M ", 600),
        ("1h15s", 3615),
    ],
)
def test_parse_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "0", "0s", "0h0m", "abc", "-5", "-5m", "5d", "m", "1m2h", "1 h", "1e3", "nan"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(OptionError, match=r"^timeout: write it as 90s, 30m, 2h or 1h30m, got "):
        parse_duration(text)


def test_the_arguments_are_all_options() -> None:
    of_search = {ARGUMENTS_OF.get(field.name, field.name) for field in fields(SearchOptions)}
    of_data = {field.name for field in fields(DataOptions)}
    assert set(SearchArguments.__annotations__) == (of_search - {"data"}) | of_data


ARGUMENTS_OF = {field: argument for argument, field in ARGUMENTS.items()}


@pytest.mark.parametrize(
    ("arguments", "field", "value"),
    [
        ({"trials": 7}, "trials", 7),
        ({"trials": np.int64(7)}, "trials", 7),
        ({"trials": 7.0}, "trials", 7),
        ({"timeout": "30m"}, "timeout_s", 1800.0),
        ({"timeout": 90}, "timeout_s", 90.0),
        ({"timeout": timedelta(minutes=3)}, "timeout_s", 180.0),
        ({"timeout_s": 90}, "timeout_s", 90.0),
        ({"timeout": None}, "timeout_s", None),
        ({"epoch_budget": 3}, "epoch_budget", 3),
        ({"max_disk_mb": np.float32(2)}, "max_disk_mb", 2.0),
        ({"workers": "auto"}, "workers", None),
        ({"workers": "2"}, "workers", 2),
        ({"workers": None}, "workers", None),
        ({"storage": Path("a/b.db")}, "storage", "sqlite:///a/b.db"),
        ({"max_invalid": 0.5, "group": "^x"}, "data", {"max_invalid": 0.5, "group": "^x"}),
    ],
)
def test_values_are_converted(arguments: dict[str, Any], field: str, value: object) -> None:
    found = getattr(search_options(None, arguments), field)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, "trials: must be at least 1, got 0"),
        ({"trials": -3}, "trials: must be at least 1, got -3"),
        ({"trials": True}, "trials: must be a number, not true or false, got true"),
        ({"trials": "many"}, "trials: must be an integer, got 'many'"),
        ({"trials": 2.5}, "trials: must be an integer, got 2.5"),
        ({"trials": None}, "trials: must be an integer, got null"),
        ({"trials": [1]}, "trials: must be an integer, got [1]"),
        ({"study": 3}, "study: must be text, got 3"),
        ({"storage": 3}, "storage: must be text, got 3"),
        ({"workers": 0}, "workers: must be at least 1, got 0"),
        ({"workers": "all"}, "workers: must be a number of 1 or more, or auto, got 'all'"),
        ({"timeout": "soon"}, "timeout: write it as 90s, 30m, 2h or 1h30m, got 'soon'"),
        ({"timeout": 0}, "timeout: must be more than 0, got 0"),
        ({"timeout": float("nan")}, "timeout: must be "),
        ({"timeout": float("inf")}, "timeout: must be at most 315360000, got inf"),
        ({"target_cer": -0.1}, "target_cer: must be at least 0, got -0.1"),
        ({"timeout_s": 0}, "timeout: must be more than 0, got 0"),
        ({"epoch_budget": 0}, "epoch_budget: must be at least 1, got 0"),
        ({"stall_trials": 0}, "stall_trials: must be at least 1, got 0"),
        ({"max_disk_mb": 0}, "max_disk_mb: must be more than 0, got 0"),
        ({"init": 3}, "init: must be the path of a file, got 3"),
        ({"init": "missing.pt"}, "init: missing.pt: no such model file"),
        ({"seed": -1}, "seed: must be at least 0, got -1"),
        ({"seed": 2**31}, "seed: must be at most 2147483647, got 2147483648"),
        ({"device": "gpu"}, "device: must be 'auto', 'cpu' or 'cuda', got 'gpu'"),
        ({"engine": "dask"}, "engine: must be 'local' or 'ray', got 'dask'"),
        ({"trails": 3}, "trails: no such option; did you mean 'trials'?"),
        ({"group": "("}, "group: must be a regular expression, got '('"),
        ({"max_invalid": 2}, "max_invalid: must be at most 1, got 2"),
        ({"keep_flagged": "perhaps"}, "keep_flagged: must be true or false, got 'perhaps'"),
        ({"split_seed": "a"}, "split_seed: must be an integer, got 'a'"),
    ],
)
def test_wrong_values_are_named_as_python_has_them(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        DataOptions(**dict(search_options(None, arguments).data or {}))
    assert str(caught.value).startswith(message)
    assert "--" not in str(caught.value)


@pytest.mark.parametrize("options", [{"trials": 3}, 200, "captcha"])
def test_options_of_another_type(options: Any) -> None:
    with pytest.raises(OptionError, match=r"must be ocrsearch\.SearchOptions, or give the options"):
        search_options(options, {})


@pytest.mark.parametrize("data", [3, "digits", [1]])
def test_data_options_of_another_type(data: Any) -> None:
    with pytest.raises(OptionError, match=r"^data: must be ocrsearch\.DataOptions or a dict"):
        search_options(SearchOptions(data=data), {})


def test_arguments_come_before_options() -> None:
    data = DataOptions(max_invalid=0.5, split_seed=3)
    given = SearchOptions(trials=3, seed=1, data=data)
    options = search_options(given, {"trials": 5, "split_seed": 0})
    assert (options.trials, options.seed) == (5, 1)
    assert options.data == {"max_invalid": 0.5, "split_seed": 0}


def test_an_option_has_its_name_on_the_command_line() -> None:
    error = OptionError("must be at least 1, got 0", "epoch_budget")
    assert str(error) == "epoch_budget: must be at least 1, got 0"
    assert error_message(error) == "--epoch-budget: must be at least 1, got 0"
    assert error_message(OptionError("two of them")) == "two of them"


@pytest.mark.parametrize("error", [OptionError, StudyError, DataError])
def test_any_error_may_name_an_option(error: type[OcrSearchError]) -> None:
    named = error("no study 'x'", "warm_start")
    assert str(named) == "warm_start: no study 'x'"
    assert error_message(named) == "--warm-start: no study 'x'"
    again = pickle.loads(pickle.dumps(named))
    assert (str(again), error_message(again)) == (str(named), error_message(named))


@pytest.mark.parametrize("name", ["observer", "progress"])
def test_what_is_called_must_be_a_function(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=f"^{name}: must be a function, got 3"):
        search("quick", "digits", **{name: 3})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("storage", [Path(), Path("/"), "sqlite:///", "sqlite:///.", "sqlite://"])
def test_a_database_has_a_name(
    storage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=r"^storage: .* names no file; write it as sqlite:"):
        search("quick", "digits", storage=storage)
