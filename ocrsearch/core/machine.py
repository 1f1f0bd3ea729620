"""The machine and its processes: available cores, memory errors, child processes.

Containers see all cores of the host but may be limited by a control group: Docker sets a quota,
not an affinity. Child processes are started without the caller's main script, which
``multiprocessing`` would otherwise run again in each of them.
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
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any

MAX_THREADS = 32
"""Maximum number of threads for reading images."""

_ROOT = Path("/")

# control groups of version 2 and 1: where they are mounted, and which files hold the quota
_MOUNTS_V2 = ("sys/fs/cgroup", "sys/fs/cgroup/unified")
_FILES_V2 = ("cpu.max",)
_MOUNTS_V1 = tuple(f"sys/fs/cgroup/{name}" for name in ("cpu", "cpu,cpuacct", "cpuacct,cpu"))
_FILES_V1 = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


def n_cores(root: Path = _ROOT) -> int:
    """Return the number of cores available to this process, at least 1.

    This is the minimum of the CPU affinity and the quotas of the process's control group and
    its parents, each rounded up.

    Args:
        root: Folder that contains ``proc`` and ``sys``.
    """
    n = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [
        _quota(root / mount / group, files)
        for mounts, files in ((_MOUNTS_V2, _FILES_V2), (_MOUNTS_V1, _FILES_V1))
        for group in _groups(root)
        for mount in mounts
    ]
    return max(1, min([n or 1, *(math.ceil(quota) for quota in quotas if quota is not None)]))


def _groups(root: Path) -> list[str]:
    """Return the control groups of this process and their parents, relative to the mount.

    In a container the paths may refer to the host while the container's own group is mounted
    as the root. The root is therefore always included.
    """
    groups = {""}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, _, path = line.split(":", 2) if line.count(":") >= 2 else ("", "", "")
        parts = [part for part in path.split("/") if part]
        if ".." not in parts:  # otherwise outside our namespace
            groups.update("/".join(parts[:n]) for n in range(1, len(parts) + 1))
    return sorted(groups)


def _quota(group: Path, files: tuple[str, ...]) -> float | None:
    """Return the quota of a control group in cores, or None if there is no quota."""
    words = [word for file in files for word in _text(group / file).split()]
    try:
        quota, period = map(int, words)
    except ValueError:  # missing file or "max"
        return None
    return quota / period if quota > 0 and period > 0 else None


def _text(path: Path) -> str:
    """Return the text of a system file; empty if it does not exist."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def n_reading_threads() -> int:
    """Return the number of threads for reading images: above the core count, as they do I/O."""
    return min(MAX_THREADS, n_cores() + 4)


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
"""Files in which Linux counts the processes killed for lack of memory, as ``oom_kill N``."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error or its cause means that memory ran out, in any library."""
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = str(error).lower()
    if any(sign in text for sign in _SIGNS):
        return True
    return error.__cause__ is not None and is_out_of_memory(error.__cause__)


def count_memory_kills() -> int:
    """Return the number of processes that the kernel killed for lack of memory, 0 if unknown."""
    lines = [line for path in _COUNTERS for line in _text(Path(path)).splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


HAS_FORK_SERVER = "forkserver" in multiprocessing.get_all_start_methods()

_starting = threading.Lock()


@contextmanager
def caller_hidden() -> Iterator[None]:
    """Hide the main script and block Ctrl-C for processes started in the body.

    ``multiprocessing`` runs the caller's main script again in each process. This fails for
    scripts on standard input, deleted scripts and scripts without a main guard. Our processes
    only run functions of this package, so the script is hidden meanwhile, as joblib does.
    Daemonic processes, such as workers of ``multiprocessing.Pool``, may start processes too.
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
    """Start the fork server and let it import modules once for all processes."""
    multiprocessing.set_forkserver_preload(modules)
    with caller_hidden():
        forkserver.ensure_running()


def _forget_server_of_parent() -> None:
    """Drop a fork server inherited from the parent, if this process is itself a fork."""
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
    """Block Ctrl-C in processes started in the body, from their first instruction."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
