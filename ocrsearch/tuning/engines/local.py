"""The local engine: worker processes on this machine, each started once."""

from __future__ import annotations

import multiprocessing
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from ocrsearch.core import (
    HAS_FORK_SERVER,
    StudyError,
    caller_hidden,
    count_memory_kills,
    load_fork_server,
)
from ocrsearch.core import n_cores as n_cores  # importable from here as before
from ocrsearch.tuning.engines.events import (
    Answer,
    EpochDone,
    Event,
    Job,
    Machine,
    TrialFailed,
    WorkerReady,
    WorkerRefused,
)
from ocrsearch.tuning.engines.worker import WorkerSetup, worker_main

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

PRELOADED = [
    "torch._dynamo",  # what optimisers import when they are first used: half of all that is loaded
    "ocrsearch.tuning.engines.worker",
    "ocrsearch.training.trainer",
    "ocrsearch.training.session",
    "ocrsearch.training.device",
]
"""What is loaded once, by a process that does nothing else; workers are forks of it."""

STOP_SECONDS = 1.0
MAX_STILLBORN = 3
"""So many workers in a row may end before they are ready. Kills of all workers count as one."""

MAX_STARTS = 3
"""So often the start of a worker is tried; the fork server may be killed meanwhile."""

SERVER_LOST = 255
"""Exit code of a worker whose fork server was killed, so that nobody knows its own."""


@dataclass
class _Worker:
    process: BaseProcess
    channel: connection.Connection
    ready: bool = False
    job: Job | None = None


class LocalEngine:
    """Runs jobs in processes; a process that dies is replaced.

    What they need is loaded as soon as there is an engine, they themselves start when it is
    first polled.
    """

    def __init__(self, n_workers: int, setup: WorkerSetup) -> None:
        self.setup = setup
        self.machine: Machine | None = None
        self._stillborn = 0.0
        self._n_memory_kills = count_memory_kills()
        self._n_workers = n_workers
        self._workers: list[_Worker] = []
        self._context: ForkServerContext | SpawnContext = (
            multiprocessing.get_context("forkserver")
            if HAS_FORK_SERVER
            else multiprocessing.get_context("spawn")
        )
        if HAS_FORK_SERVER:
            load_fork_server(PRELOADED)

    @property
    def n_idle(self) -> int:
        """How many workers wait for a job."""
        return sum(w.ready and w.job is None for w in self._workers)

    def keep(self, n_workers: int) -> None:
        """Stop the workers beyond the first n; none may have a job yet."""
        self._n_workers = min(n_workers, self._n_workers)
        for worker in self._workers[n_workers:]:
            self._stop(worker)
        del self._workers[n_workers:]

    def submit(self, job: Job) -> None:
        """Give a job to an idle worker; there must be one."""
        worker = next(w for w in self._workers if w.ready and w.job is None)
        worker.job = job
        with suppress(ConnectionError):  # if dead, poll notices it
            worker.channel.send(job)

    def answer(self, number: int, answer: Answer) -> None:
        """Tell the worker of a trial whether to train another epoch."""
        worker = next(w for w in self._workers if w.job is not None and w.job.number == number)
        with suppress(ConnectionError):  # if dead, poll notices it
            worker.channel.send(answer)

    def poll(self, timeout_s: float) -> list[Event]:
        """Wait for events, at most so long, and return those that have come."""
        while len(self._workers) < self._n_workers:
            self._workers.append(self._spawn())
        by_channel = {w.channel: w for w in self._workers}
        ready = connection.wait(list(by_channel), timeout_s)
        events = []
        for channel in ready:
            worker = by_channel[channel]  # type: ignore[index]
            try:
                events.append(self._received(worker, worker.channel.recv()))
            except (EOFError, OSError):  # ended, perhaps within a message
                events += self._replace(worker)
        return events

    def close(self) -> None:
        """End all workers at once; what they have saved stays."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            self._stop(worker)
        self._workers = []

    def _received(self, worker: _Worker, event: Event) -> Event:
        if isinstance(event, WorkerReady):
            worker.ready = True
            self._stillborn = 0.0
            self.machine = self.machine or event.machine
        elif not isinstance(event, EpochDone):
            worker.job = None
        return event

    def _replace(self, worker: _Worker) -> list[Event]:
        worker.process.join(STOP_SECONDS)
        code = worker.process.exitcode
        self._stop(worker)
        self._workers.remove(worker)
        was_killed = code in (-signal.SIGKILL, -signal.SIGTERM, SERVER_LOST)
        if not worker.ready:
            self._stillborn += 1 / self._n_workers if was_killed else 1
        if self._stillborn >= MAX_STILLBORN:
            return [WorkerRefused(f"workers ended before they were ready ({_ending(code)})")]
        if worker.job is None:
            return []
        kind, reason = self._failure(code)
        return [TrialFailed(worker.job.number, kind, reason, "")]

    def _failure(self, code: int | None) -> tuple[str, str]:
        """Return the kind of failure that the end of a worker is, and the reason."""
        n_before, self._n_memory_kills = self._n_memory_kills, count_memory_kills()
        if code == -signal.SIGKILL and self._n_memory_kills > n_before:
            return "memory", "the system killed its worker process for lack of memory"
        kind = "killed" if code == -signal.SIGKILL else "died"
        return kind, f"its worker process died ({_ending(code)})"

    def _spawn(self) -> _Worker:
        """Start a worker, again if the fork server is killed while it loads.

        Raises:
            StudyError: no process can be started.
        """
        for _ in range(MAX_STARTS):
            ours, theirs = self._context.Pipe()
            process = self._context.Process(
                target=worker_main, args=(theirs, self.setup), daemon=True
            )
            try:
                with caller_hidden():
                    process.start()
                return _Worker(process, ours)
            except (EOFError, ConnectionError):
                ours.close()
            except OSError as error:
                reason = error.strerror or error
                raise StudyError(f"a worker process cannot be started: {reason}") from None
            finally:
                theirs.close()
        raise StudyError(
            f"the process that starts the workers ended {MAX_STARTS} times while it loaded; "
            "there may be too little memory"
        )

    def _stop(self, worker: _Worker) -> None:
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.channel.close()


def _ending(code: int | None) -> str:
    """Return an exit code in words."""
    if code == -signal.SIGKILL:
        return "killed, perhaps for lack of memory; fewer workers need less"
    return f"exit code {code}"
