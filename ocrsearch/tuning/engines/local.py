"""Local engine: worker processes on this machine.

A process serves many trials. All are forked from a server that has imported PyTorch, which saves
seconds for each start.
"""

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
from ocrsearch.core import n_cores as n_cores  # public name of older versions
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
    "torch._dynamo",  # imported by the first optimiser; half of the start-up time
    "ocrsearch.tuning.engines.worker",
    "ocrsearch.training.trainer",
    "ocrsearch.training.session",
    "ocrsearch.training.device",
]
"""Modules that the fork server imports once; workers are forks of it."""

STOP_SECONDS = 1.0
MAX_STILLBORN = 3
"""Number of workers in a row that may end before they are ready.

If all workers are killed at once, this counts as one.
"""

MAX_STARTS = 3
"""Number of attempts to start a worker; the fork server may be killed meanwhile."""

SERVER_LOST = 255
"""Exit code of a worker whose fork server was killed; its own exit code is lost."""


@dataclass
class _Worker:
    process: BaseProcess
    channel: connection.Connection
    ready: bool = False
    job: Job | None = None


class LocalEngine:
    """Runs jobs in processes, and replaces processes that die.

    The fork server starts with the engine, the workers start at the first ``poll``.
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
        """Number of workers that wait for a job."""
        return sum(w.ready and w.job is None for w in self._workers)

    def restart(self, setup: WorkerSetup) -> None:
        """Replace all workers by workers with other settings; none may have a job yet."""
        self.close()
        self.setup, self.machine, self._stillborn = setup, None, 0.0

    def resize(self, n_workers: int) -> None:
        """Change the number of workers. Superfluous workers are stopped; none may have a job."""
        self._n_workers = n_workers
        for worker in self._workers[n_workers:]:
            self._stop(worker)
        del self._workers[n_workers:]

    def submit(self, job: Job) -> None:
        """Send a job to an idle worker, which must exist."""
        worker = next(w for w in self._workers if w.ready and w.job is None)
        worker.job = job
        with suppress(ConnectionError):  # if dead, poll notices it
            worker.channel.send(job)

    def answer(self, number: int, answer: Answer) -> None:
        """Send an answer to the worker of a trial."""
        worker = next(w for w in self._workers if w.job is not None and w.job.number == number)
        with suppress(ConnectionError):  # if dead, poll notices it
            worker.channel.send(answer)

    def poll(self, timeout_s: float) -> list[Event]:
        """Wait for events, at most ``timeout_s`` seconds, and return them."""
        while len(self._workers) < self._n_workers:
            self._workers.append(self.spawn())
        by_channel = {w.channel: w for w in self._workers}
        ready = connection.wait(list(by_channel), timeout_s)
        events: list[Event] = []
        for channel in ready:
            worker = by_channel[channel]  # type: ignore[index]
            try:
                event: Event = worker.channel.recv()
            except (EOFError, OSError):  # ended, perhaps in the middle of a message
                events += self._replace(worker)
                continue
            if isinstance(event, WorkerReady):
                worker.ready = True
                self._stillborn = 0.0
                self.machine = self.machine or event.machine
            elif not isinstance(event, EpochDone):
                worker.job = None
            events.append(event)
        return events

    def close(self) -> None:
        """Terminate all workers; their checkpoints stay."""
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            self._stop(worker)
        self._workers = []

    def _replace(self, worker: _Worker) -> list[Event]:
        """Remove a worker that ended; ``poll`` starts another. Return its last event, if any."""
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
        kind = "killed" if code == -signal.SIGKILL else "died"
        reason = f"its worker process died ({_ending(code)})"
        n_before, self._n_memory_kills = self._n_memory_kills, count_memory_kills()
        if code == -signal.SIGKILL and self._n_memory_kills > n_before:
            kind, reason = "memory", "the system killed its worker process for lack of memory"
        return [TrialFailed(worker.job.number, kind, reason, "")]

    def spawn(self) -> _Worker:
        """Start a worker; try again if the fork server is killed while it starts.

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
            f"the process that starts the workers ended {MAX_STARTS} times during start-up; "
            "there may be too little memory"
        )

    def _stop(self, worker: _Worker) -> None:
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.channel.close()


def _ending(code: int | None) -> str:
    """Return a description of an exit code."""
    if code == -signal.SIGKILL:
        return "killed, perhaps for lack of memory; fewer workers need less"
    return f"exit code {code}"
