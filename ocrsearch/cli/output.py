"""Output of the commands: results, messages, progress and command lines to paste into a shell.

Results go to standard output, messages and progress to standard error. Terminal escapes are made
harmless. No other module of the command line writes to either stream; a test checks that.

Messages of the library name arguments as Python has them, between backticks: "give `study` another
name", "resume it with `study='numbers'`". The command line prints its own options in these places:
"give --study another name", "resume it with --study numbers".
"""

from __future__ import annotations

import ast
import errno
import json
import logging
import math
import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import typer

from ocrsearch.core import DEFAULT_STORAGE, OcrSearchError, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment


PROGRAM = "ocrsearch"

STORAGE_VARIABLE = "OCRSEARCH_STORAGE"
"""Environment variable with the URL of the study database."""

MARKED = frozenset(
    (
        *("beam_size", "bidi", "columns", "corpus", "data", "ensemble", "export"),
        *("extra_train_data", "group", "int8", "keep_flagged", "max_cer_increase", "max_invalid"),
        *("max_waiting", "mlflow", "order", "output", "refit"),
        *("seed", "set", "split", "splits", "study", "tensorboard", "timeout"),
    )
)
"""Arguments that messages of the library mark. Other words between backticks are a user's."""

_MARK = re.compile(r"`([a-z][a-z0-9_]*)(?:=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[\w.]+))?`")


def option_of(argument: str) -> str:
    """Return the option of an argument: ``--max-invalid`` for ``max_invalid``."""
    return f"--{argument.replace('_', '-')}"


def for_command_line(message: str) -> str:
    """Return a message with options in place of the marked arguments."""

    def option(mark: re.Match[str]) -> str:
        argument, value = mark.groups()
        if argument not in MARKED:
            return mark[0]
        if value is None:
            return option_of(argument)
        text = ast.literal_eval(value) if value[0] in "'\"" else value
        return f"{option_of(argument)} {shell(text)}"

    return _MARK.sub(option, message)


def error_message(error: OcrSearchError) -> str:
    """Return the message of an error, beginning with the option that it is about, if any."""
    problem = for_command_line(error.problem)
    return f"{option_of(error.option)}: {problem}" if error.option else problem


def shell(*words: object) -> str:
    """Return a command line that works when it is pasted into a shell."""
    return shlex.join(str(word) for word in words)


_PASSWORD = re.compile(r"://[^/@]*:[^/@]*@")


def our_command(*words: object, storage: str | None = None) -> str:
    """Return a command line of this program.

    Args:
        words: command and arguments.
        storage: URL of the study database. It is omitted if the command finds the database
            without it. If it has a password, the environment variable is named instead.
    """
    program = PROGRAM
    called, found = Path(sys.argv[0]), shutil.which(PROGRAM)
    if called.name == PROGRAM and called.is_file() and not (found and called.samefile(found)):
        program = sys.argv[0]  # the shell finds another program, or none, by the name
    line = shell(program, *words)
    if storage is None or storage == os.environ.get(STORAGE_VARIABLE, DEFAULT_STORAGE):
        return line
    if _PASSWORD.search(storage):
        return f"{line} (with {STORAGE_VARIABLE} set to the URL of the database)"
    return f"{line} {shell('--storage', storage)}"


_ACTIVE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON may hold as they are and a terminal acts upon."""

_NUMBER = re.compile(r"[-+]?[\d.,]*\d([eE][-+]?\d+)?( M| %)?|-|nan|inf")
"""A cell that is put to the right of its column."""

MAX_MESSAGE = 1000
"""Longest error message, in characters."""


class OutputClosedError(Exception):
    """The reader of the output has closed the pipe, as in ``ocrsearch studies list | head -1``."""


def write(stream: TextIO, text: str) -> None:
    """Write text to standard output or standard error at once.

    Raises:
        OutputClosedError: it is a pipe that was closed at its other end.
        OSError: it cannot be written, as on a full disk; ``filename`` names the stream.
    """
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # what is left in the buffer must not fail again when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if error.errno == errno.EPIPE:
            raise OutputClosedError from None
        name = "standard output" if stream is sys.stdout else "standard error"
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), name) from None


def echo(text: str) -> None:
    """Print lines on standard output."""
    write(sys.stdout, printable(text, keep="\n\t") + "\n")


def note(text: str) -> None:
    """Print lines on standard error, with options in place of the arguments that they mark."""
    write(sys.stderr, printable(for_command_line(text), keep="\n\t") + "\n")


def error_line(text: str) -> None:
    """Print an error as one line on standard error."""
    note(f"ocrsearch: {one_line(text)}")


def one_line(text: str) -> str:
    """Return text for a message: one line of a limited length."""
    return printable(" ".join(text.splitlines()), max_length=MAX_MESSAGE)  # names hold anything


class LogLine(logging.Formatter):
    """Format of a log's messages: one harmless line each."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return one_line(super().format(record))


def print_json(content: Mapping[str, object]) -> None:
    """Print one JSON object on standard output; numbers that are not finite become null."""
    text = json.dumps(_finite(content), ensure_ascii=False, indent=2, default=str)
    write(sys.stdout, _ACTIVE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def can_redraw() -> bool:
    """Return whether standard error is a terminal on which a bar can be drawn again in place."""
    return sys.stderr.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that takes no markup from the text that it prints."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


class Harmless:
    """Anything that rich draws, with the text of each piece made harmless for the terminal."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for text, style, control in console.render(self._renderable, options):
            yield Segment(text if control else printable(text, keep="\n"), style, control)


def show_table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object] | None],
    *,
    title: str = "",
    optional: Sequence[str] = (),
) -> None:
    """Print a table on standard output, a line for each row. Nothing in it is ever cut.

    If the terminal is too narrow, optional columns are omitted and a note says so. Output that
    is not a terminal has no width.

    Args:
        headings: heading of each column; if all are empty, there is no heading line.
        rows: cells of each row; None draws a line.
        title: line above the table.
        optional: headings of columns to omit on a narrow terminal, in this order.
    """
    columns = [printable(heading) for heading in headings]
    texts = [None if row is None else [printable(str(cell)) for cell in row] for row in rows]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    left_out = []
    for heading in optional:
        if width is None or sum(_widths(columns, texts)) + 2 * len(columns) - 2 <= width:
            break
        i = columns.index(heading)
        left_out.append(columns.pop(i))
        texts = [None if row is None else [*row[:i], *row[i + 1 :]] for row in texts]
    widths = _widths(columns, texts)
    numeric = [
        all(_NUMBER.fullmatch(row[i]) for row in texts if row and row[i])
        for i in range(len(columns))
    ]
    rule = "  ".join("-" * n for n in widths)
    lines = [printable(title)] if title else []
    if any(columns):
        lines += [_line(columns, widths, numeric), rule]
    lines += [rule if row is None else _line(row, widths, numeric) for row in texts]
    echo("\n".join(lines))
    if left_out:
        note(f"note: no room for {', '.join(left_out)}; a wider terminal or --json shows them")


def _widths(columns: Sequence[str], rows: Sequence[Sequence[str] | None]) -> list[int]:
    """Return the number of terminal cells that each column needs."""
    from rich.cells import cell_len

    cells = [columns, *(row for row in rows if row)]
    return [max(cell_len(row[i]) for row in cells) for i in range(len(columns))]


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    from rich.cells import cell_len

    padded = []
    for cell, width, right in zip(cells, widths, numeric, strict=True):
        space = " " * (width - cell_len(cell))
        padded.append(space + cell if right else cell + space)
    return "  ".join(padded).rstrip()


@contextmanager
def reading_bar(label: str = "reading") -> Iterator[Callable[[int, int], None]]:
    """Show a bar. The function that is returned takes the number of images read and the total."""
    hidden = not can_redraw()
    with typer.progressbar(length=1, label=label, file=sys.stderr, hidden=hidden) as bar:

        def show(n_read: int, n: int) -> None:
            bar.length = n
            bar.update(n_read - bar.pos)

        yield show
