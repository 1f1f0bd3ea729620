"""Starting processes that need nothing of the program that called us.

``multiprocessing`` runs the caller's main script again in each process that it starts. A script on
standard input, a deleted script or a script without a main guard cannot be run again, and our
processes only run functions of this package. So the script is hidden while they start, as joblib
does.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from types import ModuleType
from typing import Any

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
