"""The script that measures synthesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_synth.py"


def test_both_kinds_are_measured() -> None:
    arguments = ["--digits", "110", "--lines", "110", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    digits, *_, load = done.stdout.splitlines()
    assert digits.startswith("digits, mean length ")
    assert "\ntext, mean length " in done.stdout
    assert done.stdout.count(" per second of real time\n") == 2
    assert load.startswith("load average")
