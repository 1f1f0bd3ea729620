"""The script that measures synthesis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_synth.py"


def test_both_kinds_are_measured() -> None:
    arguments = ["--digits", "110", "--lines", "110", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
    digits, text, load = done.stdout.splitlines()
    assert digits.startswith("digits: ")
    assert text.startswith("text: ")
    assert load.startswith("load average")
