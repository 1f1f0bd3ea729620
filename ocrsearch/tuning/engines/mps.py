"""MPS: lets all workers of this machine compute on an NVIDIA GPU at the same time.

Without NVIDIA's Multi-Process Service, processes take turns on a GPU. A small network leaves most
of it idle, so eight workers train three times as many images per second with MPS as without. The
service is a daemon that any user may start. Processes find it by the folder of its pipes, which an
environment variable names, so a private daemon in a folder of its own affects no other program.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

CONTROL = "nvidia-cuda-mps-control"
"""Program that starts, asks and stops the daemon. It comes with the driver."""

FOLDERS = (
    "/usr/local/nvidia/bin",
    "/usr/lib/nvidia/current",
    "/usr/local/cuda/bin",
    "/opt/nvidia/bin",
    "/usr/lib/wsl/lib",
)
"""Folders of the driver that are often not on the PATH, as in containers."""

PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"

DEFAULT_PIPES = Path("/tmp/nvidia-mps")  # noqa: S108 - NVIDIA's default, only looked at
"""Folder of a daemon that was started without ``CUDA_MPS_PIPE_DIRECTORY``."""

GPUS = Path("/proc/driver/nvidia/gpus")
"""Folder in which the NVIDIA driver lists its GPUs."""

PREFIX = "ocrsearch-mps-"
"""Beginning of the name of a daemon's folder; the number of the coordinator's process follows."""

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class SharedGpu:
    """How the workers share a GPU.

    Attributes:
        environment: variables for the workers; empty without a private daemon.
        note: line to report; None if there is nothing to say.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None


@contextmanager
def shared_gpu() -> Iterator[SharedGpu]:
    """Run a private MPS daemon for the workers, if this machine has an NVIDIA GPU.

    A daemon that is already running is used as it is. If no daemon can be started, the workers
    take turns on the GPU, and the note says why.
    """
    if not (GPUS.is_dir() and any(GPUS.iterdir())) or _other_daemon():
        yield SharedGpu()
        return
    control = shutil.which(CONTROL) or shutil.which(CONTROL, path=os.pathsep.join(FOLDERS))
    if control is None:
        yield SharedGpu(note=_turns(f"{CONTROL} was not found; it comes with the NVIDIA driver"))
        return
    stop_orphans(control)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
    environment = {PIPES: str(folder), LOGS: str(folder)}
    try:
        if problem := _call(control, environment, "-d") or _call(
            control, environment, commands="get_server_list\n"
        ):
            yield SharedGpu(note=_turns(problem))
        else:
            yield SharedGpu(environment, "MPS: all workers use the GPU at the same time")
    finally:
        _call(control, environment, commands="quit -t 5\n")
        shutil.rmtree(folder, ignore_errors=True)


def stop_orphans(control: str) -> None:
    """Stop the daemons of coordinators that were killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        is_own = number.isdecimal() and folder.lstat().st_uid == os.getuid()
        if is_own and not _is_running(int(number)):
            _call(control, {PIPES: str(folder), LOGS: str(folder)}, commands="quit -t 5\n")
            shutil.rmtree(folder, ignore_errors=True)


def _other_daemon() -> bool:
    """Return whether the workers find a daemon that somebody else started."""
    return PIPES in os.environ or (DEFAULT_PIPES / "control").exists()


def _call(control: str, environment: Mapping[str, str], *options: str, commands: str = "") -> str:
    """Run the control program and return why it failed, an empty text if it succeeded."""
    try:
        done = subprocess.run(  # noqa: S603 - the program of the driver, without a shell
            [control, *options],
            env={**os.environ, **environment},
            input=commands,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{CONTROL} did not answer within {TIMEOUT_S:g} s"
    except OSError as error:
        return f"{CONTROL}: {error.strerror or error}"
    if done.returncode == 0:
        return ""
    lines = (done.stderr or done.stdout).strip().splitlines()
    return f"{CONTROL}: {lines[-1] if lines else f'exit code {done.returncode}'}"


def _turns(problem: str) -> str:
    return f"the workers take turns on the GPU, since MPS cannot be used: {problem}"


def _is_running(process: int) -> bool:
    with suppress(PermissionError):  # of another user, so it exists
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return False
    return True
