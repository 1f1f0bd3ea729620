"""``ocrsearch report``: one page about one or more studies."""

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
    assert result.out == f"study {study_db.name}: report written to {path} (0.0 MB)\n"
    assert f"<h1>Search report: {study_db.name}</h1>" in path.read_text(encoding="utf-8")


def test_the_latest_study_is_the_default(command: Command, study_db: StudyDb) -> None:
    content = command("report", "--storage", study_db.url, "--json").json()
    (study,) = content["studies"]
    assert (study["name"], content["output"], content["comparable"]) == (
        *(study_db.name, "report.html", True),
    )
    best, *others = study["trials"]
    assert (best["number"], best["rates"]["cer"]["value"], best["has_weights"]) == (2, 0.1, True)
    assert [trial["number"] for trial in others] == [1, 3, 0, 4, 7]
    assert "no such folder" in study["data"]["problem"]  # the images were never there
    assert "location with --data" in Path("report.html").read_text(encoding="utf-8")
    assert 5_000 < Path("report.html").stat().st_size < 2_000_000


def test_a_study_named_twice_is_reported_once(command: Command, study_db: StudyDb) -> None:
    names = (study_db.name, study_db.name)
    content = command("report", *names, "--storage", study_db.url, "--json").json()
    assert len(content["studies"]) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["other"], 1, "study 'other': not in"),
        (["--storage", "sqlite:///missing.db"], 1, "missing.db: no such study database"),
        (["--storage", "not-a-url"], 2, "--storage: not a database URL: not-a-url"),
        (["-o", "report.pdf"], 2, "--output report.pdf: must end in .html"),
        (["-o", "file/report.html"], 1, "--output file/report.html: "),
        (["-o", "folder.html"], 1, "--output folder.html: a folder"),
        (["--data", "missing.csv"], 1, "missing.csv: no such file"),
        (["a", "b", "--data", "x.csv"], 2, "--data: needs a single study"),
        ([str(i) for i in range(11)], 2, "11 studies: a page has at most 10; give fewer"),
        (["--test"], 1, "study 'tiny-numbers': the test split cannot be evaluated: "),
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
