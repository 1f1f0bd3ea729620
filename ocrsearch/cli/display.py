"""The live display of a search on a terminal, and plain lines where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from ocrsearch.cli.output import Harmless, for_command_line, make_console, note
from ocrsearch.training import describe_progress
from ocrsearch.tuning import Running, Standing, Status, limit_progress

PROGRESS_S = 60.0
"""Time between two lines of progress in a log, in seconds."""

LIMITS = {"time": "time", "epochs": "epoch", "trials": "trial"}
"""Names of the limits in a sentence."""


class Display(Protocol):
    """Display of a search."""

    def update(self, status: Status, line: str | None) -> None: ...  # noqa: D102
    def reading(self, n_read: int, n: int) -> None: ...  # noqa: D102


class PlainDisplay:
    """A line for each trial that ends, and a progress line each minute; for logs."""

    def __init__(self) -> None:
        self._shown_s = 0.0

    def update(self, status: Status, line: str | None) -> None:
        """Print the line if given, and the progress once a minute."""
        lines = [line] if line else []
        if status.elapsed_s - self._shown_s >= PROGRESS_S and status.running:
            self._shown_s = status.elapsed_s
            lines.append(under_way(status))
        for text in lines:
            note(f"[{status.n_begun}/{status.n_total}] {text}")
            sys.stderr.flush()

    def reading(self, n_read: int, n: int) -> None:
        """Print a line when all images are read."""
        if n_read == n:
            note(f"{n} images read")
            sys.stderr.flush()


class QuietDisplay:
    """Shows nothing."""

    def update(self, status: Status, line: str | None) -> None:
        """Show nothing."""

    def reading(self, n_read: int, n: int) -> None:
        """Show nothing."""


class LiveDisplay:
    """The state of the search, redrawn in place; lines of ended trials scroll above it."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def update(self, status: Status, line: str | None) -> None:
        """Redraw, and print the line above."""
        if line:
            self._live.console.print(Harmless(Text(for_command_line(line))), soft_wrap=True)
        self._live.update(Harmless(render(status)))

    def reading(self, n_read: int, n: int) -> None:
        """Show the number of images read."""
        if n_read % 50 == 0 or n_read == n:
            self._live.update(Text(f"reading images: {n_read} of {n}"))


@contextmanager
def search_display(*, quiet: bool) -> Iterator[Display]:
    """Open the display that suits standard error, and close it at the end."""
    console = make_console(stderr=True)
    if quiet:
        yield QuietDisplay()
    elif not console.is_terminal:
        yield PlainDisplay()
    else:
        with Live(Text("starting"), console=console, refresh_per_second=4) as live:
            yield LiveDisplay(live)


def render(status: Status) -> Group:
    """Draw the state of a search."""
    progress = limit_progress(status)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[text]}")
    )
    percent = int(100 * progress.fraction)
    text = f"{percent}%, {format_time(status)}, {format_epochs(status)}"
    bar.add_task(progress.limit, total=100, completed=percent, text=text)
    best = Text("best: none yet", style="dim")
    if (leader := status.leader) is not None:
        values = status.describe(leader.values)
        best = Text(
            f"best: {format_standing(status, leader)}, exact {leader.exact:.3f}"
            + (f" ({values})" if values else ""),
            style="green",
        )
    table = Table(box=None, pad_edge=False)
    for heading in ("trial", "epoch", "CER", "exact", "loss"):
        table.add_column(heading, no_wrap=True, min_width=6)
    table.add_column("configuration", no_wrap=True, overflow="ellipsis", ratio=1)
    for number, running in sorted(status.running.items()):
        table.add_row(str(number), *_figures(running), status.describe(running.values))
    return Group(bar, Text(format_counts(status)), best, table)


def _figures(running: Running) -> tuple[str, str, str, str]:
    """Return epoch, CER, exact match and loss of a trial in training."""
    n_epochs, last = running.n_planned, running.epochs[-1] if running.epochs else None
    if last is None:
        return f"0/{n_epochs}", "-", "-", "-"
    epoch = f"{len(running.epochs)}/{n_epochs * max(1, last.n_folds)}"
    return epoch, f"{last.cer:.4f}", f"{last.exact:.3f}", f"{last.val_loss:.3f}"


def under_way(status: Status) -> str:
    """Return a line with the progress, the best trial and the trials in training."""
    progress = limit_progress(status)
    percent = f"{int(100 * progress.fraction)}% of the {LIMITS[progress.limit]} limit"
    parts = [f"{format_time(status)}: {percent}, {format_epochs(status)}"]
    if (leader := status.leader) is not None:
        parts.append(f"best: {format_standing(status, leader)}")
    for number, running in sorted(status.running.items()):
        at = describe_progress(running.epochs, running.n_planned)
        cer = f", CER {running.epochs[-1].cer:.4f}" if running.epochs else ""
        parts.append(f"trial {number} at epoch {at}{cer}")
    return "; ".join(parts)


def format_counts(status: Status) -> str:
    """Return the number of trials that have begun, and how many of them are in each state."""
    n_paused = len(status.paused)
    counts = {
        "in training": len(status.running),
        "in training elsewhere": len(status.elsewhere),
        "waiting": len(status.waiting),
        "finished": status.n_complete,
        "paused": n_paused,
        "pruned": status.n_pruned - n_paused,
        "infeasible": status.n_infeasible,
        "failed": status.n_failed,
    }
    rare = ("in training elsewhere", "waiting")
    parts = [f"{n} {state}" for state, n in counts.items() if n or state not in rare]
    trials = "trial" if status.n_total == 1 else "trials"
    return f"{status.n_begun} of {status.n_total} {trials} begun: {', '.join(parts)}"


def format_epochs(status: Status) -> str:
    """Return the number of epochs of the study, with the limit if there is any."""
    n, budget = status.n_epochs_in_all, status.limits.epoch_budget
    if budget is None:
        return "1 epoch" if n == 1 else f"{n} epochs"
    total = max(n, budget)  # the last workers may end an epoch each
    return f"{n} of {total} {'epoch' if total == 1 else 'epochs'}"


def format_time(status: Status) -> str:
    """Return the elapsed time, with the limit if there is any, and the remaining time."""
    progress, timeout_s = limit_progress(status), status.limits.timeout_s
    text = format_seconds(status.elapsed_s)
    if timeout_s is not None:
        text += f" of {format_seconds(max(timeout_s, status.elapsed_s))}"
    if progress.left_s is not None:
        about = "" if progress.limit == "time" else "about "
        text += f", {about}{format_seconds(progress.left_s)} left"
    return text


def format_standing(status: Status, standing: Standing) -> str:
    """Return number, state and CER of a trial."""
    number, cer = standing.rank.number, standing.rank.cer
    return f"trial {number} ({status.state_of(number)}), CER {cer:.4f}"


def format_seconds(seconds: float) -> str:
    """Return ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
