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
from ocrsearch.tuning import Status, describe

SILENCE_S = 60.0
"""Longest time without a line in a log, in seconds."""


class Display(Protocol):
    """Display of a search."""

    def update(self, status: Status, line: str | None) -> None: ...  # noqa: D102
    def reading(self, n_read: int, n: int) -> None: ...  # noqa: D102


class PlainDisplay:
    """A line for each trial that ends, and a progress line each minute; for logs."""

    def __init__(self) -> None:
        self._shown_s = 0.0

    def update(self, status: Status, line: str | None) -> None:
        """Print the line if given, otherwise the progress after a minute of silence."""
        if line is None and status.elapsed_s - self._shown_s >= SILENCE_S and status.running:
            line = under_way(status)
        if line:
            self._shown_s = status.elapsed_s
            done = f"[{status.n_finished}/{status.limits.trials}]"
            note(f"{done} {line}")
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
    limits = status.limits
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(bar_width=30), TextColumn("{task.fields[text]}")
    )
    text = f"{status.n_finished} of {limits.trials}, {format_seconds(status.elapsed_s)}"
    if (left := status.left_s) is not None:
        text += f", about {format_seconds(left)} left"
    bar.add_task("trials", total=limits.trials, completed=status.n_finished, text=text)
    n_paused = len(status.paused)
    counts = (
        f"{len(status.running)} running, {status.n_complete} finished, {n_paused} paused, "
        f"{status.n_pruned - n_paused} pruned, {status.n_infeasible} infeasible, "
        f"{status.n_failed} failed, {status.n_epochs} epochs"
    )
    best = Text("best: none yet", style="dim")
    if status.best_value is not None:
        best = Text(
            f"best: trial {status.best_number}, CER {status.best_value:.4f}, "
            f"exact {status.best_exact:.3f} ({describe(status.best_values)})",
            style="green",
        )
    table = Table(box=None, pad_edge=False)
    for heading in ("trial", "epoch", "CER", "exact", "loss"):
        table.add_column(heading, no_wrap=True, min_width=6)
    table.add_column("configuration", no_wrap=True, overflow="ellipsis", ratio=1)
    for number, running in sorted(status.running.items()):
        last = running.epochs[-1] if running.epochs else None
        figures = ["-", "-", "-"]
        if last:
            figures = [f"{last.cer:.4f}", f"{last.exact:.3f}", f"{last.val_loss:.3f}"]
        n_folds = max(1, last.n_folds) if last else 1
        epoch = f"{len(running.epochs)}/{running.config.training.epochs * n_folds}"
        table.add_row(str(number), epoch, *figures, describe(running.values))
    return Group(bar, Text(counts), best, table)


def under_way(status: Status) -> str:
    """Return a line with the running trials and the time left."""
    parts = []
    for number, running in sorted(status.running.items()):
        progress = describe_progress(running.epochs, running.config.training.epochs)
        part = f"trial {number} at epoch {progress}"
        parts.append(part + (f", CER {running.epochs[-1].cer:.4f}" if running.epochs else ""))
    left = status.left_s
    ending = f"; about {format_seconds(left)} left" if left is not None else ""
    return f"{format_seconds(status.elapsed_s)}: {'; '.join(parts)}{ending}"


def format_seconds(seconds: float) -> str:
    """Return ``1:02:03`` or ``2:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
