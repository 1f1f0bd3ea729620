"""What every engine does: jobs, answers, failures, and workers that are lost."""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from ocrsearch.core.config import (
    Config,
    CrnnConfig,
    EncoderConfig,
    ImageConfig,
    TrainingConfig,
)
from ocrsearch.core.errors import StudyError
from ocrsearch.data.dataset import Dataset
from ocrsearch.data.prepared import save_dataset
from ocrsearch.training.checkpoint import save_tensors
from ocrsearch.training.records import LAST
from ocrsearch.tuning.engines.events import (
    Answer,
    EpochDone,
    Event,
    Job,
    TrialDone,
    TrialFailed,
    WorkerReady,
    WorkerRefused,
)
from ocrsearch.tuning.engines.local import LocalEngine
from ocrsearch.tuning.engines.ray import RayEngine, RayWorker
from ocrsearch.tuning.engines.worker import WorkerSetup
from ocrsearch.tuning.runner import Engine

CONFIG = Config(
    images=ImageConfig(height=16),
    model=CrnnConfig(
        encoder=EncoderConfig(conv_depth=2, conv_base=8, linear_width=8, hidden_size=8)
    ),
    training=TrainingConfig(batch_size=8, epochs=3, warmup_steps=2),
)
WITHIN_S = 60.0


@dataclass
class Started:
    """An engine with one worker, and a way to kill that without its leave."""

    engine: Engine
    kill: Callable[[], None]

    def next_event(self) -> Event:
        deadline = time.monotonic() + WITHIN_S
        while not (events := self.engine.poll(0.2)):
            assert time.monotonic() < deadline
        (event,) = events
        return event


def local_engine(setup: WorkerSetup) -> tuple[Any, Callable[[], None]]:
    engine = LocalEngine(1, setup)
    return engine, lambda: engine._workers[0].process.kill()


def ray_engine(setup: WorkerSetup) -> tuple[Any, Callable[[], None]]:
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'ocrsearch[ray]'")
    engine = RayEngine(1, setup)
    return engine, lambda: ray.kill(engine._workers[0].actor)


@pytest.fixture(scope="module", params=[local_engine, ray_engine], ids=["local", "ray"])
def started(
    request: pytest.FixtureRequest,
    sixteen_lines: Dataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Started]:
    folder = tmp_path_factory.mktemp("study") / "data"
    save_dataset(sixteen_lines, folder)
    engine, kill = request.param(WorkerSetup(folder, "cpu"))
    try:
        started = Started(engine, kill)
        assert isinstance(started.next_event(), WorkerReady)
        yield started
    finally:
        engine.close()


def kind_of_kill(engine: Engine) -> str:
    """Return the failure that a kill is: Ray does not say how an actor ended."""
    return "killed" if isinstance(engine, LocalEngine) else "died"


def job(folder: Path) -> Job:
    return Job(number=7, config=CONFIG, seed=3, folder=folder / "trial-7", precision="fp32")


def test_knows_the_machine_of_its_workers(started: Started) -> None:
    assert started.engine.machine is not None
    assert started.engine.machine.device == "cpu"
    assert started.engine.n_idle == 1
    assert started.engine.poll(0.0) == []


def test_trains_a_job_and_asks_after_each_epoch(started: Started, tmp_path: Path) -> None:
    engine = started.engine
    engine.submit(job(tmp_path))
    assert engine.n_idle == 0
    for n in (1, 2):
        event = started.next_event()
        assert isinstance(event, EpochDone)
        assert (event.number, len(event.epochs)) == (7, n)
        assert engine.poll(0.1) == []  # it waits
        engine.answer(7, Answer(go_on=True))
    event = started.next_event()
    assert isinstance(event, TrialDone)
    assert (event.number, len(event.epochs)) == (7, 3)
    assert engine.n_idle == 1


def test_stops_a_job(started: Started, tmp_path: Path) -> None:
    started.engine.submit(job(tmp_path))
    assert isinstance(started.next_event(), EpochDone)
    started.engine.answer(7, Answer(go_on=False))
    event = started.next_event()
    assert isinstance(event, TrialDone)
    assert len(event.epochs) == 1
    assert started.engine.n_idle == 1


def test_tells_of_a_crash_and_keeps_the_worker(started: Started, tmp_path: Path) -> None:
    crashing = job(tmp_path)
    crashing.folder.mkdir()
    save_tensors({"trainer": {}}, crashing.folder / LAST)  # without the network
    started.engine.submit(crashing)
    event = started.next_event()
    assert isinstance(event, TrialFailed)
    assert (event.number, event.kind) == (7, "crash")
    assert "Traceback" in event.traceback
    assert started.engine.n_idle == 1


@pytest.mark.parametrize("answered", [False, True], ids=["while it waits", "while it trains"])
def test_a_worker_that_dies_is_replaced_and_its_job_goes_on(
    started: Started, tmp_path: Path, answered: bool
) -> None:
    engine = started.engine
    engine.submit(job(tmp_path))
    assert isinstance(started.next_event(), EpochDone)
    if answered:
        engine.answer(7, Answer(go_on=True))
    started.kill()
    if not answered:
        engine.answer(7, Answer(go_on=True))  # as it died in the meantime
    event = started.next_event()
    while isinstance(event, EpochDone):  # it was quicker than its death
        engine.answer(7, Answer(go_on=True))
        event = started.next_event()
    assert isinstance(event, TrialFailed)
    assert (event.number, event.kind) == (7, kind_of_kill(engine))
    assert isinstance(started.next_event(), WorkerReady)
    engine.submit(job(tmp_path))
    event = started.next_event()
    assert isinstance(event, EpochDone)
    assert len(event.epochs) >= 1  # those that were saved, told again
    engine.answer(7, Answer(go_on=False))
    assert isinstance(started.next_event(), TrialDone)


def test_an_idle_worker_that_dies_costs_no_trial(started: Started, tmp_path: Path) -> None:
    started.kill()
    time.sleep(0.5)
    engine = started.engine
    event = engine.poll(0.2)
    if started.engine.n_idle:  # Ray tells of it when the worker is used
        engine.submit(job(tmp_path))
        lost = started.next_event()
        assert isinstance(lost, TrialFailed)
        assert lost.kind == kind_of_kill(engine)
    else:
        assert event == []
    assert isinstance(started.next_event(), WorkerReady)


def test_one_that_cannot_start_is_told_of(
    request: pytest.FixtureRequest, started: Started, tmp_path: Path
) -> None:
    """Runs beside the other engine of its kind, on what that has started."""
    begin = local_engine if isinstance(started.engine, LocalEngine) else ray_engine
    engine, _ = begin(WorkerSetup(tmp_path / "data", "no such device"))
    if isinstance(engine, RayEngine):  # which computes on the CPU unless it has a share of a GPU
        engine.close()
        pytest.skip("Ray's workers have the device that their share of a GPU means")
    try:
        event = Started(engine, lambda: None).next_event()
        assert isinstance(event, WorkerRefused)
        assert "no such device" in event.reason
    finally:
        engine.close()


def test_a_ray_worker_refuses_a_folder_that_it_does_not_share(
    sixteen_lines: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ocrsearch.tuning.engines.ray.SHARED_WITHIN_S", 0.1)
    worker = RayWorker(WorkerSetup(tmp_path / "study" / "data", "cpu"))
    assert isinstance(worker.event(), WorkerReady)
    event = worker.train(job(tmp_path), sixteen_lines)
    assert isinstance(event, WorkerRefused)
    assert event.reason.startswith(f"{tmp_path / 'study'}: not found on ")
    assert not (tmp_path / "trial-7").exists()


def fork_server() -> int:
    """Return the process id of the server of forks, which is running."""
    pid: int = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return pid


def test_a_fork_server_that_is_killed_while_it_loads_is_started_again(tmp_path: Path) -> None:
    engine = LocalEngine(1, WorkerSetup(tmp_path / "data", "cpu"))
    try:
        os.kill(fork_server(), signal.SIGKILL)
        os.waitid(os.P_PID, fork_server(), os.WEXITED | os.WNOWAIT)
        engine._workers.append(engine.spawn())  # a new one, which loads
        os.kill(fork_server(), signal.SIGKILL)
        event = Started(engine, lambda: None).next_event()
        assert isinstance(event, WorkerReady)
    finally:
        engine.close()


def test_a_fork_server_that_is_always_killed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngine(1, WorkerSetup(tmp_path / "data", "cpu"))

    def killed(process: object) -> None:
        raise EOFError

    monkeypatch.setattr(engine._context.Process, "start", killed)
    with pytest.raises(StudyError, match="ended 3 times during start-up"):
        engine.poll(0.0)


def test_no_process_can_be_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LocalEngine(1, WorkerSetup(tmp_path / "data", "cpu"))

    def no_more(process: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(engine._context.Process, "start", no_more)
    with pytest.raises(StudyError, match="worker process cannot be started: Resource"):
        engine.poll(0.0)


def test_kills_of_all_workers_at_the_start_are_not_taken_for_a_fault(tmp_path: Path) -> None:
    engine = LocalEngine(4, WorkerSetup(tmp_path / "data", "cpu"))
    try:
        engine.poll(0.0)
        for worker in engine._workers:
            worker.process.kill()
        ready = 0
        while ready < 4:
            events = engine.poll(1.0)
            assert all(isinstance(event, WorkerReady) for event in events)
            ready += len(events)
    finally:
        engine.close()


def test_a_worker_that_the_system_kills_for_its_memory(
    started: Started, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(started.engine, LocalEngine):
        pytest.skip("Ray says itself that a node has too little memory")
    started.engine.submit(job(tmp_path))
    monkeypatch.setattr("ocrsearch.tuning.engines.local.count_memory_kills", lambda: 10**6)
    started.kill()
    event = started.next_event()
    while isinstance(event, EpochDone):
        event = started.next_event()
    assert isinstance(event, TrialFailed)
    assert (event.kind, "lack of memory" in event.reason) == ("memory", True)
    assert isinstance(started.next_event(), WorkerReady)


def test_a_script_that_cannot_be_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one on standard input."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    script = str(tmp_path / "<stdin>")
    monkeypatch.setattr(sys.modules["__main__"], "__file__", script, raising=False)
    engine = LocalEngine(1, WorkerSetup(tmp_path / "data", "cpu"))
    try:
        assert isinstance(Started(engine, lambda: None).next_event(), WorkerReady)
    finally:
        engine.close()
