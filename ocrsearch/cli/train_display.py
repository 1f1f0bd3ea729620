"""The display of one training: a bar on a terminal, plain lines where there is none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from ocrsearch.cli.display import format_seconds
from ocrsearch.cli.output import Harmless, for_command_line, make_console, note, print_json
from ocrsearch.training import Epochs, best_epoch
from ocrsearch.workflows import Observer


class QuietTrainDisplay(Observer):
    """Shows nothing, but counts the epochs.

    Attributes:
        n_done: number of epochs done.
        validates: whether the error rates are those of a validation split, not of images seen.
    """

    n_done = 0
    validates = True

    def epochs_done(self, epochs: Epochs, n_epochs: int) -> None:  # noqa: ARG002
        """Count the epochs."""
        self.n_done = len(epochs)


class PlainTrainDisplay(QuietTrainDisplay):
    """A line for each epoch; for logs and pipes."""

    def reading(self, n_read: int, n: int) -> None:
        """Print a line when all images are read."""
        if n_read == n:
            self.note(f"{n} images read")

    def note(self, line: str) -> None:
        """Print the line."""
        note(line)
        sys.stderr.flush()

    def epochs_done(self, epochs: Epochs, n_epochs: int) -> None:
        """Print the last epoch."""
        super().epochs_done(epochs, n_epochs)
        line = describe_epoch(epochs, n_epochs, validates=self.validates)
        self.note(f"{line}, {describe_left(epochs, n_epochs)}")


class LiveTrainDisplay(QuietTrainDisplay):
    """A bar that is redrawn in place; notes scroll above it."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("starting", total=None, text="")

    def reading(self, n_read: int, n: int) -> None:
        """Show the number of images read."""
        if n_read % 50 == 0 or n_read == n:
            text = f"{n_read} of {n}"
            self._progress.update(
                self._task, description="images", total=n, completed=n_read, text=text
            )

    def note(self, line: str) -> None:
        """Print the line above the bar."""
        self._progress.console.print(Harmless(Text(for_command_line(line))), soft_wrap=True)

    def epochs_done(self, epochs: Epochs, n_epochs: int) -> None:
        """Print the last epoch above the bar, and redraw the bar."""
        super().epochs_done(epochs, n_epochs)
        self.note(describe_epoch(epochs, n_epochs, validates=self.validates))
        self._progress.update(
            self._task,
            description="epoch",
            total=n_epochs,
            completed=len(epochs),
            text=f"{len(epochs)}/{n_epochs}, {describe_left(epochs, n_epochs)}",
        )


@contextmanager
def train_display(*, quiet: bool) -> Iterator[QuietTrainDisplay]:
    """Open the display that suits standard error, and close it at the end."""
    console = make_console(stderr=True)
    if quiet:
        yield QuietTrainDisplay()
    elif not console.is_terminal:
        yield PlainTrainDisplay()
    else:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[text]}"),
        )
        with Progress(*columns, console=console) as progress:
            yield LiveTrainDisplay(progress)


@contextmanager
def resumable(
    display: QuietTrainDisplay, folder: Path | None = None, *, as_json: bool
) -> Iterator[None]:
    """End an interrupted training with exit code 130 and the number of saved epochs.

    Args:
        display: open display of the training.
        folder: folder with the checkpoints, to be named; None if the user need not know it.
        as_json: whether to print JSON.
    """
    try:
        yield
    except KeyboardInterrupt:
        n = display.n_done
        if as_json:
            print_json({"ending": "interrupted", "n_epochs": n, "export": None})
        else:
            saved = "1 epoch is saved" if n == 1 else f"{n} epochs are saved"
            where = f" in {folder}" if folder else ""
            display.note(f"interrupted: {saved}{where}; rerun the same command to resume")
        raise typer.Exit(130) from None


def describe_epoch(epochs: Epochs, n_epochs: int, *, validates: bool = True) -> str:
    """Return the last epoch in one line."""
    last, best = epochs[-1], best_epoch(epochs)
    if not validates:
        return (
            f"epoch {len(epochs)}/{n_epochs}: loss {last.train_loss:.3f}, CER on training "
            f"images {last.cer:.4f}, {last.seconds:.1f} s"
        )
    return (
        f"epoch {len(epochs)}/{n_epochs}: loss {last.train_loss:.3f}, val "
        f"{last.val_loss:.3f}, CER {last.cer:.4f} (best {best.cer:.4f}), exact "
        f"{last.exact:.3f}, {last.seconds:.1f} s"
    )


def describe_left(epochs: Epochs, n_epochs: int) -> str:
    """Return the estimated time left, from the mean time of the epochs so far."""
    seconds = sum(e.seconds for e in epochs) / len(epochs) * (n_epochs - len(epochs))
    return f"about {format_seconds(seconds)} left"
