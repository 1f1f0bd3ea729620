"""Logs for TensorBoard, read back with its own reader."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

from ocrsearch.core.errors import OptionError
from ocrsearch.training.records import EpochRecord, Epochs
from ocrsearch.workflows.training import SCALARS, TensorBoardLog


def epochs(n: int, first_cer: float = 1.0) -> Epochs:
    return [
        EpochRecord(epoch=i, **dict.fromkeys(SCALARS.values(), first_cer / i))
        for i in range(1, n + 1)
    ]


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulators.EventAccumulator(str(folder))
    with warnings.catch_warnings(action="ignore"):
        found.Reload()
    return {
        tag: [(event.step, pytest.approx(event.value)) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("tensorboard")


def test_each_epoch_is_written_once(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path / "logs")
    for n in (1, 2, 2, 4):
        log.write(epochs(n))
    log.close()
    expected = [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]
    assert read(tmp_path / "logs") == dict.fromkeys(SCALARS, expected)


def test_a_training_that_goes_on_replaces_what_was_written(tmp_path: Path) -> None:
    for n, cer in ((3, 1.0), (2, 0.5)):
        log = TensorBoardLog(tmp_path)
        log.write(epochs(n, cer))
        log.close()
    assert read(tmp_path)["val/cer"] == [(1, 0.5), (2, 0.25)]


def test_a_log_without_epochs_leaves_what_was_written(tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path)
    log.write(epochs(2))
    log.close()
    TensorBoardLog(tmp_path).close()
    assert read(tmp_path)["val/cer"] == [(1, 1.0), (2, 0.5)]


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(OptionError, match=r"tensorboard: .*logs: File exists"):
        TensorBoardLog(tmp_path / "logs")


def test_without_tensorboard_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(OptionError, match=r"pip install 'ocrsearch\[tensorboard\]'"):
        TensorBoardLog(tmp_path)
