"""``ocrsearch report``: one page with the figures of a study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

Command = Callable[..., "CommandResult"]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_page_is_written(command: Command, study_db: StudyDb) -> None:
    path = Path("figures/study.html")
    result = command("report", study_db.name, "--storage", study_db.url, "-o", path)
    assert (result.code, result.err) == (0, "")
    assert result.out == f"study {study_db.name}: 5 figures written to {path}\n"
    assert f"<h1>ocrsearch: {study_db.name}</h1>" in path.read_text(encoding="utf-8")


def test_the_latest_study_is_the_default(command: Command, study_db: StudyDb) -> None:
    content = command("report", "--storage", study_db.url, "--json").json()
    assert content == {"study": study_db.name, "n_figures": 5, "output": "report.html"}
    assert Path("report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["other"], 1, "study 'other': not in"),
        (["--storage", "sqlite:///missing.db"], 1, "missing.db: no such study database"),
        (["--storage", "not-a-url"], 2, "--storage: not a database URL: not-a-url"),
        (["-o", "report.pdf"], 2, "--output report.pdf: must end in .html"),
        (["-o", "file/report.html"], 1, "--output file/report.html: "),
        (["-o", "folder.html"], 1, "--output folder.html: a folder"),
    ],
)
def test_what_cannot_be_reported(
    command: Command, study_db: StudyDb, arguments: list[str], code: int, said: str
) -> None:
    Path("file").touch()
    Path("folder.html").mkdir()
    result = command("report", "--storage", study_db.url, *arguments)
    assert (result.code, result.out) == (code, "")
    (line,) = result.err.splitlines()
    assert line.startswith(f"ocrsearch: {said}")
    assert {path.name for path in Path().iterdir()} == {"file", "folder.html"}
