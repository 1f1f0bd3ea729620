"""A search on a cluster of two nodes: a node is lost during the search and another is added."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ocrsearch.core.errors import OptionError
from ocrsearch.spaces.reading import parse_space
from ocrsearch.studies.database import open_storage
from ocrsearch.tuning.api import search
from ocrsearch.tuning.engines.ray import (
    ENVIRONMENT,
    LOOPBACK,
    LOOPBACK_ONLY,
    room_on_node,
)
from ocrsearch.tuning.options import SearchOptions
from ocrsearch.tuning.status import Status
from tests.conftest import TINY_CRNN

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
SPACE = f"""{TINY_CRNN}
  epochs: 8
search:
  pruner: {{name: none}}
"""
N_TRIALS = 6
ONE_CPU = {"num_cpus": 1, "node_ip_address": LOOPBACK}
QUICK_TO_NOTICE = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 2,
}


@contextmanager
def two_nodes() -> Iterator[Any]:
    """Start two nodes with one CPU each on the loopback address, in separate processes."""
    os.environ.update({**ENVIRONMENT, **LOOPBACK_ONLY})
    from ray.cluster_utils import Cluster

    head = {**ONE_CPU, "include_dashboard": False, "_system_config": QUICK_TO_NOTICE}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        cluster.add_node(**ONE_CPU)
        yield cluster
    finally:
        cluster.shutdown()


@dataclass
class Watcher:
    """Removes a node when both nodes train, and adds a node when the trial is queued again."""

    cluster: Any
    lines: list[str] = field(default_factory=list)
    n_alive: list[int] = field(default_factory=list)

    def __call__(self, status: Status, line: str | None) -> None:
        in_training = [r for r in status.running.values() if 0 < len(r.epochs) < 8]
        if not self.n_alive and len(in_training) == 2:
            (node,) = self.cluster.worker_nodes
            self.cluster.remove_node(node, allow_graceful=False)
            self.n_alive.append(1)
        if line:
            self.lines.append(line)
            if "is tried again" in line:
                self.cluster.add_node(**ONE_CPU)
                self.n_alive.append(2)


def test_a_node_that_is_lost_costs_no_configuration(tmp_path: Path, number_folder: Path) -> None:
    """Use a separate process: after an earlier use of Ray, it may wait for this cluster."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'ocrsearch[ray]'")
    done = subprocess.run(
        [sys.executable, "-m", "tests.tuning.engines.test_ray_cluster", tmp_path, number_folder],
        cwd=ROOT,
        stderr=subprocess.STDOUT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout


def lose_a_node(cluster: Any, tmp_path: Path, number_folder: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies/s.db"
    options = SearchOptions(
        trials=N_TRIALS,
        study="lost",
        storage=url,
        timeout_s=100,
        engine="ray",
        address=cluster.address,
    )
    watcher = Watcher(cluster)
    found = search(
        parse_space(SPACE, "tiny"), f"captcha:{number_folder}", options, observer=watcher
    )
    assert (found.ending, found.status.n_complete, found.status.n_failed) == ("trials", N_TRIALS, 0)
    assert watcher.n_alive == [1, 2]
    (again,) = [line for line in watcher.lines if "is tried again" in line]
    assert "its worker was lost" in again

    storage = open_storage(url)
    trials = storage.get_all_trials(storage.get_study_id_from_name("lost"))
    storage.engine.dispose()
    assert [trial.state.name for trial in trials] == ["COMPLETE"] * N_TRIALS
    assert len({str(trial.params) for trial in trials}) == N_TRIALS
    for trial in trials:  # each epoch is reported once, also for the resumed trial
        assert sorted(trial.intermediate_values) == list(range(1, 9))
    assert found.status.n_epochs == 8 * N_TRIALS


@pytest.mark.parametrize(
    ("resources", "gpus", "n"),
    [
        ({"CPU": 4.0}, 0.0, 4),
        ({"CPU": 0.5}, 0.0, 0),
        ({}, 0.0, 0),
        ({"CPU": 4.0}, 0.25, 0),
        ({"CPU": 16.0, "GPU": 2.0}, 0.25, 8),
        ({"CPU": 16.0, "GPU": 1.0}, 0.1, 10),
        ({"CPU": 3.0, "GPU": 1.0}, 0.1, 3),
        ({"CPU": 8.0, "GPU": 3.0}, 0.4, 6),
        ({"CPU": 8.0, "GPU": 3.0}, 1.0, 3),
    ],
)
def test_a_node_has_room_for_so_many_workers(
    resources: dict[str, float], gpus: float, n: int
) -> None:
    assert room_on_node(resources, gpus) == n


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (SearchOptions(address="127.0.0.1:6379"), "address: works with engine 'ray' only"),
        (SearchOptions(gpus_per_worker=0.5), "gpus_per_worker: works with engine 'ray' only"),
        (
            SearchOptions(engine="ray", gpus_per_worker=2),
            "gpus_per_worker: must be at most 1, got 2",
        ),
        (SearchOptions(engine="ray", device="cuda"), "gpus_per_worker: 'cuda' with engine 'ray'"),
        (SearchOptions(engine="ray", address="127.0.0.1:1"), "no Ray cluster answers there"),
    ],
)
def test_options_that_cannot_work_are_refused(
    options: SearchOptions, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if options.address and options.engine == "ray":
        pytest.importorskip("ray", reason="Ray is not installed: pip install 'ocrsearch[ray]'")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match=said):
        search(parse_space(SPACE, "tiny"), "digits", options)


def test_without_ray_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptionError, match=r"pip install 'ocrsearch\[ray\]'"):
        search(parse_space(SPACE, "tiny"), "digits", SearchOptions(engine="ray"))


if __name__ == "__main__":
    with two_nodes() as of_two:
        lose_a_node(of_two, *map(Path, sys.argv[1:]))
