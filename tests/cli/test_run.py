"""``run``: how a search that finds nothing ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from unittest.mock import Mock

import cv2
import numpy as np
import pytest

from ocrsearch import tuning
from ocrsearch.cli.run import ENDINGS, _summary
from ocrsearch.tuning.status import Ending, Limits, Status

if TYPE_CHECKING:
    from tests.conftest import CommandResult

Command = Callable[..., "CommandResult"]

SPACE = """
images: {height: 16}
model: {architecture: crnn, encoder: {conv_depth: 2, conv_base: 8, hidden_size: 16}}
training: {learning_rate: {float: [1.0e-3, 6.0e-3]}, epochs: 1}
"""


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A space file in the working folder."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "space.yaml"
    path.write_text(SPACE, encoding="utf-8")
    return path


def test_every_ending_of_a_search_has_its_words() -> None:
    assert set(ENDINGS) == set(get_args(Ending))


def write_images(folder: Path, shape: tuple[int, int], texts: list[str]) -> None:
    folder.mkdir()
    for text in texts:
        image = np.full(shape, 200, np.uint8)
        image[:, :2] = 0
        assert cv2.imwrite(str(folder / f"{text}.png"), image)


def test_labels_that_no_configuration_can_read(command: Command, space: Path) -> None:
    write_images(Path("tall"), (60, 16), [f"{i:04d}" for i in range(30)])
    result = command("run", "--space", space, "--data", "captcha:tall", "--workers", "1")
    assert result.code == 1
    (message,) = [line for line in result.err.splitlines() if "labels" in line]
    assert "no configuration of this space can read these labels: 24 of 24 labels" in message
    assert ".png: '00" in message
    assert "characters may be stacked vertically" in message
    assert "no study yet" in command("best").err  # the same name is free for another space


@pytest.mark.parametrize("as_json", [True, False])
def test_a_search_that_trained_nothing_fails(
    command: Command, space: Path, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    status = Status(Limits(3), n_infeasible=3)
    problem = "all 3 configurations exceed a limit of the space"
    found = tuning.SearchResult("s", "sqlite:///s.db", "trials", status, 0, None, problem=problem)
    monkeypatch.setattr(tuning, "search", lambda *args, **kw: found)
    result = command("run", "--space", space, *(["--json"] if as_json else []))
    assert result.code == 1
    assert result.json()["problem"] == problem if as_json else problem in result.out
    assert "more time" not in result.out
    fine = replace(found, problem=None)
    monkeypatch.setattr(tuning, "search", lambda *args, **kw: fine)
    status.best_number, status.best_value, status.best_exact = 1, 0.1, 0.9
    assert command("run", "--space", space, "--json").code == 0


def test_the_end_of_a_search_counts_the_trials_begun() -> None:
    status = Status(Limits(2), n_complete=1, n_pruned=2, paused={1: 1}, waiting=[Mock()])
    status.running = {3: Mock()}
    result = tuning.SearchResult("s", "sqlite:///s.db", "timeout", status, 0, None, problem="none")
    first, second, _ = _summary(result, "captcha:x").splitlines()
    assert first == (
        "study s: the time limit is reached; 5 of 5 trials (1 finished, 1 paused, 1 pruned, "
        "0 infeasible, 0 failed, 2 unfinished)"
    )
    assert second == "2 unfinished trials are saved; rerun the same command to resume"
