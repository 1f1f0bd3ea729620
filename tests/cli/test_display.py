"""What a search shows of itself, and how times are written and read."""

from __future__ import annotations

import io
from typing import Any

import pytest
from optuna.trial import FixedTrial
from rich.console import Console
from rich.live import Live

from ocrsearch.cli.display import (
    LiveDisplay,
    PlainDisplay,
    QuietDisplay,
    format_seconds,
    render,
    search_display,
)
from ocrsearch.core.config import Config
from ocrsearch.training.records import EpochRecord
from ocrsearch.tuning.status import (
    Limits,
    Running,
    Status,
)


def shown(status: Status, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    with console.capture() as capture:
        console.print(render(status))
    return capture.get()


def running(**values: Any) -> Running:
    trial: Any = FixedTrial({})
    return Running(trial, values, Config())


def record(epoch: int, cer: float) -> EpochRecord:
    return EpochRecord(epoch=epoch, cer=cer, exact=1 - cer, val_loss=2 * cer, seconds=1.0)


def test_a_search_that_begins() -> None:
    text = shown(Status(Limits(100)))
    assert "0 of 100, 0:00" in text
    assert "left" not in text
    assert "best: none yet" in text
    assert "0 running, 0 finished, 0 paused, 0 pruned, 0 infeasible, 0 failed, 0 epochs" in text


def test_a_search_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    status = Status(
        Limits(40),
        n_complete=7,
        n_pruned=4,
        n_infeasible=1,
        n_failed=2,
        n_epochs=93,
        n_finished_now=14,
        best_number=5,
        best_value=0.03125,
        best_exact=0.875,
        best_values={"model.encoder.rnn_cell": "gru", "training.learning_rate": 0.00234567},
        paused={3: 4, 8: 9, 9: 10},
    )
    monkeypatch.setattr(Status, "elapsed_s", 140.0)
    status.running = {
        17: running(**{"training.batch_size": 32}),
        16: Running(running().trial, {}, Config(), [record(1, 0.9), record(2, 0.4)]),
    }
    text = shown(status)
    assert "14 of 40, 2:20, about 4:20 left" in text  # 26 more at 10 s each
    assert "2 running, 7 finished, 3 paused, 1 pruned, 1 infeasible, 2 failed, 93 epochs" in text
    assert "best: trial 5, CER 0.0312, exact 0.875 (rnn_cell gru, learning_rate 0.00235)" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["16", "2/20", "0.4000", "0.600", "0.800"] in lines
    assert ["17", "0/20", "-", "-", "-", "batch_size", "32"] in lines
    assert text.index("\n16 ") < text.index("\n17 ")


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_terminal(width: int) -> None:
    status = Status(Limits(3), best_number=1, best_value=0.5, best_exact=0.5)
    status.running = {1: running(**{f"model.encoder.parameter_{i}": i for i in range(20)})}
    assert all(len(line) <= width for line in shown(status, width).splitlines())


@pytest.mark.parametrize(
    ("finished", "elapsed_s", "timeout_s", "left"),
    [
        (0, 50.0, None, None),
        (0, 50.0, 90.0, "0:40"),
        (5, 50.0, None, "0:50"),
        (5, 50.0, 60.0, "0:10"),
        (5, 50.0, 40.0, "0:00"),  # over its time, while the last epochs end
        (10, 50.0, None, "0:00"),
    ],
)
def test_time_that_is_left(
    monkeypatch: pytest.MonkeyPatch,
    finished: int,
    elapsed_s: float,
    timeout_s: float | None,
    left: str | None,
) -> None:
    monkeypatch.setattr(Status, "elapsed_s", elapsed_s)
    status = Status(Limits(10, timeout_s), n_complete=finished, n_finished_now=finished)
    text = shown(status)
    assert (f"about {left} left" in text) if left else ("left" not in text)


def test_trials_of_earlier_runs_do_not_count_for_the_time_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Status, "elapsed_s", 10.0)
    status = Status(Limits(10), n_complete=8, n_finished_now=1)
    assert "8 of 10, 0:10, about 0:20 left" in shown(status)


# --- where it is shown ------------------------------------------------------------------------


def test_lines_for_logs(capsys: pytest.CaptureFixture[str]) -> None:
    status = Status(Limits(10), n_complete=3)
    with search_display(quiet=False) as display:
        assert isinstance(display, PlainDisplay)
        display.reading(1, 2)
        display.reading(2, 2)
        display.update(status, None)
        display.update(status, "trial 2 finished")
    captured = capsys.readouterr()
    assert captured.err == "2 images read\n[3/10] trial 2 finished\n"
    assert captured.out == ""


def test_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with search_display(quiet=True) as display:
        assert isinstance(display, QuietDisplay)
        display.reading(2, 2)
        display.update(Status(Limits(10)), "trial 2 finished")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_is_redrawn_and_lines_scroll_above(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=60, height=20)
    line = "trial 0 finished: " + "long " * 30 + "[as it is]"
    with Live(console=console, auto_refresh=False) as live:
        display = LiveDisplay(live)
        display.reading(50, 200)
        live.refresh()
        display.update(Status(Limits(10), n_complete=1), line)
        live.refresh()
    text = file.getvalue()
    assert "reading images: 50 of 200" in text
    assert line in text  # in one piece, whatever brackets it has
    assert "1 of 10" in text


# --- times ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (0.4, "0:00"),
        (9.6, "0:10"),
        (59.6, "1:00"),
        (61, "1:01"),
        (3599.4, "59:59"),
        (3599.6, "1:00:00"),
        (3723, "1:02:03"),
        (90_000, "25:00:00"),
    ],
)
def test_format_seconds(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_a_log_gets_a_line_each_minute_even_if_no_trial_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = Status(Limits(40))
    status.running = {
        3: Running(running().trial, {}, Config(), [record(1, 0.25)]),
        4: running(),
    }
    display = PlainDisplay()
    for seconds in (1.0, 59.0, 61.0, 100.0, 122.0):
        monkeypatch.setattr(Status, "elapsed_s", seconds)
        display.update(status, None)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "[0/40] 1:01: trial 3 at epoch 1 of 20, CER 0.2500; trial 4 at epoch 0 of 20",
        "[0/40] 2:02: trial 3 at epoch 1 of 20, CER 0.2500; trial 4 at epoch 0 of 20",
    ]
