"""The machine: the number of cores that this process may use.

A container sees all cores of its host, but a control group may limit how much of them it gets:
``docker run --cpus=2`` sets a quota, not an affinity.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

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
