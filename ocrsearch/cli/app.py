"""The command line: options, one call, output.

Nothing heavy is imported before a command needs it. Progress and errors go to standard error.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import Annotated

import typer

from ocrsearch.cli import best, data, model, predict, run, space, studies, train
from ocrsearch.cli.endings import Commands, one_line_errors, warnings_shown
from ocrsearch.cli.output import LogLine, echo

PROGRAM = "ocrsearch"

app = typer.Typer(
    name=PROGRAM,
    cls=Commands,
    help="Search network and training for a small text recogniser that runs offline.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("best")(best.best)
app.command("train")(train.train)
app.command("evaluate")(model.evaluate)
app.command("predict")(predict.predict)
app.command("language-model")(train.language_model)
app.command("inspect")(model.inspect)
app.add_typer(data.app, name="data")
app.add_typer(space.app, name="space")
app.add_typer(studies.app, name="studies")
app.command("report")(studies.report)
app.command("dashboard")(studies.dashboard)


def _print_version(wanted: bool) -> None:
    if wanted:
        from ocrsearch import __version__

        echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Options of the program itself."""


def main() -> None:
    """Run the command line. An error is printed as one line, not as a traceback."""
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):  # file names may not be text
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # ocrsearch reports damaged images
    if logging.lastResort:  # handles logs if no other handler is set up
        logging.lastResort.setFormatter(LogLine("warning: %(message)s"))
    logging.captureWarnings(True)
    with one_line_errors(), warnings_shown():
        sys.exit(app(standalone_mode=False, prog_name=PROGRAM))


def _open_closed_streams() -> None:
    """Open streams that the caller closed by ``>&-``: a database must not become the output."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            file = os.open(os.devnull, os.O_RDWR)
            assert file == number, "the lowest number that is free"
            setattr(sys, name, open(file, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
