"""Runs for MLflow, with a stand-in in memory and, where it is installed, with MLflow itself."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocrsearch.core.errors import OptionError
from ocrsearch.reports.mlflow_runs import DIGEST, SETTINGS, MlflowRuns, valid_key, without_password
from ocrsearch.reports.runs import Logged, Run
from tests.reports import fake_mlflow
from tests.reports.made_runs import BEGAN, make_run, trained_again

ID = "0a1b2c3d" * 4
IS_INSTALLED = importlib.util.find_spec("mlflow") is not None

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow and what it imports


@pytest.fixture(scope="module")
def place_of_real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One database for all tests, because MLflow takes seconds to create it."""
    return tmp_path_factory.mktemp("tracking")


@pytest.fixture(params=["stand-in", "MLflow"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for MLflow."""
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    if request.param == "MLflow":
        if not IS_INSTALLED:
            pytest.skip("MLflow is not installed")
        found: Path = request.getfixturevalue("place_of_real")
        return found
    fake_mlflow.install(monkeypatch)
    return tmp_path / "tracking"


@pytest.fixture
def study(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return str(request.node.name).replace("[", " ").replace("]", "")


def write(place: Path, study: str, *runs: Run, study_id: str = ID) -> Logged:
    with closing(MlflowRuns(str(place), study, study_id)) as log:
        return log.update(runs)


def counts(logged: Logged) -> tuple[int, int, int, int]:
    return logged.n_runs, logged.n_new, logged.n_updated, logged.n_epochs


def client(place: Path) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")


def stored(place: Path, study: str, study_id: str = ID) -> dict[int, Any]:
    """Return the runs of a study by the number of the trial."""
    found, token = [], None
    chosen = f"tags.`ocrsearch.study_id` = '{study_id}'"
    experiment = client(place).get_experiment_by_name(study).experiment_id
    while True:
        page = client(place).search_runs([experiment], chosen, page_token=token)
        found += page
        if not (token := page.token):
            break
    runs = {int(run.data.tags["ocrsearch.trial"]): run for run in found}
    assert len(runs) == len(found), "a trial has several runs"
    return runs


def history(place: Path, run: Any, key: str) -> list[tuple[int, float]]:
    found = client(place).get_metric_history(run.info.run_id, key)
    return sorted((metric.step, metric.value) for metric in found)


def expected(run: Run, key: str) -> list[tuple[int, float]]:
    return [(point.epoch, pytest.approx(point.values[key])) for point in run.points]


def test_everything_is_written(place: Path, study: str) -> None:
    states = ("finished", "pruned", "failed", "paused", "unfinished")
    runs = [make_run(number, state, number) for number, state in enumerate(states)]
    runs[2] = replace(runs[2], figures={"network/size_mb": 0.5})
    assert counts(write(place, study, *runs)) == (5, 5, 0, 10)
    found = stored(place, study)
    assert [found[number].info.status for number in range(5)] == [
        *("FINISHED", "KILLED", "FAILED", "SCHEDULED", "RUNNING")
    ]
    for number, run in enumerate(runs):
        mine = found[number]
        assert mine.info.run_name == f"trial {number}"
        assert mine.info.start_time == 1000 * BEGAN
        assert mine.info.end_time == (1000 * (BEGAN + 9) if number < 3 else None)
        assert mine.data.params == {
            "training.learning_rate": "0.01",
            "model.architecture": "crnn",
            "x": "None",
        }
        assert mine.data.tags["ocrsearch.state"] == states[number]
        assert mine.data.tags["ocrsearch.study"] == "numbers"
        for key in run.points[0].values if run.points else ():
            assert history(place, mine, key) == expected(run, key)
    assert history(place, found[2], "network/size_mb") == [(0, 0.5)]
    times = client(place).get_metric_history(found[1].info.run_id, "val/cer")
    assert [metric.timestamp for metric in times] == [1000 * BEGAN + 500]


def test_only_what_is_new_is_added(place: Path, study: str) -> None:
    finished = make_run(4, "finished", figures={"network/size_mb": 0.5})
    for run, added in (
        (make_run(0), (1, 1, 0, 0)),
        (make_run(2), (1, 0, 1, 2)),
        (make_run(2), (1, 0, 0, 0)),
        (make_run(2, "paused"), (1, 0, 1, 0)),
        (make_run(4), (1, 0, 1, 2)),  # resumed
        (finished, (1, 0, 1, 0)),
        (finished, (1, 0, 0, 0)),
    ):
        assert counts(write(place, study, run)) == added
    mine = stored(place, study)[0]
    assert mine.info.status == "FINISHED"
    assert history(place, mine, "val/cer") == expected(run, "val/cer")
    assert history(place, mine, "network/size_mb") == [(0, 0.5)]


def test_what_an_interrupted_update_lacks_is_added(place: Path, study: str) -> None:
    write(place, study, make_run(3, "finished"))
    mine = stored(place, study)[0]
    from mlflow.entities import RunTag

    client(place).log_batch(mine.info.run_id, tags=[RunTag(DIGEST, "interrupted")])
    assert counts(write(place, study, make_run(5, "finished"))) == (1, 0, 1, 2)
    mine = stored(place, study)[0]
    assert history(place, mine, "loss/train") == expected(make_run(5), "loss/train")


def test_a_trial_that_was_trained_again_gets_a_new_run(place: Path, study: str) -> None:
    write(place, study, make_run(4))
    before = stored(place, study)[0].info.run_id
    again = trained_again(make_run(4), 2)
    assert write(place, study, again).is_changed
    mine = stored(place, study)[0]
    assert mine.info.run_id != before
    assert history(place, mine, "val/cer") == expected(again, "val/cer")


def test_many_epochs_need_several_requests(place: Path, study: str) -> None:
    assert write(place, study, make_run(160)).n_epochs == 160
    mine = stored(place, study)[0]
    assert history(place, mine, "best/cer") == expected(make_run(160), "best/cer")


def test_studies_of_the_same_name_have_their_own_runs(place: Path, study: str) -> None:
    write(place, study, make_run(1), study_id="a" * 32)
    assert counts(write(place, study, make_run(2), study_id="b" * 32)) == (1, 1, 0, 2)
    assert len(stored(place, study, "a" * 32)) == len(stored(place, study, "b" * 32)) == 1


def test_any_name_and_any_text_can_be_written(place: Path, study: str) -> None:
    params = {"größe": "x" * 9000, "größer": 1, "a//b": 2, "../a": 3, "k" * 300: 4}
    params |= {f"p{i}": i for i in range(150)}
    run = make_run(1, params=params, tags={"failure": "é\n" * 5000})
    write(place, study, run)
    mine = stored(place, study)[0]
    assert len(mine.data.params) == len(params)
    assert mine.data.params["p149"] == "149"
    assert not write(place, study, run).is_changed


def test_errors_of_a_server_are_one_line_without_its_password(place: Path) -> None:
    with pytest.raises(OptionError, match=r"^mlflow: http://127\.0\.0\.1:9: ") as caught:
        MlflowRuns("http://user:secret@127.0.0.1:9", "numbers", ID)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_in_place_of_the_folder(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "file/folder"):
        with pytest.raises(OptionError, match=r"is no folder, and cannot be created"):
            MlflowRuns(str(tmp_path / name), "numbers", ID)


def test_without_mlflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(OptionError, match=r"^mlflow: .* pip install 'ocrsearch\[mlflow\]'"):
        MlflowRuns("tracking", "numbers", ID)


def test_keys_are_valid_and_different() -> None:
    for name in ("training.learning_rate", "loss/train", "a-b c"):
        assert valid_key(name) == name
    changed = ["größe", "größe ", "gr__e", "a//b", "a/b/", "a:b", "a b:", "../a", "", "." * 300]
    keys = [valid_key(name) for name in changed]
    assert len(set(keys)) == len(keys)
    assert max(map(len, keys)) <= 250


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://user:secret@host:5000/x", "http://host:5000/x"),
        ("http://token@host", "http://host"),
        ("postgresql://u:p@h/d?password=secret", "postgresql://h/d"),
        ("sqlite:////tmp/mlflow.db", "sqlite:////tmp/mlflow.db"),
        ("databricks", "databricks"),
    ],
)
def test_a_password_is_not_shown(uri: str, shown: str) -> None:
    assert without_password(uri) == shown
