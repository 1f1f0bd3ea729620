"""``ocrsearch studies``, ``report`` and ``dashboard``: list, plot and browse finished work."""

from __future__ import annotations

import socket
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from ocrsearch.cli.options import Json, Storage, StudyName, output_option
from ocrsearch.cli.output import echo, note, option_of, print_json, reading_bar, show_table
from ocrsearch.core import DEFAULT_STORAGE, OptionError, printable, spreadsheet_cell

LOOPBACK = "127.0.0.1"


def dashboard(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on. The default is for this machine only.")
    ] = LOOPBACK,
    storage: Storage = DEFAULT_STORAGE,
) -> None:
    """Browse studies in a web browser. A search may run at the same time.

    Examples:
      ocrsearch dashboard
      ocrsearch dashboard --port 9000 --storage sqlite:///studies/other.db
    """
    try:
        from optuna_dashboard import run_server
    except ImportError:
        raise OptionError(
            "the dashboard is not installed; install it with: pip install 'ocrsearch[dashboard]'"
        ) from None
    from ocrsearch.studies import (
        existing_artifacts,
        is_read_only,
        open_artifacts,
        open_storage,
        shown_storage,
        study_folder,
    )
    from ocrsearch.workflows import delete_files_of_deleted, list_study_files

    study_storage = open_storage(storage)
    folder = study_folder(storage, "any").parent
    reads_only = is_read_only(storage)
    artifacts = existing_artifacts(folder) if reads_only else open_artifacts(folder)
    if reads_only:
        note(f"note: {shown_storage(storage)} is read-only; the dashboard cannot change it")
    before = [] if reads_only else list_study_files(storage)
    echo(f"http://{host}:{port}/dashboard/ (end with Ctrl-C)")
    try:
        run_server(study_storage, host=host, port=port, artifact_store=artifacts)
    except OSError as error:
        option = f"--host {host}" if isinstance(error, socket.gaierror) else f"--port {port}"
        reason = error.strerror or error
        problem = f"cannot listen on {host}:{port} ({reason}); give another --host or --port"
        raise OptionError(f"{option}: {problem}") from None
    for files in delete_files_of_deleted(storage, before):
        megabytes = f"{files.n_bytes / 1e6:.1f} MB"
        note(f"study {files.study!r} was deleted in the dashboard; its weights too ({megabytes})")
    raise KeyboardInterrupt  # the server has taken Ctrl-C for its own


MovedTrainData = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC", help="New location of the images added for training, if they were moved."
    ),
]


def report(
    studies: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[STUDY...]",
            help="Names of one or more studies. Default: the study that changed last.",
        ),
    ] = None,
    output: Annotated[
        Path,
        output_option("HTML file to write.", ".html"),
    ] = Path("report.html"),
    test: Annotated[
        bool,
        typer.Option("--test", help="Evaluate the best network on the test split."),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(metavar="SPEC", help="New location of the dataset, if it was moved."),
    ] = None,
    splits: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="New path of the split file, if it was moved."),
    ] = None,
    extra_train_data: MovedTrainData = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Write one HTML page about studies: results, errors, next steps. It works offline.

    Examples:
      ocrsearch report
      ocrsearch report captcha-numbers -o report.html
      ocrsearch report first second --test
    """
    from ocrsearch.reports import MAX_STUDIES, plain_content
    from ocrsearch.workflows import DataPlace, collect_report, write_report

    names: list[str | None] = [*dict.fromkeys(studies or ())] or [None]
    if len(names) > MAX_STUDIES:
        raise OptionError(f"{len(names)} studies: a page has at most {MAX_STUDIES}; give fewer")
    moved = {"data": data, "splits": splits, "extra_train_data": extra_train_data}
    given = [option_of(name) for name, value in moved.items() if value is not None]
    if given and len(names) > 1:
        raise OptionError(f"{given[0]}: needs a single study; report each study in its own page")
    place = DataPlace(data, splits, extra_train_data)
    contents = []
    for name in names:
        with reading_bar("recognising") as progress:
            contents.append(collect_report(storage, name, place, progress, test=test))
    write_report(contents, output)
    if as_json:
        print_json({**plain_content(contents), "output": str(output)})
        return
    shown = ", ".join(content.name for content in contents)
    noun = "study" if len(contents) == 1 else "studies"
    echo(f"{noun} {shown}: report written to {output} ({output.stat().st_size / 1e6:.1f} MB)")


app = typer.Typer(help="List studies, export their trials, delete them.")

COLUMNS = (
    *("study", "data", "best CER", "finished", "paused", "pruned", "failed"),
    *("unfinished", "last change"),
)


@app.command("list")
def list_(storage: Storage = DEFAULT_STORAGE, as_json: Json = False) -> None:
    """List the studies of a database. The study that changed last comes last.

    Examples:
      ocrsearch studies list
      ocrsearch studies list --storage sqlite:///studies/other.db --json
    """
    from ocrsearch.studies import list_studies

    found = list_studies(storage)
    if as_json:
        print_json({"studies": [asdict(summary) for summary in found]})
        return
    rows: list[tuple[str | int, ...]] = []
    for s in found:
        if s.problem is not None:
            rows.append((s.name, *["-"] * (len(COLUMNS) - 1)))
            continue
        unfinished = f"{s.n_unfinished} {'running' if s.is_running else 'interrupted'}"
        row = (
            *(s.name, s.data, "-" if s.best is None else f"{s.best:.4f}"),
            *(s.n_complete, s.n_paused, s.n_pruned, s.n_failed),
            *(unfinished if s.n_unfinished else "0", s.last_change[:16]),
        )
        rows.append(row)
    show_table(
        COLUMNS,
        rows,
        optional=("failed", "pruned", "paused", "finished", "last change", "unfinished", "data"),
    )
    for summary in found:
        if summary.problem is not None:
            note(summary.problem)


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
    from ocrsearch.core import write_text_file
    from ocrsearch.studies import load_study, trials_frame

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
    from ocrsearch.workflows import delete_study, study_files

    files = study_files(storage, study)
    if not yes:
        if as_json or not sys.stdin.isatty():
            reason = "--json is given" if as_json else "standard input is not a terminal"
            raise OptionError(f"delete {study!r}: cannot ask, because {reason}; add --yes")
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
