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
        ({"max_invalid": -0.1}, "max_invalid: must be at least 0, got -0.1"),
        ({"max_invalid": 1.1}, "max_invalid: must be at most 1, got 1.1"),
        ({"max_invalid": float("nan")}, "max_invalid: must be at least 0, got nan"),
        ({"train_fraction": 0.0}, "train_fraction: must be more than 0, got 0.0"),
        ({"train_fraction": 1.5}, "train_fraction: must be at most 1, got 1.5"),
        ({"train_fraction": float("nan")}, "train_fraction: must be more than 0, got nan"),
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
        DataOptions(
            group=r"^\d+", split_seed=7, train_fraction=0.1, keep_flagged=True, max_invalid=1.0
        ),
        DataOptions(extra_train_data="synth:/more.yaml"),
        DataOptions(extra_train_data="digits"),
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
    assert (
        DataOptions(extra_train_data="csv:more.csv").to_dict()["extra_train_data"]
        == f"csv:{tmp_path / 'more.csv'}"
    )
