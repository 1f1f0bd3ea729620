"""The script that writes a page of figures."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conftest import StudyDb

SCRIPT = Path(__file__).parents[2] / "scripts" / "plot_study.py"


def plot(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    """Run the script in this process and return its exit code."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    code: Any = 0
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as exit_:
        code = exit_.code or 0
    assert isinstance(code, int)
    return code


def test_the_page_is_written(study_db: StudyDb, tmp_path: Path) -> None:
    path = tmp_path / "figures" / "study.html"
    arguments = ["--study", study_db.name, "--storage", study_db.url, "--output", path]
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"5 figures written to {path}\n"
    assert study_db.name in path.read_text(encoding="utf-8")


def test_the_latest_study_is_the_default(
    study_db: StudyDb,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert plot(monkeypatch, "--storage", study_db.url) == 0
    assert capsys.readouterr().out == "5 figures written to study.html\n"
    assert f"<h1>ocrsearch: {study_db.name}</h1>" in Path("study.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("study", "storage", "code", "said"),
    [
        ("other", None, 1, "study 'other': not in"),
        (None, "sqlite:///missing.db", 1, "missing.db: no such study database"),
        (None, "not-a-url", 2, "--storage not-a-url: not a database URL"),
    ],
)
def test_a_study_that_is_not_there(
    study_db: StudyDb,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    study: str | None,
    storage: str | None,
    code: int,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["--storage", storage or study_db.url, *(["--study", study] if study else [])]
    assert plot(monkeypatch, *arguments) == code
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(f"plot_study: {said}")
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", [".", "folder", "file/study.html"])
def test_a_page_that_cannot_be_written(
    study_db: StudyDb,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    output: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert plot(monkeypatch, "--storage", study_db.url, "--output", output) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("plot_study: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
