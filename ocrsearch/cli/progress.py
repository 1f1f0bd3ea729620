"""A bar on standard error while pictures are read or recognised, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from ocrsearch.cli.output import can_redraw


@contextmanager
def reading_bar(label: str = "reading") -> Iterator[Callable[[int, int], None]]:
    """Give a function to be told of the number of pictures read and of those in all."""
    hidden = not can_redraw()
    with typer.progressbar(length=1, label=label, file=sys.stderr, hidden=hidden) as bar:

        def show(n_read: int, n: int) -> None:
            bar.length = n
            bar.update(n_read - bar.pos)

        yield show
