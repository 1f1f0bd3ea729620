"""The machine: cores, memory errors, child processes and the program's version.

The machine: the number of cores that this process may use.

A container sees all cores of its host, but a control group may limit how much of them it gets:
Docker limits the cores of a container by a quota, not by an affinity.

Errors that mean too little memory, whichever library raises them.

Starting processes that need nothing of the program that called us.

``multiprocessing`` runs the caller's main script again in each process that it starts. A script on
standard input, a deleted script or a script without a main guard cannot be run again, and our
processes only run functions of this package. So the script is hidden while they start, as joblib
does.

The version of this program.
"""

from __future__ import annotations

import errno
import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any

MAX_THREADS = 32
"""Largest number of threads that read images."""

_ROOT = Path("/")
_MOUNTS_V2 = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
_MOUNTS_V1 = tuple(f"sys/fs/cgroup/{name}" for name in ("cpu", "cpu,cpuacct", "cpuacct,cpu"))


def n_cores(root: Path = _ROOT) -> int:
    """Return the number of cores that this process may use, at least 1.

    The smaller of its affinity and of the CPU quotas of its control group and the parents of
    that group, each rounded up.

    Args:
        root: folder in which ``proc`` and ``sys`` are.
    """
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min([n or 1, *(math.ceil(quota) for quota in _quotas(root))]))


def n_reading_threads() -> int:
    """Return the number of threads for reading images: some more than cores, as they wait."""
    return min(MAX_THREADS, n_cores() + 4)


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas that are set, in cores."""
    for mounts, files in (
        (_MOUNTS_V2, ("cpu.max",)),
        (_MOUNTS_V1, ("cpu.cfs_quota_us", "cpu.cfs_period_us")),
    ):
        for group in _groups(root):
            for mount in mounts:
                quota = _quota(root / mount / group, files)
                if quota is not None:
                    yield quota


def _groups(root: Path) -> list[str]:
    """Return the control groups of this process and their parents, relative to the mount.

    In a container the paths can be those of the host, while the group of the container is
    mounted as the root: so the root itself is always looked at.
    """
    groups = {""}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, path = line.split(":", 2) if line.count(":") >= 2 else ("", "", "")
        parts = [part for part in path.split("/") if part]
        if ".." not in parts:  # a process of another container
            groups.update("/".join(parts[:n]) for n in range(1, len(parts) + 1))
    return sorted(groups)


def _quota(group: Path, files: tuple[str, ...]) -> float | None:
    """Return the quota of a control group in cores, None if it has none."""
    words = [word for file in files for word in _text(group / file).split()]
    try:
        quota, period = map(int, words)
    except ValueError:  # no such file, or "max"
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


_SIGNS = (
    "out of memory",  # CUDA, MPS, HIP
    "can't allocate memory",  # PyTorch on a CPU
    "cannot allocate memory",  # the operating system
    "unable to allocate",  # numpy
    "insufficient memory",  # OpenCV
    "not enough memory",
    "bad_alloc",
    "bad allocation",
    "status_alloc_failed",  # cuBLAS, cuDNN, cuSOLVER
    "failed to allocate",
    "unable to mmap",  # PyTorch
)

_COUNTERS = (
    "/proc/vmstat",
    "/sys/fs/cgroup/memory.events",
    "/sys/fs/cgroup/memory/memory.oom_control",
)
"""Where Linux counts the processes that it killed for lack of memory, as ``oom_kill N``."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or the error that caused it, says that there is too little memory."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = str(error).lower()
    if any(sign in text for sign in _SIGNS):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def count_memory_kills() -> int:
    """Return how many processes the kernel has killed for lack of memory, 0 if it is not known."""
    return sum(map(_count, _COUNTERS))


def _count(path: str) -> int:
    try:
        lines = Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


HAS_FORK_SERVER = "forkserver" in multiprocessing.get_all_start_methods()

_starting = threading.Lock()


@contextmanager
def caller_hidden() -> Iterator[None]:
    """Start processes in the body: without the caller's script, and deaf to Ctrl-C.

    A daemonic process, such as a worker of ``multiprocessing.Pool``, may start processes too.
    """
    with _starting, _interrupts_blocked():
        this_process = multiprocessing.current_process()
        script, daemon = sys.modules["__main__"], this_process.daemon
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            this_process.daemon = False
            _forget_server_of_parent()
            yield
        finally:
            this_process.daemon = daemon
            sys.modules["__main__"] = script


def load_fork_server(modules: list[str]) -> None:
    """Start the process whose forks our processes are, and let it import modules."""
    multiprocessing.set_forkserver_preload(modules)
    with caller_hidden():
        forkserver.ensure_running()


def _forget_server_of_parent() -> None:
    """Forget a fork server that is not a child of this process, which is itself a fork."""
    server: Any = forkserver._forkserver
    if server._forkserver_pid is None:
        return
    try:
        os.waitid(os.P_PID, server._forkserver_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        modules = server._preload_modules
        server.__init__()
        server.set_forkserver_preload(modules)


@contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A process started here never sees Ctrl-C, not even before its first line has run."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # later it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def program_version() -> str:
    """Return the version that is installed; "unknown" for a source tree that is not."""
    try:
        return version("ocrsearch")
    except PackageNotFoundError:
        return "unknown"
