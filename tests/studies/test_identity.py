"""Whose folder it is: nothing of another study is used, overwritten or deleted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ocrsearch.core.errors import StudyError
from ocrsearch.studies.database import files_folder, study_folder
from ocrsearch.studies.ownership import (
    IDENTITY,
    Identity,
    check_folder,
    claim_folder,
    read_identity,
    write_identity,
)
from tests.conftest import folder_contents

ID, OTHER = "a" * 32, "b" * 32
MINE = Identity(id=ID, study="s", database="one.db")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of a study with the weights of two trials."""
    for number in (0, 3):
        trial = tmp_path / "s" / f"trial-{number:05d}"
        trial.mkdir(parents=True)
        (trial / "best.pt").write_bytes(b"weights")
    return tmp_path / "s"


def test_a_claimed_folder_says_whose_it_is(folder: Path) -> None:
    claim_folder(folder, MINE, 4)
    assert read_identity(folder) == MINE
    claim_folder(folder, MINE, 4)
    check_folder(folder, "s", ID)


@pytest.mark.parametrize("study_id", [OTHER, None])
def test_the_folder_of_another_study_is_refused(folder: Path, study_id: str | None) -> None:
    write_identity(folder, MINE)
    before = folder_contents(folder)
    with pytest.raises(StudyError, match=r"belongs to another study \('s' of one.db, id aaaaaaaa"):
        check_folder(folder, "s", study_id)
    with pytest.raises(StudyError, match="belongs to another study"):
        claim_folder(folder, MINE.model_copy(update={"id": OTHER}), 4)
    assert folder_contents(folder) == before


@pytest.mark.parametrize(
    ("n_known", "message"),
    [
        (0, r"weights of another study with this name \(trial-00000\)"),  # deleted, and begun again
        (1, r"has 1 trial of study 's' but not trial-00003"),  # restored from a backup
        (3, r"has 3 trials of study 's' but not trial-00003"),
    ],
)
def test_weights_that_the_database_does_not_know(folder: Path, n_known: int, message: str) -> None:
    before = folder_contents(folder)
    with pytest.raises(StudyError, match=message):
        claim_folder(folder, MINE, n_known)
    assert folder_contents(folder) == before


def test_a_copied_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    claim_folder(folder, MINE, 4)
    shutil.copytree(folder, tmp_path / "copy")
    with pytest.raises(StudyError, match=r"belongs to another study \('s'"):
        claim_folder(tmp_path / "copy", Identity(id=OTHER, study="copy", database="one.db"), 0)


def test_an_empty_folder_of_a_trial_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / "trial-00007").mkdir()
    claim_folder(tmp_path, MINE, 0)
    assert read_identity(tmp_path) == MINE


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"id": 5, "study": "s", "database": "d"}', "\x00\xff", "{" * 5000]
)
def test_a_damaged_file_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / IDENTITY).write_text(text, encoding="latin-1")
    with pytest.raises(StudyError, match=IDENTITY) as caught:
        check_folder(tmp_path, "s", ID)
    assert "\n" not in str(caught.value)


# --- a folder for each database ---------------------------------------------------------------


def test_each_database_has_a_folder_of_its_own() -> None:
    names = ["one.db", "one.sqlite3", "one", "one.DB", "exp_v1.0", "exp_v1.1", ".db", "one.d"]
    assert len({files_folder(Path(name)) for name in names}) == len(names)
    assert files_folder(Path("studies/ocrsearch.db")) == Path("studies/ocrsearch")
    assert files_folder(Path("exp_v1.0")) == Path("exp_v1.0.d")


@pytest.mark.parametrize("name", ["../x", "..", "a/b", "/etc", "a\\b", "\0", "x" * 300])
def test_a_stored_name_never_leads_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyError, match="not valid for a folder"):
        study_folder(f"sqlite:///{tmp_path}/one.db", name)


def test_a_folder_of_an_earlier_version_is_found(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/exp_v1.0"
    earlier, now = tmp_path / "exp_v1" / "s", tmp_path / "exp_v1.0.d" / "s"
    assert study_folder(url, "s") == now
    earlier.mkdir(parents=True)
    assert study_folder(url, "s") == earlier
    assert study_folder(url, "s", is_new=True) == now
    write_identity(earlier, Identity(id=ID, study="s", database="exp_v1.1"))
    assert study_folder(url, "s") == now
    assert study_folder(url.replace("v1.0", "v1.1"), "s") == earlier
    now.mkdir(parents=True)
    assert study_folder(url, "s") == now


def test_the_file_can_be_read_by_other_programs(tmp_path: Path) -> None:
    write_identity(tmp_path, Identity(id=ID, study="空间", database="d"))
    content = json.loads((tmp_path / IDENTITY).read_text(encoding="utf-8"))
    assert content == {"id": ID, "study": "空间", "database": "d"}
