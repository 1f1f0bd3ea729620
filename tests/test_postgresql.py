"""Studies on a PostgreSQL server, which the tests start, and several searches of one study."""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, text

from ocrsearch.core.errors import OptionError, StudyError
from ocrsearch.reports import study_page
from ocrsearch.spaces.reading import parse_space
from ocrsearch.studies.database import open_storage, study_folder
from ocrsearch.studies.facts import StudyFacts
from ocrsearch.studies.records import OWNER, REPEATED
from ocrsearch.studies.results import list_studies, load_study
from ocrsearch.studies.sharing import hold_study
from ocrsearch.studies.study import open_study
from ocrsearch.workflows import collect_report
from tests.conftest import TINY_CRNN

# a storage that is read has no end but its garbage, and the driver leaves what it cannot connect
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

PASSWORD = "gehei:m/1"  # noqa: S105
ENCODED = "gehei%3Am%2F1"

SPACE = f"""{TINY_CRNN}
  epochs: EPOCHS
  decay_patience: EPOCHS
search:
  sampler: {{name: random}}
  pruner: PRUNER
  folds: 1
"""
STARTS_WITHIN_S = 60
ENDS_WITHIN_S = 120


@dataclass(frozen=True)
class Server:
    """A PostgreSQL server of the tests' own, on loopback."""

    port: int

    def url(self, database: str, password: str = ENCODED) -> str:
        return f"postgresql://tester:{password}@127.0.0.1:{self.port}/{database}"

    def new_database(self, name: str) -> str:
        """Make a database; return its URL."""
        engine = create_engine(self.url("postgres").replace("://", "+pg8000://", 1))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f'CREATE DATABASE "{name}"'))
        engine.dispose()
        return self.url(name)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    found = str(programs[-1]) if programs else shutil.which("pg_ctl")
    if found is None:
        pytest.skip("PostgreSQL's pg_ctl is not installed")
    as_owner = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []  # refuses root
    with tempfile.TemporaryDirectory() as place, socket.socket() as free:
        folder = Path(place)
        (folder / "password").write_text(PASSWORD, encoding="utf-8")
        if as_owner:
            for path in (folder, folder / "password"):
                shutil.chown(path, "postgres")
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        data = ["-D", f"{place}/data"]
        make = f"-U tester -A scram-sha-256 --pwfile={place}/password -E UTF8 --locale=C -N"
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -F"

        def control(*arguments: str) -> None:
            subprocess.run(
                [*as_owner, found, *data, "-s", *arguments],
                cwd="/",
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )

        control("initdb", "-o", make)
        control("start", "-w", "-l", f"{place}/log", "-o", options)
        try:
            yield Server(port)
        finally:
            control("stop", "-m", "immediate")


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Connections that are garbage are closed within the test that made them."""
    yield
    gc.collect()


@contextmanager
def opened(url: str) -> Iterator[optuna.storages.RDBStorage]:
    storage = open_storage(url, create=True)
    try:
        yield storage
    finally:
        storage.engine.dispose()


@contextmanager
def loaded(url: str) -> Iterator[optuna.Study]:
    study = load_study(url, "s")
    try:
        yield study
    finally:
        study._storage._backend.engine.dispose()  # type: ignore[attr-defined]


def new_study(storage: optuna.storages.RDBStorage, slot: int = 1) -> optuna.Study:
    content = SPACE.replace("EPOCHS", "2").replace("PRUNER", "{name: none}")
    space = parse_space(content, "space")
    facts = StudyFacts(space.name, space.content, "d", "f", {"train": 2}, {}, 7)
    return open_study(storage, "s", space, facts, slot=slot)


# --- opening ----------------------------------------------------------------------------------


def wrong_urls(server: Server) -> dict[str, tuple[str, str]]:
    right = server.url("wrong")
    return {
        "server": (right.replace(str(server.port), "9"), "create a connection"),
        "password": (server.url("wrong", "other"), 'password authentication failed for user "tes'),
        "database": (server.url("missing"), 'database "missing" does not exist'),
        "tables": (right, "not a study database; create one with 'ocrsearch run'"),
        "options": (f"{right}?sslmode=require", "takes no options after '?'"),
        "no database": (server.url(""), "names no database"),
        "no URL": (f"//{right.partition('://')[2]}", "not a database URL"),
        "port": (right.replace(str(server.port), "port"), "not a database URL"),
    }


def test_what_is_wrong_is_said_in_one_line_without_the_password(server: Server) -> None:
    server.new_database("wrong")
    for url, message in wrong_urls(server).values():
        with pytest.raises((StudyError, OptionError)) as raised:
            open_storage(url)
        said = str(raised.value)
        assert message in said
        assert len(said.splitlines()) == 1
        assert not re.search(r"gehei|other@|m/1|%2F1", said)


def test_the_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"pip install 'ocrsearch\[postgresql\]'"):
        open_storage("postgresql://a:b@localhost/c")


def test_weights_are_in_a_folder_of_the_database() -> None:
    folder = study_folder("postgresql://a:b@host/meters", "s")
    assert folder == Path("studies") / "meters" / "s"


def test_a_study_is_made_read_and_listed_as_searched(server: Server, tmp_path: Path) -> None:
    url = server.new_database("read")
    with opened(url) as storage:
        new_study(storage)
        assert [s.name for s in list_studies(url)] == ["s"]
        assert not list_studies(url)[0].is_running
        with hold_study(storage, tmp_path, "s"), hold_study(storage, tmp_path, "s"):
            assert list_studies(url)[0].is_running
        assert not list_studies(url)[0].is_running
    with pytest.raises(StudyError, match=r"study 'x': not in postgresql://tester:\*\*\*@127"):
        load_study(url, "x")


def test_a_study_on_the_server_is_reported_without_the_password(server: Server) -> None:
    url = server.new_database("reported")
    with opened(url) as storage:
        new_study(storage)
    page = study_page([collect_report(url, "s")])
    assert "no trial has started" in page
    assert PASSWORD not in page
    assert ENCODED not in page


# --- agreeing ---------------------------------------------------------------------------------


def test_what_a_coordinator_leaves_is_anothers(server: Server, tmp_path: Path) -> None:
    with opened(server.new_database("left")) as storage, ExitStack() as stack:
        first = stack.enter_context(hold_study(storage, tmp_path, "s"))
        with hold_study(storage, tmp_path, "s") as second:
            assert (first.slot, second.slot) == (1, 2)
            assert first.folder(tmp_path) != second.folder(tmp_path)
            study = new_study(storage, slot=2)
            with second.turn():
                theirs = study.ask()
                second.claim(theirs)
            with first.turn():
                assert first.left_behind(study) == []
                assert not first.leave()
        with hold_study(storage, tmp_path, "s") as third, third.turn():
            assert third.slot == 2
            (left,) = third.left_behind(study)  # one of its slot's earlier holder
            assert left[0].number == theirs.number
            third.claim(theirs)
            assert third.left_behind(study) == []
            assert third.leave()  # the first has left
        with first.turn():
            assert len(first.left_behind(study)) == 1


def test_folders_of_killed_coordinators_are_removed(server: Server, tmp_path: Path) -> None:
    for slot in (1, 2, 7):
        (tmp_path / f"coordinator-{slot}" / "data").mkdir(parents=True)
    (tmp_path / "trial-00000").mkdir()
    with opened(server.new_database("killed")) as storage:
        with hold_study(storage, tmp_path, "s"), hold_study(storage, tmp_path, "s"):
            there = {path.name for path in tmp_path.iterdir()}
            assert there == {"coordinator-1", "coordinator-2", "trial-00000"}
        assert [path.name for path in tmp_path.iterdir()] == ["trial-00000"]


def test_one_whose_connection_is_lost_ends(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrsearch.studies.sharing.LOOK_SECONDS", 0.0)
    with opened(server.new_database("lost")) as storage:
        study = new_study(storage)
        with hold_study(storage, tmp_path, "s") as sharing:
            assert sharing.is_time_to_look()
            with storage.engine.connect() as connection:
                others = "FROM pg_stat_activity WHERE datname = 'lost' AND pid <> pg_backend_pid()"
                connection.execute(text(f"SELECT pg_terminate_backend(pid) {others}"))
            assert study.get_trials() == []  # the study itself is reached again
            with pytest.raises(StudyError, match="does not respond") as raised:
                sharing.is_time_to_look()
            assert len(str(raised.value).splitlines()) == 1


def test_samplers_of_several_coordinators_suggest_different_things(server: Server) -> None:
    with opened(server.new_database("seeds")) as storage:
        drawn = [
            new_study(storage, slot).sampler._rng.rng.random()  # type: ignore[attr-defined]
            for slot in (1, 1, 2)
        ]
    assert drawn[0] == drawn[1] != drawn[2]


# --- searching --------------------------------------------------------------------------------


@dataclass
class Place:
    """A folder with pictures and a space, and a database; searches are started there."""

    folder: Path
    url: str

    def command(self, *arguments: str) -> list[str]:
        start = "from ocrsearch.cli.app import main; main()"
        return [sys.executable, "-c", start, *arguments, "--storage", self.url]

    def start(self, n_trials: int) -> subprocess.Popen[str]:
        run = ["run", "--space", "s.yaml", "--data", "captcha:pictures", "--workers", "1"]
        return subprocess.Popen(
            self.command(*run, "--study", "s", "--trials", str(n_trials), "--json"),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def trials(self) -> list[FrozenTrial]:
        try:
            with loaded(self.url) as study:
                return study.get_trials(deepcopy=False)
        except StudyError:  # it is being made
            return []

    def until(self, condition: Callable[[list[FrozenTrial]], bool]) -> list[FrozenTrial]:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not condition(trials := self.trials()):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return trials


@pytest.fixture
def new_place(tmp_path: Path, server: Server) -> Callable[..., Place]:
    def make(epochs: int, pruner: str) -> Place:
        rng = np.random.default_rng(0)
        (tmp_path / "pictures").mkdir()
        for label in {"".join(rng.choice(list("0123456789"), 3)) for _ in range(40)}:
            image = np.full((20, 40), 255, np.uint8)
            cv2.putText(image, label, (2, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.55, 0, 1, cv2.LINE_AA)
            assert cv2.imwrite(str(tmp_path / "pictures" / f"{label}.png"), image)
        content = SPACE.replace("EPOCHS", str(epochs)).replace("PRUNER", pruner)
        (tmp_path / "s.yaml").write_text(content, encoding="utf-8")
        return Place(tmp_path, server.new_database(f"search-{epochs}"))

    return make


@contextmanager
def ended_at_last(*processes: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, errors = process.communicate(timeout=ENDS_WITHIN_S)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    found: dict[str, Any] = json.loads(output)
    return found


def check_trials(trials: list[FrozenTrial], n: int) -> None:
    """None is missing, none was trained twice, none is left."""
    trials = [t for t in trials if REPEATED not in t.user_attrs]
    assert len(trials) == n
    assert {t.state for t in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert all("failure" not in t.user_attrs for t in trials)
    assert len({t.params["training.learning_rate"] for t in trials}) == n
    for trial in trials:
        steps = [record["epoch"] for record in trial.user_attrs["epochs"]]
        assert steps == list(range(1, len(steps) + 1)) == sorted(trial.intermediate_values)


def test_two_searches_share_one_study(new_place: Callable[..., Place]) -> None:
    n = 14
    place = new_place(9, "{name: asha, rungs: [3]}")
    both = place.start(n), place.start(n)
    with ended_at_last(*both):
        found = [result(process) for process in both]
    assert [f["n_finished"] for f in found] == [n, n]
    assert found[0]["best_trial"] == found[1]["best_trial"]
    trials = place.trials()
    check_trials(trials, n)
    assert {t.user_attrs[OWNER] for t in trials} == {1, 2}
    n_epochs = sum(len(t.user_attrs["epochs"]) for t in trials)
    assert sum(f["n_epochs"] for f in found) == n_epochs
    lengths = [len(t.user_attrs["epochs"]) for t in trials]
    assert set(lengths) == {3, 9}
    assert n // 3 <= lengths.count(9) < n  # those that were among the best when they came, too
    with loaded(place.url) as study:
        running = study._storage.get_all_trials(study._study_id, states=(TrialState.RUNNING,))
        assert running == []
    assert not list(place.folder.rglob("last.pt"))
    assert not list(place.folder.rglob("coordinator-*"))
    for arguments in (["best", "--export", "m.pt"], ["studies", "list"]):
        done = subprocess.run(
            place.command(*arguments), cwd=place.folder, capture_output=True, text=True, check=True
        )
        assert "gehei" not in done.stdout + done.stderr
    assert (place.folder / "m.pt").exists()


def test_what_a_killed_search_was_training_is_finished_by_the_other(
    new_place: Callable[..., Place],
) -> None:
    n, n_epochs = 4, 40
    place = new_place(n_epochs, "{name: none}")
    survivor, victim = place.start(n), place.start(n)

    def both_train(trials: list[FrozenTrial]) -> bool:
        in_training = [t for t in trials if t.state == TrialState.RUNNING]
        return len({t.user_attrs[OWNER] for t in in_training if has_epochs(t)}) == 2

    def has_epochs(trial: FrozenTrial) -> bool:
        return OWNER in trial.user_attrs and len(trial.user_attrs.get("epochs", ())) >= 2

    with ended_at_last(survivor, victim):
        place.until(both_train)
        os.killpg(victim.pid, signal.SIGKILL)
        victim.wait()
        before = {t.number: t for t in place.trials() if t.state == TrialState.RUNNING}
        found = result(survivor)
    assert (found["n_finished"], found["n_unfinished"]) == (n, 0)
    trials = place.trials()
    check_trials(trials, n)
    assert [len(t.user_attrs["epochs"]) for t in trials] == [n_epochs] * n
    assert len({t.user_attrs[OWNER] for t in trials}) == 1 or len(before) == 1
    for number, trial in before.items():
        known = trial.user_attrs.get("epochs", [])
        assert trials[number].user_attrs["epochs"][: len(known)] == known  # from its checkpoint
