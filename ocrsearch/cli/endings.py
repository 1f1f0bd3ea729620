"""How a command ends: errors and warnings in one line each, exit codes, Ctrl-C, a closed pipe.

Exit codes: 0 success, 1 a user's mistake, 2 wrong usage, 130 interrupted, 141 the output's pipe
was closed.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from ocrsearch.cli.former_options import with_current_options
from ocrsearch.cli.output import OutputClosedError, error_line, note, one_line
from ocrsearch.cli.wording import error_message
from ocrsearch.core import OcrSearchError, OptionError, is_out_of_memory


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


TRACEBACK_VARIABLE = "OCRSEARCH_TRACEBACK"

MAY_BE_EMPTY = ("--group", "--splits", "--extra-train-data")
"""Options whose empty value overrides the value that a model was trained with."""


class _InterruptError(Exception):
    """Ctrl-C, as an exception that typer leaves alone."""


class Commands(TyperGroup):
    """All commands."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the options of the program itself."""
        with _interrupts_kept():
            return super().make_context(*args, **extra)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rename former options; refuse an empty value, as ``--study ""`` of an unset variable."""
        args = with_current_options(self, args)
        _refuse_empty(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _interrupts_kept():
            return super().invoke(ctx)


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Distinguish Ctrl-C from a command that ends by itself: typer treats them alike."""
    try:
        yield
    except KeyboardInterrupt:
        raise _InterruptError from None


def _refuse_empty(args: Sequence[str]) -> None:
    for before, word in zip(("", *args), args, strict=False):
        is_option = word.startswith("--") and word.find("=") == len(word) - 1
        name = word[:-1] if is_option else before
        if (is_option or not word) and name not in MAY_BE_EMPTY:
            where = name if name.startswith("-") else "an argument"
            raise OptionError(f"{where}: must not be empty; leave it out or give a value")


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line for any error, not with a traceback."""
    try:
        yield
    except typer.TyperException as error:
        _wrong_usage(error)
    except OcrSearchError as error:
        _fail(error_message(error), error.exit_code)
    except (_InterruptError, typer.Abort):
        _fail("interrupted", 130)
    except OutputClosedError:
        sys.exit(141)
    except OSError as error:  # a full disk, a folder that must not be written
        if is_out_of_memory(error):
            _fail(_too_little_memory(error), 1)
        path = error.filename2 or error.filename  # a file that is renamed has two names
        where = f"{path}: " if path else "a file cannot be read or written: "
        _fail(f"{where}{error.strerror or error}", 1)
    except Exception as error:
        if is_out_of_memory(error):
            _fail(_too_little_memory(error), 1)
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        _fail(f"internal error: {_one_line(error)} (set {TRACEBACK_VARIABLE}=1 to see where)", 1)


def _too_little_memory(error: Exception) -> str:
    advice = "smaller images, smaller batches and fewer workers need less"
    return f"too little memory ({_one_line(error)}); {advice}"


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")


def _wrong_usage(error: typer.TyperException) -> NoReturn:
    context = getattr(error, "ctx", None)
    message = _message(error)
    if context is not None and message:  # without one, the help was printed
        note(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.")
    if message:
        error_line(message)
    sys.exit(error.exit_code)


def _message(error: typer.TyperException) -> str:
    """Return the problem with an option, with the name of the option and the value given."""
    from pydantic import ValidationError

    option, cause = getattr(error, "param", None), error.__cause__
    if option is None or not error.message:
        return error.format_message()
    name = max(option.opts, key=len) if option.opts[0].startswith("-") else option.metavar
    if isinstance(cause, ValidationError):
        from ocrsearch.core import ALLOWED, allowed_values

        finding = cause.errors()[0]
        if finding["type"] in ALLOWED:
            return f"{name}: {allowed_values(finding)}, got {finding['input']}"
    return f"{name}: {error.message.removeprefix('Value error, ').rstrip('.')}"


def _fail(message: str, code: int) -> NoReturn:
    with suppress(OutputClosedError, OSError):  # there may be nowhere left to say it
        error_line(message)
    sys.exit(code)
