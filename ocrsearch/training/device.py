"""Where to compute."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ocrsearch.errors import OptionError
from ocrsearch.machine import n_cores
from ocrsearch.version import program_version


def select_device(name: str) -> torch.device:
    """Return the device that a name means.

    Args:
        name: "cpu", "cuda", or "auto" for CUDA where there is a GPU.

    Raises:
        OptionError: another name, or CUDA where there is no GPU.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise OptionError(f"must be 'auto', 'cpu' or 'cuda', got {name!r}", "device")
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    if name == "cuda" and not has_cuda:
        problem = "PyTorch finds no GPU here; use cpu or auto"
        raise OptionError(problem, "device")
    return torch.device(name)


@contextmanager
def training_threads() -> Iterator[None]:
    """Compute with one thread, as a worker of a search does, unless OMP_NUM_THREADS is set.

    These networks are small: threads wait for each other as soon as anything else runs.
    """
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def limit_threads() -> None:
    """Let PyTorch have no more threads than cores that this process may use.

    PyTorch does not know the CPU quota of a container.
    """
    if torch.get_num_threads() > n_cores():
        torch.set_num_threads(n_cores())


def free_memory_mb(device: torch.device) -> float | None:
    """Return the megabytes of a GPU that no process uses; None for a CPU."""
    return torch.cuda.mem_get_info(device)[0] / 1e6 if device.type == "cuda" else None


PACKAGES = ("torch", "optuna", "numpy")


def installed_versions(device: torch.device) -> dict[str, str]:
    """Return the versions of what trains, and the kind of machine."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    own = {"ocrsearch": program_version(), "python": platform.python_version(), "machine": name}
    return {**versions, **own}
