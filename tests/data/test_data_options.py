"""The options of data, their bounds, and the way to plain values and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ocrsearch.core.errors import OptionError
from ocrsearch.data.data_options import DataOptions


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"max_bad": -0.1}, "max_bad: must be at least 0, got -0.1"),
        ({"max_bad": 1.1}, "max_bad: must be at most 1, got 1.1"),
        ({"max_bad": float("nan")}, "max_bad: must be at least 0, got nan"),
        ({"train_share": 0.0}, "train_share: must be more than 0, got 0.0"),
        ({"train_share": 1.5}, "train_share: must be at most 1, got 1.5"),
        ({"train_share": float("nan")}, "train_share: must be more than 0, got nan"),
        ({"split_seed": -1}, "split_seed: must be at least 0, got -1"),
        ({"group": "("}, "group: must be a regular expression, got '('"),
    ],
)
def test_values_out_of_range_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError) as caught:
        DataOptions(**values)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        DataOptions(),
        DataOptions(group=r"^\d+", split_seed=7, train_share=0.1, keep_err=True, max_bad=1.0),
        DataOptions(add="synth:/more.yaml"),
        DataOptions(add="digits"),
    ],
)
def test_options_are_the_same_after_json(options: DataOptions) -> None:
    assert DataOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options


def test_options_that_are_not_stored_are_as_by_default() -> None:
    assert DataOptions.from_dict({}) == DataOptions()


def test_stored_file_is_found_from_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert DataOptions(splits="splits.csv").to_dict()["splits"] == str(tmp_path / "splits.csv")
    assert DataOptions(add="csv:more.csv").to_dict()["add"] == f"csv:{tmp_path / 'more.csv'}"
