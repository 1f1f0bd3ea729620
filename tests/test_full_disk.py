"""A disk that fills while a search runs: said in a line, and nothing that was computed is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from ocrsearch.search.study import REPEATED, ConfigurationStudy, open_storage

SPACE = """
images: {height: 16}
model:
  architecture: crnn
  encoder: {conv_depth: {int: [2, 4]}, conv_base: {int: [8, 64]}, linear_width: 64}
training: {learning_rate: {float: [1.0e-3, 6.0e-3]}, batch_size: 16, epochs: 4}
search: {pruner: {name: none}}
"""
TRIALS = 6


def mount(*arguments: str) -> bool:
    """Whether mount did what it was told; only root may."""
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or not mount("-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)):
        pytest.skip("no file system of a given size can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Search with two workers, everything on that disk."""
    command = [sys.executable, "-c", "from ocrsearch.cli.app import main; main()", "run"]
    arguments = ["--space", "space.yaml", "--train-share", "0.02", "--trials", str(TRIALS)]
    arguments += ["--study", "s", "--workers", "2", "--storage", f"sqlite:///{folder}/disk.db"]
    env = {**os.environ, "COLUMNS": "500"}
    return subprocess.run(
        command + arguments, cwd=folder.parent, capture_output=True, text=True, env=env, check=False
    )


def test_a_full_disk_ends_the_search_in_a_line_and_the_next_one_goes_on(small_disk: Path) -> None:
    (small_disk.parent / "space.yaml").write_text(SPACE)
    result = run(small_disk)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("ocrsearch: ")
    assert "space" in last or "full" in last or "disk" in last, last
    assert mount("-o", "remount,size=200m", str(small_disk))
    before = epochs(small_disk)
    result = run(small_disk)
    assert result.returncode == 0, result.stderr
    after = epochs(small_disk)
    assert [len(after[number]) for number in sorted(after)] == [4] * TRIALS
    for number, records in before.items():  # what was told is not trained again
        assert after[number][: len(records)] == records


def epochs(folder: Path) -> dict[int, list]:
    """Return the records of each trial, by its number."""
    study = ConfigurationStudy("s", open_storage(f"sqlite:///{folder}/disk.db"))
    trials = [t for t in study.get_trials() if REPEATED not in t.user_attrs]
    kept = [t for t in trials if t.state != TrialState.WAITING]
    return {t.number: t.user_attrs.get("epochs", []) for t in kept}
