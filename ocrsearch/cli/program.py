"""How the program reads its arguments, and how each command ends.

Progress and errors go to standard error. An error and a warning take one line each.

Exit codes: 0 success, 1 a user's mistake, 2 wrong usage, 130 interrupted, 141 the output's pipe
was closed.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ocrsearch.cli.output import (
    PROGRAM,
    LogLine,
    OutputClosedError,
    echo,
    error_line,
    error_message,
    note,
    one_line,
    option_of,
)
from ocrsearch.core import (
    OPTIONS,
    OcrSearchError,
    OptionError,
    is_light,
    is_out_of_memory,
    needs_full,
)

TRACEBACK_VARIABLE = "OCRSEARCH_TRACEBACK"

MAY_BE_EMPTY = ("--group", "--splits", "--extra-train-data")
"""Options whose empty value overrides the value that a model was trained with."""


class _InterruptError(Exception):
    """Ctrl-C, as an exception that typer leaves alone."""


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Distinguish Ctrl-C from a command that ends by itself: typer treats them alike."""
    try:
        yield
    except KeyboardInterrupt:
        raise _InterruptError from None


def with_current_options(group: Any, args: Sequence[str]) -> list[str]:
    """Return the arguments of the program with the current name of each option.

    Former names are accepted as before, and are not listed in help.

    Args:
        group: all commands.
        args: arguments, beginning with the name of a command.

    Raises:
        OptionError: an option is given by its former and by its current name.
    """
    command = group
    for word in args:  # the first arguments name a command, or a group
        if word not in getattr(command, "commands", {}):
            break
        command = command.commands[word]
    own = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    current = {option_of(former): option_of(name) for former, name in OPTIONS.items()}
    former = {name: new for name, new in current.items() if name not in own and new in own}
    n = args.index("--") if "--" in args else len(args)
    words = [word.partition("=") for word in args[:n]]
    given = {name for name, _, _ in words}
    for name in former.keys() & given:
        if former[name] in given:
            raise OptionError(f"{name}: is the former name of {former[name]}; remove it")
    return [*(f"{former.get(name, name)}{rest}{value}" for name, rest, value in words), *args[n:]]


class Commands(TyperGroup):
    """All commands."""

    def make_context(self, *args: Any, **extra: Any) -> Any:
        """Read the options of the program itself."""
        with _interrupts_kept():
            return super().make_context(*args, **extra)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Rename former options; refuse an empty value, as ``--study ""`` of an unset variable."""
        args = with_current_options(self, args)
        for before, word in zip(("", *args), args, strict=False):
            # a value may end in "=", as that of --group=^(w.*)= does
            is_option = word.startswith("--") and word.find("=") == len(word) - 1
            name = word[:-1] if is_option else before
            if (is_option or not word) and name not in MAY_BE_EMPTY:
                where = name if name.startswith("-") else "an argument"
                raise OptionError(f"{where}: must not be empty; leave it out or give a value")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with _interrupts_kept():
            return super().invoke(ctx)


def make_app(help_text: str) -> typer.Typer:
    """Return the program without commands.

    Args:
        help_text: what the program does, for its help.
    """
    app = typer.Typer(
        name=PROGRAM,
        cls=Commands,
        help=help_text,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        from ocrsearch import __version__

        echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


def run_app(app: typer.Typer) -> None:
    """Run the command line. An error is printed as one line, not as a traceback."""
    # streams that the caller closed by >&- are opened: a database must not become the output
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            file = os.open(os.devnull, os.O_RDWR)
            assert file == number, "the lowest number that is free"
            setattr(sys, name, open(file, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):  # file names may not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # ocrsearch reports damaged images
    if logging.lastResort:  # handles logs if no other handler is set up
        logging.lastResort.setFormatter(LogLine("warning: %(message)s"))
    logging.captureWarnings(True)
    with one_line_errors(), warnings_shown():
        sys.exit(app(standalone_mode=False, prog_name=PROGRAM))


@contextmanager
def one_line_errors() -> Iterator[None]:
    """End the program with one line for any error, not with a traceback."""
    try:
        yield
    except typer.TyperException as error:
        message, code = _usage_problem(error), error.exit_code
        context = getattr(error, "ctx", None)
        if context is not None and message:  # without a message, the help was printed
            note(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.")
    except OcrSearchError as error:
        message, code = error_message(error), error.exit_code
    except (_InterruptError, typer.Abort):
        message, code = "interrupted", 130
    except OutputClosedError:
        sys.exit(141)
    except Exception as error:
        code = 1
        lacking = isinstance(error, ModuleNotFoundError) and is_light()
        said = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        if is_out_of_memory(error):
            advice = "smaller images, smaller batches and fewer workers need less"
            message = f"too little memory ({said}); {advice}"
        elif lacking:
            message = needs_full("this")
        elif isinstance(error, OSError):  # a full disk, a folder that must not be written
            path = error.filename2 or error.filename  # a file that is renamed has two names
            where = f"{path}: " if path else "a file cannot be read or written: "
            message = f"{where}{error.strerror or error}"
        elif os.environ.get(TRACEBACK_VARIABLE):
            raise
        else:
            message = f"internal error: {said} (set {TRACEBACK_VARIABLE}=1 to see where)"
    else:
        return
    with suppress(OutputClosedError, OSError):  # there may be nowhere left to print it
        if message:
            error_line(message)
    sys.exit(code)


def _usage_problem(error: typer.TyperException) -> str:
    """Return the problem with an option, with the name of the option and the value given."""
    from pydantic import ValidationError

    option, cause = getattr(error, "param", None), error.__cause__
    if option is None or not error.message:
        return error.format_message()
    name = max(option.opts, key=len) if option.opts[0].startswith("-") else option.metavar
    if isinstance(cause, ValidationError):
        from ocrsearch.core import ERROR_MESSAGES, allowed_values

        finding = cause.errors()[0]
        if finding["type"] in ERROR_MESSAGES:
            return f"{name}: {allowed_values(finding)}, got {finding['input']}"
    return f"{name}: {error.message.removeprefix('Value error, ').rstrip('.')}"


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Print the warnings of the library while a command runs, each of them once."""
    shown: set[str] = set()

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            line = one_line(f"warning: {record.getMessage()}")
            if line not in shown:
                shown.add(line)
                note(line)

    lines = Lines(logging.WARNING)
    logger = logging.getLogger("ocrsearch")
    logger.addHandler(lines)
    try:
        yield
    finally:
        logger.removeHandler(lines)
