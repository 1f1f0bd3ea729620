"""Where to compute."""

from __future__ import annotations

import importlib.metadata
import platform

import torch

from ocrsearch.errors import OptionError


def select_device(name: str) -> torch.device:
    """Return the device that a name means.

    Args:
        name: "cpu", "cuda", or "auto" for CUDA where there is a GPU.

    Raises:
        OptionError: CUDA is asked for and not there.
    """
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    if name == "cuda" and not has_cuda:
        raise OptionError("--device cuda: PyTorch finds no GPU here; use --device cpu or auto")
    return torch.device(name)


def free_memory_mb(device: torch.device) -> float | None:
    """Return the megabytes of a GPU that no process uses; None for a CPU."""
    return torch.cuda.mem_get_info(device)[0] / 1e6 if device.type == "cuda" else None


PACKAGES = ("ocrsearch", "torch", "optuna", "numpy")


def installed_versions(device: torch.device) -> dict[str, str]:
    """Return the versions of what trains, and the kind of machine."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {**versions, "python": platform.python_version(), "machine": name}
