"""A sample of hostile inputs: all of them with ``python -m tests.hostile --n 1000``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
N = 80


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_hostile_inputs_end_in_a_line_soon_and_in_little_memory() -> None:
    command = [sys.executable, "-m", "tests.hostile", "--n", str(N), "--seed", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{N} inputs of" in done.stdout
