"""A search whose processes are killed at random, again and again, and which ends as if not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import optuna
import pytest

from ocrsearch.core.errors import StudyError
from ocrsearch.studies.database import open_storage
from ocrsearch.studies.records import REPEATED
from tests.conftest import TINY_CRNN, draw_text

pytestmark = pytest.mark.slow

SPACE = f"""{TINY_CRNN}
  epochs: 27
  decay_patience: 27
search:
  pruner: {{name: asha, rungs: [3, 9], tested: false}}
"""
WHOLE = "OCRSEARCH_CHAOS" in os.environ
"""Whether to run the long test (a minute and a half) instead of the short test."""

SEED = int(os.environ.get("OCRSEARCH_CHAOS_SEED", "1"))
VICTIMS = ("coordinator", "worker", "fork server")

N_TRIALS, N_KILLS, N_LONG = (80, 30, 8) if WHOLE else (9, 6, 1)
DEADLINE_S = 600


def children(parent: int) -> list[int]:
    """Return the process ids of the fork servers and workers below a process."""
    found = subprocess.run(
        ["pgrep", "-P", str(parent), "-f", "forkserver"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [int(pid) for pid in found.stdout.split()]


@dataclass
class Search:
    """A run of the command that restarts when its coordinator is killed."""

    place: Path
    process: subprocess.Popen[str] = field(init=False)
    curves: dict[int, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begin()

    @property
    def url(self) -> str:
        return f"sqlite:///{self.place}/studies/ocrsearch.db"

    def begin(self) -> None:
        start = "from ocrsearch.cli.app import main; main()"
        arguments = ["run", "--space", "s.yaml", "--data", "captcha:images", "--workers", "2"]
        self.process = subprocess.Popen(
            [sys.executable, "-c", start, *arguments, "--trials", str(N_TRIALS), "--json"],
            cwd=self.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def servers(self) -> list[int]:
        """Return the process id of the fork server, if it is alive."""
        return children(self.process.pid)

    def workers(self) -> list[int]:
        """Return the process ids of the workers that are alive."""
        return [pid for server in self.servers() for pid in children(server)]

    def kill(self, victim: str) -> bool:
        """Kill the coordinator, a worker or the fork server; return whether it existed."""
        if victim == "coordinator":
            self.process.kill()
            self.process.communicate()
            self.begin()
            return True
        found = self.servers() if victim == "fork server" else self.workers()
        if found:
            subprocess.run(["kill", "-9", str(min(found))], check=False)
        return bool(found)

    def n_epochs(self) -> int:
        """Return the number of stored epochs; epochs stored before must not have changed."""
        if not (self.place / "studies" / "ocrsearch.db").exists():
            return 0
        for trial in self.trials():
            epochs = trial.user_attrs.get("epochs", [])
            known = self.curves.get(trial.number, [])
            assert epochs[: len(known)] == known, f"trial {trial.number} was trained again"
            self.curves[trial.number] = epochs
        return sum(map(len, self.curves.values()))

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        try:
            storage = open_storage(self.url)
        except StudyError:  # its tables are not complete yet
            return []
        studies = storage.get_all_studies()
        found = storage.get_all_trials(studies[0]._study_id) if studies else []
        storage.engine.dispose()
        return found

    def await_epochs(self, n: int) -> bool:
        """Wait until n epochs are stored; return False if the search ends before."""
        deadline = time.monotonic() + DEADLINE_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            if self.n_epochs() >= n:
                return True
            time.sleep(0.05)
        return False


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for text in {"".join(rng.choice(list("0123456789"), 3)) for _ in range(40)}:
        assert cv2.imwrite(str(tmp_path / "images" / f"{text}.png"), draw_text(text))
    (tmp_path / "s.yaml").write_text(SPACE, encoding="utf-8")
    return tmp_path


def leftovers(studies: Path) -> list[str]:
    """Return the temporary files that a finished search must have removed."""
    names = {str(path.relative_to(studies)) for path in studies.rglob("*")}
    temporary = re.compile(r"(.*/)?(\..*\.tmp|[^/]*\.(tmp|part)|data|last\.pt)")
    return sorted(name for name in names if temporary.fullmatch(name))


def test_kills_at_random_cost_nothing_but_the_epochs_in_progress(place: Path) -> None:
    rng = np.random.default_rng(SEED)
    search = Search(place)
    kills: Counter[str] = Counter()
    try:
        while kills.total() < N_KILLS:
            # sometimes during start-up, otherwise after another epoch
            if rng.random() > 0.2 and not search.await_epochs(search.n_epochs() + 1):
                break
            time.sleep(rng.uniform(0, 0.1))
            victim = str(rng.choice(VICTIMS, p=(0.35, 0.4, 0.25)))
            kills[victim] += search.kill(victim)
        output, errors = search.process.communicate(timeout=DEADLINE_S)
    finally:
        search.process.kill()
        search.process.communicate()
    assert search.process.returncode == 0, errors
    print(f"kills: {dict(kills)}")  # noqa: T201
    assert kills.total() == N_KILLS, "the search ended too soon"
    assert "Traceback" not in errors
    found = json.loads(output)
    assert (found["n_finished"], found["n_failed"], found["n_unfinished"]) == (N_TRIALS, 0, 0)
    search.n_epochs()
    trials = [t for t in search.trials() if REPEATED not in t.user_attrs]
    assert len(trials) == N_TRIALS
    assert {t.state.name for t in trials} == {"COMPLETE", "PRUNED"}
    assert len({t.params["training.learning_rate"] for t in trials}) == N_TRIALS
    for trial in trials:
        steps = [record["epoch"] for record in trial.user_attrs["epochs"]]
        assert steps == list(range(1, len(steps) + 1)) == sorted(trial.intermediate_values)
    lengths = sorted((len(t.user_attrs["epochs"]) for t in trials), reverse=True)
    n_long = sum(length >= 27 for length in lengths)  # so many in each fold
    assert n_long >= N_LONG  # a third of a third, and who came early
    assert leftovers(place / "studies") == []
    check_best(place)


def check_best(place: Path) -> None:
    """The best model of the study loads and reads."""
    start = "from ocrsearch.cli.app import main; main()"
    for arguments in (["best", "--export", "m.pt"], ["predict", "m.pt", "images", "--json"]):
        done = subprocess.run(
            [sys.executable, "-c", start, *arguments], cwd=place, capture_output=True, check=True
        )
    assert json.loads(done.stdout)["files"]
