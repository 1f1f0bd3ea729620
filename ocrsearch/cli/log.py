"""``ocrsearch log``: the trials of a study as runs of TensorBoard and MLflow."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import OUTPUT_PANEL, Json, Storage
from ocrsearch.cli.output import echo, note, print_json, shell
from ocrsearch.core import DEFAULT_STORAGE

if TYPE_CHECKING:
    from ocrsearch.reports import Logged
    from ocrsearch.workflows import StudyLog


def log(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]",
            help="Name of the study. Default: the study that changed last.",
        ),
    ] = None,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Folder for TensorBoard. The logs of several studies can share it.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    mlflow: Annotated[
        str | None,
        typer.Option(
            metavar="URI",
            help="Tracking URI of MLflow, such as http://HOST:5000, or a local folder.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Update the logs until the search ends, or until Ctrl-C."),
    ] = False,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Log the trials of a study to TensorBoard or MLflow, each as a run.

    Repeat the command to add new trials and epochs. A search may run at the same time.

    Examples:
      ocrsearch log --tensorboard logs
      ocrsearch log captcha-numbers --mlflow http://localhost:5000 --follow
      ocrsearch log --tensorboard logs --mlflow tracking
    """
    from ocrsearch.studies import load_study
    from ocrsearch.workflows import log_study

    opened = load_study(storage, study)
    updates = log_study(storage, opened, tensorboard=tensorboard, mlflow=mlflow, follow=follow)
    for i, update in enumerate(updates):
        if as_json:
            continue
        for logged in update.logged:
            if i == 0 or logged.is_changed:
                echo(f"study {update.study}: {_counts(logged)}")
        if i == 0:
            _show_views(tensorboard, update)
            if follow and not update.is_searched:
                note(f"note: no search of study {update.study!r} is running")
    if as_json:
        places = {"tensorboard": update.tensorboard, "mlflow": update.mlflow}
        print_json({"study": update.study, **{k: v and asdict(v) for k, v in places.items()}})


def _counts(logged: Logged) -> str:
    trials = "1 trial" if logged.n_runs == 1 else f"{logged.n_runs} trials"
    epochs = "1 epoch" if logged.n_epochs == 1 else f"{logged.n_epochs} epochs"
    changes = f"{logged.n_new} new, {logged.n_updated} updated, {epochs} added"
    return f"{trials} in {logged.place} ({changes})"


def _show_views(tensorboard: Path | None, update: StudyLog) -> None:
    """Print the commands that show the logs, except for a server, which shows them itself."""
    if tensorboard is not None:
        echo(f"view: {shell('tensorboard', '--logdir', tensorboard)}")
    place = update.mlflow.place if update.mlflow else ""
    if place.startswith("sqlite:"):
        echo(f"view: {shell('mlflow', 'server', '--backend-store-uri', place)}")
