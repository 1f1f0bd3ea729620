"""A disk that fills while a search runs: said in a line, and nothing that was computed is lost."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from optuna.trial import TrialState

from ocrsearch.studies.database import open_storage
from ocrsearch.studies.records import REPEATED
from ocrsearch.studies.study import ConfigurationStudy

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

pytestmark = pytest.mark.slow

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


@contextmanager
def disk_of(size: str, folder: Path) -> Iterator[Path]:
    """Mount a file system of a size at a new folder; skip the test where that cannot be done."""
    folder.mkdir()
    options = ("-t", "tmpfs", "-o", f"size={size}", "tmpfs")
    if sys.platform != "linux" or not mount(*options, str(folder)):
        pytest.skip("no file system of a given size can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 6 MB."""
    with disk_of("6m", tmp_path / "disk") as folder:
        yield folder


def run(folder: Path) -> subprocess.CompletedProcess[str]:
    """Search with two workers, everything on that disk."""
    command = [sys.executable, "-c", "from ocrsearch.cli.app import main; main()", "run"]
    arguments = ["--space", "space.yaml", "--train-fraction", "0.02", "--trials", str(TRIALS)]
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


OUTPUTS = {
    "best": ("best", "--storage", "{url}", "--export", "{out}"),
    "studies export": ("studies", "export", "--storage", "{url}", "-o", "{out}"),
    "inspect": ("inspect", "{model}", "--svg", "{out}"),
    "evaluate": ("evaluate", "{model}", "--data", "captcha:{data}", "--html", "{out}"),
    "data inspect": ("data", "inspect", "captcha:{data}", "--sheet", "{out}"),
    "data split": ("data", "split", "captcha:{data}", "-o", "{out}"),
    "data preview": ("data", "preview", "captcha:{data}", "-o", "{out}"),
    "language-model": ("language-model", "--data", "captcha:{data}", "--output", "{out}"),
    "predict": ("predict", "{model}", "{data}/10.png", "--page", "--draw", "{out}"),
    "train": ("train", "--config", "{model}", "--data", "captcha:{data}", "--output", "{out}"),
    "data synth": ("data", "synth", "digits", "-o", "{out}.folder", "--n", "20", "--workers", "1"),
}
"""Commands that write a file or a folder."""

ENDINGS = {"inspect": ".svg", "evaluate": ".html", "data split": ".csv", "studies export": ".csv",
           "best": ".pt", "train": ".pt", "language-model": ".npz"}  # fmt: skip


@pytest.fixture
def full_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system on which no block is left, with an old file of each ending."""
    with disk_of("1m", tmp_path / "full") as folder:
        write_old_files(folder)
        with (folder / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(4096))
        yield folder


def write_old_files(folder: Path) -> None:
    """Write a file of each ending that an output may have."""
    for ending in {".png", *ENDINGS.values()}:
        (folder / f"out{ending}").write_text("old")


def arguments_of(name: str, folder: Path, study: StudyDb, model: Path, data: Path) -> list[str]:
    """Return the arguments of a command that writes to a folder."""
    out = folder / f"out{ENDINGS.get(name, '.png')}"
    values = {"url": study.url, "model": model, "data": data, "out": out}
    return [word.format_map(values) for word in OUTPUTS[name]]


def check_that_the_old_files_stayed(folder: Path, result: CommandResult) -> None:
    """Check that a command failed in one line and changed nothing."""
    assert result.code == 1, result.err
    last = result.err.splitlines()[-1]
    assert last.startswith("ocrsearch: ")
    assert str(folder / "out") in last
    assert "No space left on device" in last
    assert [path.read_text() for path in folder.glob("out.???")] == ["old"] * len(
        list(folder.glob("out.???"))
    )
    assert [path for path in folder.rglob("*") if path.name.endswith((".tmp", ".part"))] == []
    assert not (folder / "out.png.folder").exists()


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_full_disk_keeps_the_old_file(
    name: str,
    full_folder: Path,
    study_db: StudyDb,
    model_file: Path,
    number_folder: Path,
    command: Callable[..., CommandResult],
) -> None:
    arguments = arguments_of(name, full_folder, study_db, model_file, number_folder)
    check_that_the_old_files_stayed(full_folder, command(*arguments))


@pytest.mark.parametrize("name", [name for name in OUTPUTS if name != "data synth"])
def test_a_disk_that_fills_at_the_last_moment_keeps_the_old_file(
    name: str,
    tmp_path: Path,
    study_db: StudyDb,
    model_file: Path,
    number_folder: Path,
    command: Callable[..., CommandResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_old_files(tmp_path)
    monkeypatch.setattr("ocrsearch.core.files.os.fsync", full)
    arguments = arguments_of(name, tmp_path, study_db, model_file, number_folder)
    check_that_the_old_files_stayed(tmp_path, command(*arguments))
