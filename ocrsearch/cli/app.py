"""The command line: options, one call, output.

Nothing heavy is imported before a command needs it. Progress and errors go to standard error.
Exit codes: 0 success, 1 a user's mistake, 2 wrong usage, 130 interrupted.
"""

from __future__ import annotations

import io
import logging
import os
import sys

import typer

from ocrsearch.cli import (
    best,
    dashboard,
    data,
    evaluate,
    inspect,
    language_model,
    predict,
    run,
    space,
    studies,
    train,
)
from ocrsearch.cli.output import error_line
from ocrsearch.errors import OcrSearchError
from ocrsearch.memory import is_out_of_memory

TRACEBACK_VARIABLE = "OCRSEARCH_TRACEBACK"

app = typer.Typer(
    name="ocrsearch",
    help="Search network and training for a small text recogniser that runs offline.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("run")(run.run)
app.command("best")(best.best)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("language-model")(language_model.language_model)
app.command("inspect")(inspect.inspect)
app.add_typer(data.app, name="data")
app.add_typer(space.app, name="space")
app.add_typer(studies.app, name="studies")
app.command("dashboard")(dashboard.dashboard)


def main() -> None:
    """Run the command line; what goes wrong is one line, not a traceback."""
    for stream in (sys.stdout, sys.stderr):  # a file's name need not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # damaged pictures are told by us
    if logging.lastResort:  # what writes a log to standard error that nobody has set up
        logging.lastResort.setFormatter(logging.Formatter("warning: %(message)s"))
    try:
        app()
    except OcrSearchError as error:
        _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except OSError as error:  # a full disk, a folder that must not be written
        if is_out_of_memory(error):
            _fail(_too_little_memory(error), 1)
        path = error.filename2 or error.filename  # a file that is renamed has two names
        where = f"{path}: " if path else ""
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


def _fail(message: str, code: int) -> None:
    error_line(message)
    sys.exit(code)
