"""How many cores this process may use: affinity, and the quotas of control groups."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ocrsearch.core import machine
from ocrsearch.core.machine import n_cores, n_reading_threads

N_CORES = 64


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(N_CORES)), raising=False)


def written(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


CGROUP = "sys/fs/cgroup/"
DOCKER = "12:cpu,cpuacct:/docker/0a1b\n11:memory:/docker/0a1b\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, N_CORES),
        ({CGROUP + "cpu.max": "max 100000\n"}, N_CORES),
        ({CGROUP + "cpu.max": "200000 100000\n"}, 2),
        ({CGROUP + "cpu.max": "50000 100000\n"}, 1),
        ({CGROUP + "cpu.max": "150000 100000\n"}, 2),
        ({CGROUP + "cpu.max": "1000 1000000\n"}, 1),
        ({CGROUP + "cpu.max": "9900000 100000\n"}, N_CORES),  # more than there are
        ({CGROUP + "cpu.max": ""}, N_CORES),
        ({CGROUP + "cpu.max": "nonsense\n"}, N_CORES),
        ({CGROUP + "cpu.max": "100000 0\n"}, N_CORES),
        (
            {
                "proc/self/cgroup": "0::/kubepods/pod7/main\n",
                CGROUP + "kubepods/pod7/main/cpu.max": "max 100000\n",
                CGROUP + "kubepods/pod7/cpu.max": "300000 100000\n",
                CGROUP + "kubepods/cpu.max": "3200000 100000\n",
            },
            3,  # of the pod, a parent
        ),
        ({"proc/self/cgroup": "0::/a\n", CGROUP + "b/cpu.max": "100000 100000\n"}, N_CORES),
        ({"proc/self/cgroup": "0::/a\n", CGROUP + "unified/a/cpu.max": "100000 100000\n"}, 1),
        ({"proc/self/cgroup": "0::/../x\n", CGROUP + "cpu.max": "100000 100000\n"}, 1),
        (
            {CGROUP + "cpu/cpu.cfs_quota_us": "-1\n", CGROUP + "cpu/cpu.cfs_period_us": "100000\n"},
            N_CORES,
        ),
        (
            {
                CGROUP + "cpu/cpu.cfs_quota_us": "50000\n",
                CGROUP + "cpu/cpu.cfs_period_us": "100000\n",
            },
            1,
        ),
        (  # the path is that of the host, the group of the container is mounted as the root
            {
                "proc/self/cgroup": DOCKER,
                CGROUP + "cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
                CGROUP + "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            4,
        ),
        (  # started by a service on the host
            {
                "proc/self/cgroup": DOCKER,
                CGROUP + "cpuacct,cpu/docker/0a1b/cpu.cfs_quota_us": "250000\n",
                CGROUP + "cpuacct,cpu/docker/0a1b/cpu.cfs_period_us": "50000\n",
            },
            5,
        ),
        ({CGROUP + "cpu/cpu.cfs_quota_us": "50000\n"}, N_CORES),
    ],
)
def test_cores_of_a_control_group(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert n_cores(written(tmp_path, files)) == expected


def test_an_affinity_below_the_quota_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert n_cores(written(tmp_path, {CGROUP + "cpu.max": "200000 100000\n"})) == 1


def test_a_system_without_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert n_cores(tmp_path) == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert n_cores(tmp_path) == 1


def test_reading_threads_follow_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, threads in ((1, 5), (2, 6), (64, machine.MAX_THREADS)):
        monkeypatch.setattr(machine, "n_cores", lambda cores=cores: cores)
        assert n_reading_threads() == threads


def test_no_other_module_counts_cores() -> None:
    package = Path(machine.__file__).parent
    counting = [
        path.name
        for path in package.rglob("*.py")
        if any(name in path.read_text("utf-8") for name in ("cpu_count", "sched_getaffinity"))
        or "PoolExecutor()" in path.read_text("utf-8")  # as many threads as the host has cores
    ]
    assert counting == ["machine.py"]


def test_it_imports_in_no_time() -> None:
    code = "import sys, ocrsearch.core.machine; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
