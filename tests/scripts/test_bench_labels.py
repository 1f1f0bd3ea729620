"""The script that measures the search for wrong labels."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rapidfuzz.distance import OSA

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_labels.py"


@pytest.fixture(scope="module")
def bench() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.mark.parametrize("text", ["12", "1", "11", "1 2", "1234"])
def test_a_planted_error_is_one_edit(bench: dict[str, Any], text: str) -> None:
    rng = np.random.default_rng(0)
    edited = {bench["one_edit"](text, "1234 ", rng) for _ in range(50)}
    assert len(edited) > 1
    assert all(OSA.distance(text, other) == 1 and other for other in edited)


def test_errors_are_planted_in_a_fraction(bench: dict[str, Any]) -> None:
    texts = [str(number) for number in range(100, 160)]
    wrong = bench["plant_errors"](texts, 0.1, 0)
    assert len(wrong) == 6
    assert all(texts[i] != text for i, text in wrong.items())
    assert wrong == bench["plant_errors"](texts, 0.1, 0) != bench["plant_errors"](texts, 0.1, 1)
