"""Runs for TensorBoard, read back with its own readers."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ocrsearch.core.errors import OptionError
from ocrsearch.reports.runs import Logged, Run
from ocrsearch.reports.tensorboard_runs import TEXT, TensorBoardRuns
from tests.reports.made_runs import BEGAN, make_run, trained_again

ID = "0a1b2c3d" * 4


@pytest.fixture(autouse=True)
def _installed() -> None:
    pytest.importorskip("tensorboard")


def write(folder: Path, *runs: Run, study: str = "numbers", study_id: str = ID) -> Logged:
    with closing(TensorBoardRuns(folder, study, study_id)) as log:
        return log.update(runs)


def counts(logged: Logged) -> tuple[int, int, int, int]:
    return logged.n_runs, logged.n_new, logged.n_updated, logged.n_epochs


def accumulated(folder: Path, number: int = 0) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder / "numbers" / f"trial-{number:05d}"))
    with warnings.catch_warnings(action="ignore"):
        found.Reload()
    return found


def scalars(folder: Path, tag: str, number: int = 0) -> list[tuple[int, float]]:
    events = accumulated(folder, number).Scalars(tag)
    return [(event.step, pytest.approx(event.value)) for event in events]


def expected(run: Run, tag: str) -> list[tuple[int, float]]:
    return [(point.epoch, point.values[tag]) for point in run.points]


def sessions(folder: Path, number: int = 0) -> Iterator[Any]:
    """Return what the HPARAMS tab reads of a run."""
    from tensorboard.plugins.hparams import metadata

    content = accumulated(folder, number).PluginTagToContent(metadata.PLUGIN_NAME)
    for tag in sorted(content, reverse=True):  # the start first
        parse = (
            metadata.parse_session_start_info_plugin_data
            if tag == metadata.SESSION_START_INFO_TAG
            else metadata.parse_session_end_info_plugin_data
        )
        yield parse(content[tag])


def test_all_curves_are_written(tmp_path: Path) -> None:
    run = make_run(3, "finished", figures={"network/n_parameters": 9406.0})
    assert counts(write(tmp_path, run, make_run(0, number=7))) == (2, 2, 0, 3)
    for tag in run.points[0].values:
        assert scalars(tmp_path, tag) == expected(run, tag)
    assert scalars(tmp_path, "network/n_parameters") == [(0, 9406.0)]
    times = [event.wall_time for event in accumulated(tmp_path).Scalars("val/cer")]
    assert times == [BEGAN + 0.5, BEGAN + 1.0, BEGAN + 1.5]
    assert accumulated(tmp_path, 7).Tags()["scalars"] == []


def test_the_tab_of_parameters_compares_the_runs(tmp_path: Path) -> None:
    from tensorboard.plugins.hparams.api_pb2 import Status

    states = ("finished", "failed", "paused")
    write(tmp_path, *(make_run(1, state, number) for number, state in enumerate(states)))
    start, end = sessions(tmp_path, 0)
    assert start.group_name == "numbers 0"
    assert start.hparams["training.learning_rate"].number_value == 0.01
    assert start.hparams["model.architecture"].string_value == "crnn"
    assert start.hparams["x"].string_value == "none"
    assert (end.status, end.end_time_secs) == (Status.STATUS_SUCCESS, BEGAN + 9)
    assert next(end for end in sessions(tmp_path, 1)).group_name == "numbers 1"
    assert [*sessions(tmp_path, 1)][1].status == Status.STATUS_FAILURE
    assert len([*sessions(tmp_path, 2)]) == 1, "a paused trial has no end yet"


def test_only_what_is_new_is_added(tmp_path: Path) -> None:
    for run, added in (
        (make_run(0), (1, 1, 0, 0)),
        (make_run(2), (1, 0, 1, 2)),
        (make_run(2), (1, 0, 0, 0)),
        (make_run(2, "paused"), (1, 0, 1, 0)),
        (make_run(4), (1, 0, 1, 2)),  # resumed
        (make_run(4, "finished", figures={"network/size_mb": 0.5}), (1, 0, 1, 0)),
        (make_run(4, "finished", figures={"network/size_mb": 0.5}), (1, 0, 0, 0)),
    ):
        assert counts(write(tmp_path, run)) == added
    assert scalars(tmp_path, "val/cer") == expected(run, "val/cer")
    assert scalars(tmp_path, "network/size_mb") == [(0, 0.5)]
    texts = [event.tensor_proto.string_val[0] for event in accumulated(tmp_path).Tensors(TEXT)]
    states = [text.decode().split()[-1] for text in texts]
    assert states == ["unfinished", "paused", "unfinished", "finished"]


def test_a_log_that_stays_open_adds_to_its_files(tmp_path: Path) -> None:
    with closing(TensorBoardRuns(tmp_path, "numbers", ID)) as log:
        for n in (1, 2, 2, 3):
            log.update([make_run(n)])
            assert scalars(tmp_path, "val/cer") == expected(make_run(n), "val/cer")
        log.update([make_run(3, "paused")])
        assert not log._writers, "each open file has a thread"
        assert len([*(tmp_path / "numbers" / "trial-00000").iterdir()]) == 1
        log.update([make_run(4, "finished")])
        assert not log.update([make_run(4, "finished")]).is_changed
    assert scalars(tmp_path, "val/cer") == expected(make_run(4), "val/cer")


def test_a_trial_that_was_trained_again_replaces_its_epochs(tmp_path: Path) -> None:
    write(tmp_path, make_run(4))
    again = trained_again(make_run(3), 2)
    assert write(tmp_path, again).n_updated == 1
    assert scalars(tmp_path, "val/cer") == expected(again, "val/cer")
    assert not write(tmp_path, again).is_changed
    assert write(tmp_path, trained_again(make_run(5), 2)).n_epochs == 2
    assert len([*sessions(tmp_path)]) == 1


def test_what_was_cut_off_is_written_again(tmp_path: Path) -> None:
    write(tmp_path, make_run(3))
    (file,) = (tmp_path / "numbers" / "trial-00000").iterdir()
    file.write_bytes(file.read_bytes()[:-300])
    before = len(scalars(tmp_path, "val/cer"))
    assert 0 < before < 3
    assert write(tmp_path, make_run(3)).n_epochs == 3 - before
    assert scalars(tmp_path, "val/cer") == expected(make_run(3), "val/cer")


@pytest.mark.parametrize("name", ["events.out.tfevents.1.host.2.0", f"events.tfevents.{ID[1:17]}"])
def test_the_log_of_another_study_is_not_touched(tmp_path: Path, name: str) -> None:
    write(tmp_path, make_run(2, number=1))
    file = tmp_path / "numbers" / "trial-00000" / name
    file.parent.mkdir()
    file.write_bytes(b"")
    with pytest.raises(OptionError, match=r"trial-00000: has the log of another study"):
        write(tmp_path, make_run(2))
    assert [*file.parent.iterdir()] == [file]
    write(tmp_path, make_run(2), study="others")


def test_two_processes_do_not_write_the_same_log(tmp_path: Path) -> None:
    with (
        closing(TensorBoardRuns(tmp_path, "numbers", ID)),
        pytest.raises(OptionError, match=r"tensorboard: .*numbers: another process is writing"),
    ):
        TensorBoardRuns(tmp_path, "numbers", ID)
    TensorBoardRuns(tmp_path, "numbers", ID).close()


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(OptionError, match=r"logs/numbers: cannot be written \(Not a directory\)"):
        write(tmp_path / "logs", make_run(1))


def test_without_tensorboard_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.summary.writer.event_file_writer", None)
    with pytest.raises(OptionError, match=r"pip install 'ocrsearch\[tensorboard\]'"):
        write(tmp_path, make_run(1))
    assert [*tmp_path.iterdir()] == []
