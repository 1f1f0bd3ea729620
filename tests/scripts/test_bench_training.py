"""The script that measures training: it runs, and both loops train the same layers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ocrsearch.models.architecture import build_network
from tests.conftest import load_script

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_training.py"


def test_the_loops_and_their_parts_are_measured(number_folder: Path) -> None:
    arguments = ["--data", number_folder, "--rounds", "1", "--processes", "1"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("32 images, 1 processes, ")
    names = [line.split(" " * 2)[0] for line in lines[1:4]]
    assert names == ["ocrsearch", "with validation", "bare loop"]
    assert done.stdout.count(" of its limit") == 3


def test_the_bare_loop_has_the_same_layers() -> None:
    bench = load_script("bench_training")
    own = build_network(bench.CONFIG, 10, seed=0)

    def weights(network: object) -> list[int]:
        """Sizes of all matrices but of the head for training alone; biases differ."""
        named = [(n, p) for n, p in network.named_parameters() if "column_head" not in n]
        return sorted(p.numel() for _, p in named if p.dim() > 1)

    assert weights(bench.BareCrnn(10)) == weights(own)
