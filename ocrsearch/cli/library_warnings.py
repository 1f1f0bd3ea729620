"""Warnings that this package logs, as lines on standard error; each is printed once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from ocrsearch.cli.output import note, one_line


class _Lines(logging.Handler):
    """Prints each warning once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._shown: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        line = one_line(f"warning: {record.getMessage()}")
        if line not in self._shown:
            self._shown.add(line)
            note(line)


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Print the warnings of the library while a command runs."""
    lines = _Lines()
    logger = logging.getLogger("ocrsearch")
    logger.addHandler(lines)
    try:
        yield
    finally:
        logger.removeHandler(lines)
