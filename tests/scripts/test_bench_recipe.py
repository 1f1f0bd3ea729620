"""The script that leaves out parts of the recipe: all its variants train."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_recipe.py"

SPACE = """
images: {height: 16}
model:
  architecture: crnn
  encoder: {conv_depth: 3, conv_base: 8, linear_width: 16, hidden_size: 16}
training:
  learning_rate: {float: [1.0e-3, 1.0e-2], log: true}
search:
  try_first: [{training: {learning_rate: 0.002}}]
"""


def run(folder: Path, data: Path | str, *more: str) -> subprocess.CompletedProcess[str]:
    (folder / "s.yaml").write_text(SPACE, encoding="utf-8")
    options = ["--space", folder / "s.yaml", "--epochs", "1", "--seeds", "1", "--processes", "1"]
    return subprocess.run(
        [sys.executable, SCRIPT, "--data", data, *options, *more],
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_a_row_for_each_variant(number_folder: Path, tmp_path: Path) -> None:
    done = run(tmp_path, number_folder)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    rows = [line.split(" | ") for line in lines if "---" not in line]
    assert [row[0] for row in rows[:3]] == ["| variant", "| as it is", "| no norm of the columns"]
    assert len(rows) == 16
    assert {len(row) for row in rows} == {3}  # name, after the epoch, seconds


def test_random_configurations_and_some_of_the_variants(
    number_folder: Path, tmp_path: Path
) -> None:
    values = "model.encoder.conv_pooling=spread training.batch_size=4"
    more = ("--random", "--variant", "conv dropout at once too", "--cer", "--variant", values)
    done = run(tmp_path, number_folder, *more)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("CER on ")
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows if "---" not in row[0]] == [
        "| variant",
        "| conv dropout at once too",
        f"| {values}",
    ]
    refused = run(tmp_path, number_folder, "--variant", "no luck")
    assert refused.returncode == 2
    assert "found 'no luck', allowed: as it is, " in refused.stderr
    refused = run(tmp_path, number_folder, "--variant", "model.encoder.conv_deph=2")
    assert refused.returncode != 0
    assert refused.stderr.count("\n") == 1
    assert "conv_deph" in refused.stderr


def test_each_seed_with_splits_of_its_own(number_folder: Path, tmp_path: Path) -> None:
    more = ("--variant", "training.learning_rate=0.01", "--seeds", "2", "--cer")
    same, parted = (run(tmp_path, number_folder, *more, *new) for new in ([], ["--new-splits"]))
    assert parted.returncode == 0, parted.stderr
    rows = [done.stdout.splitlines()[-1].split(" | ")[:-1] for done in (same, parted)]
    assert rows[0] != rows[1]  # all but the seconds


def test_data_that_is_not_there(tmp_path: Path) -> None:
    done = run(tmp_path, tmp_path / "nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("bench_recipe: ")
    assert done.stderr.count("\n") == 1
