"""Display of a search on a terminal and in a log, and the form of times."""

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
    assert "trials" in text
    assert "0%, 0:00, 0 epochs" in text
    assert "left" not in text
    assert "best: none yet" in text
    assert (
        "0 of 100 trials begun: 0 in training, 0 finished, 0 paused, 0 pruned, 0 infeasible, "
        "0 failed"
    ) in text


def under_way_status() -> Status:
    """Return the status of a search with trials in every state."""
    status = Status(
        Limits(40),
        n_complete=7,
        n_pruned=4,
        n_infeasible=1,
        n_failed=2,
        n_epochs=93,
        best_number=5,
        best_value=0.03125,
        best_exact=0.875,
        best_values={"model.encoder.rnn_cell": "gru", "training.learning_rate": 0.00234567},
        paused={3: 4, 8: 9, 9: 10},
    )
    status.running = {
        17: running(**{"training.batch_size": 32}),
        16: Running(running().trial, {}, Config(), [record(1, 0.9), record(2, 0.4)]),
    }
    return status


def test_a_search_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Status, "elapsed_s", 140.0)
    text = shown(under_way_status(), 140)
    assert (
        "16 of 40 trials begun: 2 in training, 7 finished, 3 paused, 1 pruned, 1 infeasible, "
        "2 failed"
    ) in text
    assert (
        "best: trial 5 (finished), CER 0.0312, exact 0.875 (rnn_cell gru, learning_rate 0.00235)"
    ) in text
    lines = [line.split() for line in text.splitlines()]
    assert ["16", "2/20", "0.4000", "0.600", "0.800"] in lines
    assert ["17", "0/20", "-", "-", "-", "batch_size", "32"] in lines
    assert text.index("\n16 ") < text.index("\n17 ")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (Limits(40), ["trials", "38%, 2:20, about 3:48 left, 93 epochs"]),
        (Limits(40, timeout_s=280.0), ["time", "50%, 2:20 of 4:40, 2:20 left, 93 epochs"]),
        (
            Limits(40, epoch_budget=124),
            ["epochs", "75%, 2:20, about 0:47 left, 93 of 124 epochs"],
        ),
        (  # the budget of epochs ends the search before the time does
            Limits(40, timeout_s=1400.0, epoch_budget=124),
            ["epochs", "75%, 2:20 of 23:20, about 0:47 left, 93 of 124 epochs"],
        ),
        (Limits(16, timeout_s=1400.0), ["trials", "89%, 2:20 of 23:20, about 0:16 left"]),
    ],
    ids=["trials", "time", "epochs", "epochs first", "trials first"],
)
def test_the_bar_shows_the_limit_that_ends_the_search_first(
    limits: Limits, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Status, "elapsed_s", 140.0)
    status = under_way_status()
    status.limits = limits
    text = shown(status, 140)
    assert text.startswith(expected[0])
    for part in expected[1:]:
        assert part in text


def test_no_count_is_larger_than_its_total() -> None:
    status = Status(Limits(3, epoch_budget=4), n_complete=5, n_epochs=3, n_epochs_before=2)
    text = shown(status)
    assert "5 of 5 trials begun" in text  # an earlier run had a higher limit
    assert "5 of 5 epochs" in text  # two workers ended an epoch at the same time
    assert "100%" in text


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status(Limits(1), n_epochs=1), ["0 of 1 trial begun", ", 1 epoch\n"]),
        (Status(Limits(2), n_complete=1, n_epochs=2), ["1 of 2 trials begun", ", 2 epochs\n"]),
        (Status(Limits(2, epoch_budget=1)), [", 0 of 1 epoch\n"]),
        (Status(Limits(2, epoch_budget=2), n_epochs_before=1), [", 1 of 2 epochs\n"]),
    ],
)
def test_numbers_agree_with_their_nouns(status: Status, expected: list[str]) -> None:
    text = "\n".join(line.rstrip() for line in shown(status).splitlines())
    for part in expected:
        assert part in text


def test_the_best_trial_may_be_in_training() -> None:
    status = under_way_status()
    status.running[16].epochs.append(record(3, 0.02))
    assert "best: trial 16 (in training), CER 0.0200, exact 0.980\n" in (
        "\n".join(line.rstrip() for line in shown(status).splitlines())
    )


def test_values_that_are_the_same_in_all_trials_are_not_shown() -> None:
    first = {"images.height": 32, "training.batch_size": 16, "model.encoder.rnn_cell": "gru"}
    second = {**first, "training.batch_size": 64}
    status = Status(Limits(10))
    status.running = {0: running(**first)}
    status.note_configuration(first)
    assert "height 32, batch_size 16, rnn_cell gru" in shown(status)
    status.running[1] = running(**second)
    status.note_configuration(second)
    text = shown(status)
    assert "batch_size 16" in text
    assert "batch_size 64" in text
    assert "height" not in text
    assert "rnn_cell" not in text


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_narrow_terminal(width: int) -> None:
    status = Status(Limits(3), best_number=1, best_value=0.5, best_exact=0.5)
    status.running = {1: running(**{f"model.encoder.parameter_{i}": i for i in range(20)})}
    assert all(len(line) <= width for line in shown(status, width).splitlines())


# --- where it is shown ------------------------------------------------------------------------


def test_lines_for_logs(capsys: pytest.CaptureFixture[str]) -> None:
    status = Status(Limits(10), n_complete=3)
    status.running = {3: running()}
    with search_display(quiet=False) as display:
        assert isinstance(display, PlainDisplay)
        display.reading(1, 2)
        display.reading(2, 2)
        display.update(status, None)
        display.update(status, "trial 2 finished")
    captured = capsys.readouterr()
    assert captured.err == "2 images read\n[4/10] trial 2 finished\n"
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


@pytest.mark.parametrize("line", [None, "trial 2 finished"])
def test_a_log_gets_the_progress_once_a_minute_even_if_no_trial_ends(
    line: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status = Status(Limits(40, timeout_s=600.0, epoch_budget=400), n_epochs=2)
    status.running = {
        3: Running(
            running().trial, {}, Config(), [record(1, 0.5), record(2, 0.25)], shortened_to=11
        ),
        4: running(),
    }
    display = PlainDisplay()
    for seconds in (1.0, 59.0, 61.0, 100.0, 122.0):
        monkeypatch.setattr(Status, "elapsed_s", seconds)
        display.update(status, line)
    lines = capsys.readouterr().err.splitlines()
    progress = [shown for shown in lines if "finished" not in shown]
    assert len(lines) - len(progress) == (5 if line else 0)
    trials = (
        "2 of 400 epochs; best: trial 3 (in training), CER 0.2500; "
        "trial 3 at epoch 2 of 11, CER 0.2500; trial 4 at epoch 0 of 20"
    )
    assert progress == [
        f"[2/40] 1:01 of 10:00, 8:59 left: 10% of the time limit, {trials}",
        f"[2/40] 2:02 of 10:00, 7:58 left: 20% of the time limit, {trials}",
    ]
