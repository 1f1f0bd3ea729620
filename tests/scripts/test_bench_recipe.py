"""The script that leaves out parts of the recipe: all its variants train."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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


def run(folder: Path, data: Path | str) -> subprocess.CompletedProcess[str]:
    (folder / "s.yaml").write_text(SPACE, encoding="utf-8")
    options = ["--space", folder / "s.yaml", "--epochs", "2", "--seeds", "1", "--processes", "1"]
    return subprocess.run(
        [sys.executable, SCRIPT, "--data", data, *options],
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
    assert len(rows) == 10
    assert {len(row) for row in rows} == {4}  # name, after 1 and 2 epochs, seconds


def test_data_that_is_not_there(tmp_path: Path) -> None:
    done = run(tmp_path, tmp_path / "nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("bench_recipe: ")
    assert done.stderr.count("\n") == 1
