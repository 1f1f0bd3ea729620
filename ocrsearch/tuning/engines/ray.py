"""Ray engine: workers as Ray actors, on this machine or a cluster.

Ray places the actors and detects lost ones. The messages are the same as with local processes. Each
call of an actor returns its next event, so that one ``ray.wait`` waits for all workers. Ray is an
optional dependency and is imported only when an engine is created.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import Any

from ocrsearch.core import OptionError, StudyError, n_cores
from ocrsearch.data import Dataset, open_dataset
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
from ocrsearch.tuning.engines.worker import WorkerSetup, serve

logger = logging.getLogger(__name__)

MAX_STILLBORN = 3
"""Number of workers in a row that may end before they are ready, on an unchanged cluster."""

NODES_EVERY_S = 2.0
"""Seconds between two counts of the nodes of the cluster."""

SHARED_WITHIN_S = 5.0
"""Seconds until a folder that was created on one node must be visible on another."""

CONNECTS_WITHIN_S = 10.0

SLOW_START_S = 60.0
"""Seconds without a worker after which a warning says that the cluster may be full."""

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # by default workers yield to all other processes
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # otherwise Ray warns that this will be the default
}
LOOPBACK = "127.0.0.1"
LOOPBACK_ONLY = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Environment in which Ray listens on the loopback address only.

Otherwise it replaces 127.0.0.1 by the external address and listens on all interfaces.
"""


class RayWorker:
    """A worker whose training runs in a thread; each call returns its next event."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._setup = setup
        self._dataset: Dataset | None = None
        self._said: SimpleQueue[Event] = SimpleQueue()
        self._told: SimpleQueue[Job | Answer] = SimpleQueue()
        threading.Thread(target=self._serve, daemon=True).start()

    def event(self) -> Event:
        """Return the first event of the worker."""
        return self._said.get()

    def train(self, job: Job, dataset: Dataset) -> Event:
        """Begin a job and return its first event; the dataset is the same for all jobs."""
        self._dataset = dataset
        return self.tell(job)

    def tell(self, message: Job | Answer) -> Event:
        """Pass on a job or an answer, and return the next event of the worker."""
        self._told.put(message)
        return self._said.get()

    def send(self, event: Event) -> None:
        """Send an event; called by the worker thread."""
        self._said.put(event)

    def recv(self) -> Job | Answer:
        """Wait for the next job or answer; called by the worker thread."""
        return self._told.get()

    def _serve(self) -> None:
        try:
            serve(self, self._setup, self._shared_data)
        except BaseException:
            logger.exception("the worker failed")
            os._exit(1)  # the engine replaces it

    def _shared_data(self) -> Dataset:
        """Return the dataset from Ray, once the folder of the study is visible on this node."""
        assert self._dataset is not None, "it arrives with the first job"
        folder = self._setup.data_folder
        deadline = time.monotonic() + SHARED_WITHIN_S
        while not folder.exists():
            if time.monotonic() > deadline:
                node = os.uname().nodename if hasattr(os, "uname") else "a node"
                raise StudyError(
                    f"{folder.parent}: not found on {node}; the study's folder must be on a path "
                    "that all nodes share"
                )
            time.sleep(0.2)
        return self._dataset


@dataclass
class _Worker:
    """An actor and its pending event; None while it waits for a job or an answer."""

    actor: Any
    pending: Any
    nodes: frozenset[str] = field(default_factory=frozenset)
    ready: bool = False
    job: Job | None = None


class RayEngine:
    """Runs jobs in Ray actors with one CPU each, and replaces lost actors."""

    def __init__(
        self,
        n_workers: int | None,
        setup: WorkerSetup,
        address: str | None = None,
        gpus_per_worker: float = 0.0,
    ) -> None:
        """Connect to a cluster, or start one on the loopback address, and start workers.

        Args:
            n_workers: number of workers; None for as many as fit on the nodes.
            setup: setup of each worker; its folders must be on a path that all nodes share.
            address: address of a cluster; None to use that of this process or to start one.
            gpus_per_worker: fraction of a GPU for each worker; with 0 it trains on the CPU.

        Raises:
            OptionError: Ray is not installed, or there is no cluster at the address.
        """
        self.machine: Machine | None = None
        self.setup = replace(setup, device="cpu") if gpus_per_worker == 0 else setup
        self._n_workers, self._gpus = n_workers, gpus_per_worker
        self._ray, self._is_ours = _connected(address, n_workers)
        options = {"num_cpus": 1, "num_gpus": gpus_per_worker, "max_restarts": 0}
        self._actor_class = self._ray.remote(**options)(RayWorker)
        self._data: Any = None
        self._n_stillborn = 0
        self._workers: list[_Worker] = []
        self._nodes: frozenset[str] = frozenset()
        self._began = self._counted = time.monotonic()
        self._follow_cluster()

    @property
    def n_idle(self) -> int:
        """Number of workers that wait for a job."""
        return sum(w.ready and w.job is None for w in self._workers)

    def submit(self, job: Job) -> None:
        """Send a job to an idle worker, which must exist."""
        if self._data is None:  # once for all jobs: each node keeps one copy
            self._data = self._ray.put(open_dataset(self.setup.data_folder))
        worker = next(w for w in self._workers if w.ready and w.job is None)
        worker.job = replace(job, folder=job.folder.resolve())
        worker.pending = worker.actor.train.remote(worker.job, self._data)

    def answer(self, number: int, answer: Answer) -> None:
        """Send an answer to the worker of a trial."""
        worker = next(w for w in self._workers if w.job is not None and w.job.number == number)
        worker.pending = worker.actor.tell.remote(answer)

    def poll(self, timeout_s: float) -> list[Event]:
        """Wait for events, at most ``timeout_s`` seconds, and return them."""
        if time.monotonic() - self._counted > NODES_EVERY_S:
            self._follow_cluster()
        owed = {w.pending: w for w in self._workers if w.pending is not None}
        if not owed:
            time.sleep(timeout_s)
            return []
        self._ray.wait(list(owed), num_returns=1, timeout=timeout_s)
        come, _ = self._ray.wait(list(owed), num_returns=len(owed), timeout=0)
        events: list[Event] = []
        for worker in (owed[reference] for reference in come):
            try:
                event: Event = self._ray.get(worker.pending)
            except self._ray.exceptions.RayError as error:
                events += self._replace(worker, error)
                continue
            worker.pending = None
            if isinstance(event, WorkerReady):
                worker.ready = True
                self._n_stillborn = 0
                self.machine = self.machine or event.machine
            elif not isinstance(event, EpochDone):
                worker.job = None
            events.append(event)
        return events

    def close(self) -> None:
        """Terminate all workers; their checkpoints stay."""
        for worker in self._workers:
            self._kill(worker)
        self._workers = []
        self._data = None
        if self._is_ours:
            self._ray.shutdown()

    def _replace(self, worker: _Worker, error: Exception) -> list[Event]:
        """Replace a worker that was lost, and return its last event, if any."""
        self._kill(worker)  # it may be alive but unreachable
        self._workers.remove(worker)
        self._follow_cluster()
        if not worker.ready and worker.nodes == self._nodes:
            self._n_stillborn += 1
            if self._n_stillborn >= MAX_STILLBORN:
                return [WorkerRefused(f"a worker ended before it was ready: {_last_line(error)}")]
        if worker.job is None:
            return []
        reason = f"its worker was lost ({type(error).__name__})"
        of_memory = isinstance(error, self._ray.exceptions.OutOfMemoryError)
        return [TrialFailed(worker.job.number, "memory" if of_memory else "died", reason, "")]

    def _follow_cluster(self) -> None:
        """Start or stop workers until their number fits the cluster or the option."""
        self._counted = time.monotonic()
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        self._nodes = frozenset(node["NodeID"] for node in nodes)
        n_wanted = self._n_workers or sum(room_on_node(n["Resources"], self._gpus) for n in nodes)
        for _ in range(n_wanted - len(self._workers)):
            actor = self._actor_class.remote(self.setup)
            self._workers.append(_Worker(actor, actor.event.remote(), self._nodes))
        waiting = [w for w in self._workers if not w.ready]
        for worker in waiting[: max(0, len(self._workers) - n_wanted)]:
            self._kill(worker)
            self._workers.remove(worker)
        if self.machine is None and self._counted - self._began > SLOW_START_S:
            self._began = self._counted
            logger.warning(
                "no worker has started yet: %d nodes with room for %d; others may use the cluster, "
                "see 'ray status'",
                *(len(nodes), n_wanted),
            )

    def _kill(self, worker: _Worker) -> None:
        with suppress(self._ray.exceptions.RayError, ValueError):  # it is dead already
            self._ray.kill(worker.actor)


def room_on_node(resources: dict[str, float], gpus_per_worker: float) -> int:
    """Return the number of workers that fit on a node."""
    n_by_cpu = int(resources.get("CPU", 0))
    if gpus_per_worker == 0:
        return n_by_cpu
    # a worker never spans two GPUs
    n_by_gpu = int(resources.get("GPU", 0)) * int(1 / gpus_per_worker + 1e-6)
    return min(n_by_cpu, n_by_gpu)


def _connected(address: str | None, n_workers: int | None) -> tuple[Any, bool]:
    """Return the connected Ray module, and whether this call started or joined a cluster."""
    host, _, port = (address or LOOPBACK).rpartition(":")
    is_local = (host or port) in (LOOPBACK, "localhost")
    for name, value in {**ENVIRONMENT, **(LOOPBACK_ONLY if is_local else {})}.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise OptionError("Ray is not installed; pip install 'ocrsearch[ray]'", "engine") from None

    if ray.is_initialized():
        return ray, False
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is None:
        n_cpus = n_workers or n_cores()
        ray.init("local", num_cpus=n_cpus, include_dashboard=False, **quiet)
        return ray, True
    if port.isdecimal():
        _check_listens(address, host, int(port))
    try:
        ray.init(address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise OptionError(
            f"{address}: cannot join the Ray cluster: {_last_line(error)}; if it asks "
            "for a token, set RAY_AUTH_MODE=token here as well",
            "address",
        ) from None
    return ray, True


def _check_listens(address: str, host: str, port: int) -> None:
    """Refuse an address without a server, for which Ray itself would wait for minutes."""
    if "/" in host:  # ray:// addresses another kind of server
        return
    try:
        socket.create_connection((host, port), timeout=CONNECTS_WITHIN_S).close()
    except OSError as error:
        raise OptionError(
            f"{address}: no Ray cluster answers there ({error.strerror or error}); "
            "start one with 'ray start --head'",
            "address",
        ) from None


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
