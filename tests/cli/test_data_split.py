"""``ocrsearch data split``, and the options of data in the commands that use it."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.dataset import load_split
from ocrsearch.data.formats.specs import FORMATS

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_splits_are_written_and_used(command: Command, number_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "splits.csv"
    options = ("--group", r"^\d(\d)", "--split-seed", "3")
    result = command("data", "split", number_folder, *options, "-o", file, "--json")
    assert (result.code, result.err) == (0, "")
    content = result.json()
    assert content["n"] == {"train": 32, "val": 4, "test": 4}
    assert content["n_groups"] == {"train": 8, "val": 1, "test": 1}
    assert (content["n_left_out"], content["n_bad"]) == (0, 0)
    written = {row["name"]: row for row in rows(file)}
    assert len(written) == 40
    assert all(row["group"] == name[1] for name, row in written.items())
    for split in ("train", "val", "test"):
        part, _ = load_split(str(number_folder), split, DataOptions(splits=str(file)))
        assert part.names == [n for n, row in written.items() if row["split"] == split]


def test_split_is_shown_without_a_file(command: Command, number_folder: Path) -> None:
    result = command("data", "split", number_folder)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == [
        "train: 32 samples, 32 groups",
        "val: 4 samples, 4 groups",
        "test: 4 samples, 4 groups",
    ]


def test_what_a_share_leaves_out_has_no_split(
    command: Command, number_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "splits.csv"
    content = command(
        "data", "split", number_folder, "--train-fraction", "0.5", "-o", file, "--json"
    ).json()
    assert content["n"] == {"train": 16, "val": 4, "test": 4}
    assert content["n_left_out"] == sum(row["split"] == "" for row in rows(file)) == 16
    again = command("data", "split", number_folder, "--splits", file, "--json").json()
    assert again["n"] == content["n"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--group", "("], 2, "--group: must be a regular expression, got '('"),
        (["--group", "^1"], 1, "--group: '^1' finds nothing in 30 of 40 names, first '20.png'"),
        (["--group", "png"], 1, "no samples in the val split (of 40 in 1 groups)"),
        (["--splits", "missing.csv"], 1, "missing.csv: no such file"),
        (["--train-fraction", "0"], 2, "--train-fraction: must be more than 0, got 0.0"),
        (["--split-seed", "-2"], 2, "--split-seed: must be at least 0, got -2"),
        (["--max-invalid", "3"], 2, "--max-invalid: must be at most 1, got 3.0"),
    ],
)
def test_wrong_options_are_one_line(
    command: Command, number_folder: Path, arguments: list[str], code: int, said: str
) -> None:
    result = command("data", "split", number_folder, *arguments)
    assert result.code == code
    assert said in result.err
    assert len(result.err.splitlines()) == 1


def save_with_options(
    model_file: Path, options: dict[str, Any], path: Path, data: object = ""
) -> Path:
    """Write a model as of a search whose data was read with the given options."""
    content = torch.load(model_file, weights_only=True)
    content["provenance"] |= {"data_options": options, "data": data}
    torch.save(content, path)
    return path


def test_evaluate_splits_as_the_search_did(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "splits.csv"
    command("data", "split", number_folder, "-o", file)
    text = file.read_text().replace(",val,", ",test,")
    file.write_text(text)
    stored = {"splits": str(file)}
    model = save_with_options(model_file, stored, tmp_path / "model.pt", str(number_folder))

    def n(*arguments: object) -> int:
        result = command("evaluate", model, "--data", number_folder, "--json", *arguments)
        assert result.code == 0, result.err
        return int(result.json()["n"])

    assert n() == 8
    assert n("--splits", "") == 4
    assert n("--split", "all") == 40
    file.unlink()
    result = command("evaluate", model, "--data", number_folder)
    assert result.code == 1
    assert "splits.csv: no such file" in result.err


@pytest.mark.parametrize("options", [{"group": "("}, {"colour": 1}, {"max_invalid": "x"}, 0])
def test_model_with_options_of_another_kind_is_damaged(
    command: Command, model_file: Path, number_folder: Path, tmp_path: Path, options: Any
) -> None:
    model = save_with_options(model_file, options, tmp_path / "model.pt")
    result = command("evaluate", model, "--data", number_folder)
    assert result.code == 1
    assert "damaged model" in result.err


@pytest.mark.parametrize("name", ["run", "evaluate"])
def test_help_names_all_formats(command: Command, name: str) -> None:
    words = set(re.findall(r"\w+", command(name, "--help").out))
    assert words >= FORMATS.keys()


def test_leaks_are_told_once_on_standard_error(number_folder: Path, tmp_path: Path) -> None:
    for i, name in enumerate(("10.png", "11.png", "12.png") * 4):
        (tmp_path / f"{i % 3}{i:02d}.png").write_bytes((number_folder / name).read_bytes())
    script = "from ocrsearch.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "data", "split", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == (
        f"warning: {tmp_path}: of 2 validation and test samples, "
        "2 with the image of a training sample\n"
    )
