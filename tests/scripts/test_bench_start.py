"""The script that compares trainings from nothing and from a model: it runs, and goes on."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_start.py"


@pytest.fixture
def bench() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def test_both_are_trained_once(
    bench: dict[str, Any],
    number_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "results.jsonl"
    for _ in range(2):
        bench["main"]([str(number_folder)], Path("latin"), images=[16], batches=2, out=out)
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[-2:]]
    assert [row[1:3] for row in rows] == [["16", "from nothing"], ["16", "from the model"]]
    results = bench["read"](out)
    assert len(results) == 2
    assert [result["init"] is None for result in results] == [True, False]
