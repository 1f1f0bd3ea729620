"""``ocrsearch studies``: list studies, and export one as a table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import (
    DEFAULT_STORAGE,
    OUTPUT_PANEL,
    Json,
    Storage,
    StudyName,
    output_file,
)
from ocrsearch.cli.output import echo, print_json, show_table
from ocrsearch.printable import printable, spreadsheet_cell

if TYPE_CHECKING:
    from ocrsearch.results.query import StudySummary

app = typer.Typer(help="List studies and export their trials.")

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


def _row(s: StudySummary) -> tuple[str | int, ...]:
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
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            callback=output_file(),
            help="CSV file. Default: standard output.",
            rich_help_panel=OUTPUT_PANEL,
        ),
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
