"""Data as text or as a path; which of two specifications name the same data."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from ocrsearch.core.errors import DataError
from ocrsearch.data.formats.specs import (
    data_name,
    data_spec,
    read_samples,
    same_data,
)


@pytest.mark.parametrize(
    "name",
    ["numbers", "captcha:x", "csv:labels.csv", "digits", "a:b", ":", "synth:", "~", "-x", "ü "],
)
def test_a_path_is_a_path_whatever_its_name(
    name: str, number_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(number_folder, tmp_path / name)
    for path in (Path(name), tmp_path / name, Path(name)):
        samples = read_samples(data_spec(path))
        assert len(samples) == 40
    assert same_data(data_spec(Path(name)), data_spec(tmp_path / name))
    assert data_name(data_spec(Path("numbers"))) == data_name("numbers")


@pytest.mark.parametrize("data", [None, 3, b"digits", ["a.png"], {"path": "x"}, ""])
def test_data_of_another_type(data: Any) -> None:
    with pytest.raises(DataError, match=r"^data: found .*, must be a path, text such as"):
        data_spec(data)


@pytest.mark.parametrize(
    ("spec", "other", "same"),
    [
        ("digits", "digits", True),
        ("digits", "./digits", False),
        ("captcha:a", "a", True),
        ("captcha:a", "a/", True),
        ("captcha:a", "b/../a", True),
        ("csv:a/labels.csv", "a/labels.csv", True),
        ("csv:a/labels.csv", "csv:a/other.csv", False),
        ("captcha:a", "captcha:b", False),
        ("a\0b", "a\0b", True),
        ("a\0b", "a", False),
        ("captcha:" + "a" * 5000, "captcha:b", False),
    ],
)
def test_the_same_data(
    spec: str, other: str, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert same_data(spec, other) is same_data(other, spec) is same
