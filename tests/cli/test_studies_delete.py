"""``studies delete``, ``best --trial`` and lost weights: nothing of another study is touched."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ocrsearch.studies.database import study_folder
from ocrsearch.studies.ownership import (
    IDENTITY,
    Identity,
    study_lock,
    write_identity,
)

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

Command = Callable[..., "CommandResult"]
NAME = "tiny-numbers"


@pytest.fixture
def url(study_db: StudyDb, tmp_path: Path) -> str:
    """A copy of the study with trials of all kinds, and its folder."""
    file = tmp_path / "studies.db"
    with sqlite3.connect(study_db.url.removeprefix("sqlite:///")) as connection:
        connection.execute("VACUUM INTO ?", (str(file),))
    connection.close()
    shutil.copytree(study_db.folder, tmp_path / "studies" / NAME)
    return f"sqlite:///{file}"


def test_delete_frees_the_disk(command: Command, url: str, tmp_path: Path) -> None:
    folder = study_folder(url, NAME)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    result = command("studies", "delete", NAME, "--yes", "--json", "--storage", url)
    assert (result.code, result.err) == (0, "")
    assert (result.json()["n_trials"], result.json()["n_bytes"]) == (8, size)
    assert not folder.exists()
    assert command("studies", "list", "--json", "--storage", url).json()["studies"] == []
    again = command("studies", "delete", NAME, "--yes", "--storage", url)
    assert (again.code, "found none" in again.err) == (1, True)


def test_delete_asks_where_somebody_can_answer(command: Command, url: str) -> None:
    result = command("studies", "delete", NAME, "--storage", url)
    assert (result.code, "--yes" in result.err) == (2, True)
    assert study_folder(url, NAME).exists()


def test_delete_is_refused_while_a_search_runs(command: Command, url: str) -> None:
    with study_lock(study_folder(url, NAME), NAME):
        result = command("studies", "delete", NAME, "--yes", "--storage", url)
    assert (result.code, "a search is running" in result.err) == (1, True)
    assert study_folder(url, NAME).exists()


def test_delete_refuses_the_folder_of_another_study(command: Command, url: str) -> None:
    folder = study_folder(url, NAME)
    write_identity(folder, Identity(id="f" * 32, study="other", database="other.db"))
    result = command("studies", "delete", NAME, "--yes", "--storage", url)
    assert (result.code, "belongs to another study ('other'" in result.err) == (1, True)
    assert (folder / IDENTITY).exists()
    assert len(command("studies", "list", "--json", "--storage", url).json()["studies"]) == 1


def test_delete_follows_no_link(command: Command, url: str, tmp_path: Path) -> None:
    folder = study_folder(url, NAME)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    result = command("studies", "delete", NAME, "--yes", "--storage", url)
    assert (result.code, "delete it yourself" in result.err) == (1, True)
    assert any((tmp_path / "elsewhere").iterdir())


# --- choosing a trial -------------------------------------------------------------------------


def test_lost_weights_name_the_next_best(command: Command, url: str, tmp_path: Path) -> None:
    folder = study_folder(url, NAME)
    shutil.copytree(folder / "trial-00002", folder / "trial-00003")
    shutil.rmtree(folder / "trial-00002")
    export = tmp_path / "my model.pt"
    result = command("best", "--study", NAME, "--storage", url, "--export", export)
    assert result.code == 1
    assert "the weights of trial 2 are missing" in result.err
    assert "next best trial with weights is 3 (CER 0.2500): ocrsearch best" in result.err
    assert f"--trial 3 --export '{export}' --storage {url}" in result.err


def test_weights_of_another_configuration_are_refused(
    command: Command, url: str, tmp_path: Path
) -> None:
    folder = study_folder(url, NAME)
    shutil.copytree(folder / "trial-00002", folder / "trial-00003")
    export = tmp_path / "model.pt"
    arguments = ("best", "--study", NAME, "--storage", url, "--export", export, "--trial")
    wrong = command(*arguments, 3)
    message = "belongs to another configuration, not to trial 3"
    assert (wrong.code, message in wrong.err) == (1, True)
    assert not export.exists()
    assert command(*arguments, 2).code == 0


def test_a_trial_that_is_none(command: Command, url: str) -> None:
    result = command("best", "--storage", url, "--trial", 99)
    assert (result.code, "trial 99 has no weights" in result.err) == (1, True)
    assert command("best", "--storage", url, "--trial", 0, "--json").json()["trial"] == 0
