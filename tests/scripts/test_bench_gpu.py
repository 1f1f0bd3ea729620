"""The benchmark of several workers on one device, here on the processor."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_gpu.py"


def test_images_per_second_are_measured_for_each_number_of_workers(number_folder: Path) -> None:
    arguments = [number_folder, "--workers", "1,2", "--seconds", "0.5", "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^in turns +(\d) workers +(\d+) images per second$", done.stdout, re.M)
    assert [n for n, _ in rows] == ["1", "2"]
    assert all(int(rate) > 0 for _, rate in rows)
    assert "32 training images, cpu" in done.stdout
