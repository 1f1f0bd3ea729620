"""``ocrsearch studies``: list studies, export the trials of one, delete one."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import (
    DEFAULT_STORAGE,
    Json,
    Storage,
    StudyName,
    output_option,
)
from ocrsearch.cli.output import echo, note, print_json, show_table
from ocrsearch.printable import printable, spreadsheet_cell

if TYPE_CHECKING:
    from ocrsearch.results.query import StudySummary

app = typer.Typer(help="List studies, export their trials, delete them.")

COLUMNS = (
    *("study", "data", "best CER", "finished", "stopped", "failed"),
    *("unfinished", "last change"),
)


@app.command("list")
def list_(storage: Storage = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """List the studies of a database. The study that changed last comes last.

    Examples:
      ocrsearch studies list
      ocrsearch studies list --storage sqlite:///studies/other.db --json
    """
    from ocrsearch.results.query import list_studies

    found = list_studies(storage)
    if as_json:
        print_json({"studies": [asdict(summary) for summary in found]})
        return
    show_table(
        COLUMNS,
        map(_row, found),
        optional=("failed", "stopped", "finished", "last change", "unfinished", "data"),
    )
    for summary in found:
        if summary.problem is not None:
            note(summary.problem)


def _row(s: StudySummary) -> tuple[str | int, ...]:
    if s.problem is not None:
        return (s.name, *["-"] * (len(COLUMNS) - 1))
    unfinished = f"{s.n_unfinished} {'running' if s.is_running else 'open'}"
    return (
        s.name,
        s.data,
        "-" if s.best is None else f"{s.best:.4f}",
        *(s.n_complete, s.n_pruned, s.n_failed),
        unfinished if s.n_unfinished else "0",
        s.last_change[:16],
    )


@app.command("export")
def export(
    study: StudyName = None,
    output: Annotated[
        Path | None,
        output_option("CSV file. Default: standard output."),
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Write the trials of a study as CSV, a row for each trial.

    Examples:
      ocrsearch studies export -o trials.csv
    """
    from ocrsearch.files import write_text_file
    from ocrsearch.results.query import load_study, trials_frame

    frame = trials_frame(load_study(storage, study)).map(_cell).rename(columns=_cell)
    text = frame.to_csv(index=False)
    if output is None:
        echo(text.rstrip("\n"))
        return
    write_text_file(output, text)
    echo(f"{len(frame)} trials written to {output}")


def _cell(value: Any) -> Any:
    """Return a value as a cell that neither a terminal nor a spreadsheet acts upon."""
    return spreadsheet_cell(printable(value)) if isinstance(value, str) else value


@app.command("delete")
def delete(
    study: Annotated[str, typer.Argument(metavar="NAME", help="Name of the study.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Delete a study with its weights, checkpoints and artifacts.

    Examples:
      ocrsearch studies delete captcha-numbers
      ocrsearch studies delete captcha-numbers --yes --json
    """
    from ocrsearch.errors import OptionError
    from ocrsearch.search.deletion import delete_study, study_files

    files = study_files(storage, study)
    if not yes:
        if as_json or not sys.stdin.isatty():
            raise OptionError("--yes: give it to delete a study where nobody can be asked")
        size = f"{files.n_bytes / 1e6:.1f} MB"
        question = f"Delete study {study!r}: {files.n_trials} trials, {size} in {files.folder}?"
        if not typer.confirm(printable(question), err=True):
            note("nothing was deleted")
            raise typer.Exit(1)
    done = delete_study(storage, study)
    if as_json:
        content = {"study": done.study, "n_trials": done.n_trials, "folder": str(done.folder)}
        print_json({**content, "n_bytes": done.n_bytes})
        return
    trials = "1 trial" if done.n_trials == 1 else f"{done.n_trials} trials"
    echo(f"study {study} deleted: {trials}, {done.n_bytes / 1e6:.1f} MB of disk space freed")
