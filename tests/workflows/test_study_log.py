"""A study in the logs of TensorBoard and MLflow, from Python and from the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ocrsearch
from ocrsearch.core.errors import OptionError, StudyError
from ocrsearch.reports.runs import Logged
from ocrsearch.workflows import study_log
from tests.reports import fake_mlflow

if TYPE_CHECKING:
    from tests.conftest import CommandResult, StudyDb

Command = Callable[..., "CommandResult"]

N_RUNS, N_EPOCHS = 7, 11
"""Trials of the study that were trained or have failed, and their epochs."""


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tensorboard")
    fake_mlflow.install(monkeypatch)


def test_a_study_is_logged(study_db: StudyDb, tmp_path: Path) -> None:
    study = ocrsearch.load_study(study_db.name, study_db.url)
    folder = tmp_path / "logs" / study_db.name
    for _ in range(2):
        logged = study.log(tensorboard=tmp_path / "logs", mlflow=str(tmp_path / "tracking"))
        assert not logged.is_searched
        if not logged.logged[0].is_changed:
            break
        assert logged.tensorboard == Logged(str(folder), N_RUNS, N_RUNS, 0, N_EPOCHS)
        place = f"sqlite:///{tmp_path}/tracking/mlflow.db"
        assert logged.mlflow == Logged(place, N_RUNS, N_RUNS, 0, N_EPOCHS)
    assert [log.n_new + log.n_updated + log.n_epochs for log in logged.logged] == [0, 0]
    assert len([*folder.glob("trial-*/*tfevents*")]) == N_RUNS


def test_it_is_followed_until_the_search_ends(
    study_db: StudyDb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, answers = ocrsearch.load_study(storage=study_db.url), [True, True, False]
    slept: list[float] = []
    monkeypatch.setattr(study_log, "is_searched", lambda *_: answers.pop(0))
    monkeypatch.setattr(study_log.time, "sleep", slept.append)
    updates = study_log.log_study(
        study.storage, study.optuna_study, tensorboard=tmp_path, follow=True
    )
    assert [update.is_searched for update in updates] == [True, True, False]
    assert slept == [study_log.FOLLOW_SECONDS] * 2


def test_a_study_that_was_deleted_meanwhile(
    study_db: StudyDb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = ocrsearch.load_study(storage=study_db.url)

    def gone(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr(study_log, "study_runs", gone)
    with pytest.raises(StudyError, match="'tiny-numbers': was deleted meanwhile"):
        study.log(tensorboard=tmp_path)


def test_a_place_is_needed(study_db: StudyDb) -> None:
    study = ocrsearch.load_study(storage=study_db.url)
    with pytest.raises(OptionError, match="give `tensorboard` or `mlflow`"):
        study.log()
    with pytest.raises(OptionError, match=r"^mlflow: must be the path of a folder, got 3"):
        study.log(mlflow=3)  # type: ignore[arg-type]


def test_the_command_logs_and_says_how_to_look(
    study_db: StudyDb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    places = ("--tensorboard", "my logs", "--mlflow", "tracking", "--storage", study_db.url)
    done = command("log", study_db.name, *places, "--follow")
    assert done.code == 0
    uri = f"sqlite:///{tmp_path}/tracking/mlflow.db"
    counts = f"({N_RUNS} new, 0 updated, {N_EPOCHS} epochs added)"
    assert done.out.splitlines() == [
        f"study tiny-numbers: {N_RUNS} trials in my logs/tiny-numbers {counts}",
        f"study tiny-numbers: {N_RUNS} trials in {uri} {counts}",
        "view: tensorboard --logdir 'my logs'",
        f"view: mlflow server --backend-store-uri {uri}",
    ]
    assert done.err == "note: no search of study 'tiny-numbers' is running\n"
    content = command("log", *places, "--json").json()
    assert content["study"] == "tiny-numbers"
    assert content["tensorboard"]["n_runs"] == content["mlflow"]["n_runs"] == N_RUNS
    assert content["tensorboard"]["n_new"] == content["mlflow"]["n_epochs"] == 0


def test_without_a_place_the_command_names_its_options(study_db: StudyDb, command: Command) -> None:
    done = command("log", "--storage", study_db.url)
    assert (done.code, done.out) == (2, "")
    assert done.err == "ocrsearch: where to log is missing; give --tensorboard or --mlflow\n"


def test_secrets_are_not_logged(study_db: StudyDb, tmp_path: Path, command: Command) -> None:
    done = command(
        *("log", "--storage", study_db.url, "--tensorboard", tmp_path / "logs"),
        *("--mlflow", "postgresql://user:s3cr3t@host/database"),
    )
    assert done.code == 0
    assert "s3cr3t" not in done.out + done.err
    runs = fake_mlflow.STORES["postgresql://user:s3cr3t@host/database"]["tiny-numbers"]
    logged = str([(run.params, run.tags) for run in runs]).encode()
    logged += b"".join(path.read_bytes() for path in tmp_path.rglob("*tfevents*"))
    database = study_db.url.removeprefix("sqlite:///").encode()
    assert database not in logged, "the URL of the study database may have a password"
