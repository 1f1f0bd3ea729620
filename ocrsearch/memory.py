"""Errors that mean too little memory, whichever library raises them."""

from __future__ import annotations

import errno
from pathlib import Path

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
