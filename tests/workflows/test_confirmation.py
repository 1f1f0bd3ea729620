"""Training the best configurations again on fresh seeds, with real processes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from ocrsearch.core.errors import StudyError
from ocrsearch.training.checkpoint import load_tensors
from ocrsearch.workflows.confirmation import RESULT, confirm

if TYPE_CHECKING:
    from tests.conftest import CommandResult

pytestmark = pytest.mark.slow


def test_the_mean_over_fresh_seeds_chooses_and_nothing_is_trained_twice(searched_url: str) -> None:
    lines: list[str] = []
    done = confirm(searched_url, "s", 2, observer=lines.append)
    assert len(done.configurations) == 3
    assert len(lines) == 6
    means = [c.mean for c in done.configurations]
    assert means == sorted(means)
    assert all(len(set(c.cers)) == 2 for c in done.configurations)  # seeds that differ
    assert done.bundle.metrics["cer"] == min(done.configurations[0].cers)
    assert done.bundle.provenance.trial == done.configurations[0].trial
    assert done.test is not None
    assert done.test["n"] == 500
    assert done.test["cer_low"] <= done.test["cer"] <= done.test["cer_high"]
    again = confirm(searched_url, "s", 2, observer=lines.append)
    assert len(lines) == 6
    assert (again.configurations, again.test) == (done.configurations, done.test)
    folder = Path(searched_url.removeprefix("sqlite:///")).with_suffix("") / "s" / "confirm"
    (test,) = folder.glob("*/test.json")
    for damaged in (test.read_text()[:20], "[1]"):  # as on a disk that was full
        test.write_text(damaged)
        assert confirm(searched_url, "s", 2, observer=lines.append).test == done.test


def test_an_interrupted_confirmation_goes_on(searched_url: str) -> None:
    lines: list[str] = []
    confirm(searched_url, "s", 1, observer=lines.append)
    folder = Path(searched_url.removeprefix("sqlite:///")).with_suffix("") / "s" / "confirm"
    result = sorted(folder.glob("*-seed-0"))[0] / RESULT
    before = result.read_text()
    result.write_text(before[:30])  # as on a disk that was full
    n_before = len(lines)
    confirm(searched_url, "s", 1, observer=lines.append)
    assert len(lines) == n_before + 1
    assert json.loads(result.read_text())["epochs"]


def test_limits_hold_for_what_is_confirmed(searched_url: str) -> None:
    with pytest.raises(StudyError, match="has latency_ms of at most 0"):
        confirm(searched_url, "s", 1, {"latency_ms": 0.0})


def test_best_confirms_and_exports(
    command: Callable[..., CommandResult], searched_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    arguments = ["best", "--storage", searched_url, "--confirm", 1, "--export", path]
    result = command(*arguments, "--fp16-weights", "--json").json()
    done = confirm(searched_url, "s", 1)
    assert result["trial"] == done.configurations[0].trial
    assert result["test"] == done.test
    stored = load_tensors(path)["weights"]
    assert {w.dtype for w in stored.values() if w.ndim > 1} == {torch.float16}
    shown = command(*arguments).out
    assert f"trial {result['trial']} has the lowest mean" in shown
    assert f"model written to {path}" in shown
