"""``ocrsearch best``: the best configuration of a study, and its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import DEFAULT_STORAGE, Json, Storage, StudyName, print_json

if TYPE_CHECKING:
    from ocrsearch.results.query import BestTrial


def best(
    study: StudyName = None,
    export: Annotated[
        Path | None, typer.Option(help="Write the model to this file; nothing is retrained.")
    ] = None,
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Show the best configuration of a study, and export its model."""
    from ocrsearch.results.query import best_trial, load_study

    found = best_trial(storage, study)
    if export is not None:
        from ocrsearch.deploy.bundle import bundle_trial, save_bundle

        facts = load_study(storage, found.study).user_attrs["facts"]
        save_bundle(bundle_trial(found, facts), export)
    if as_json:
        print_json(_content(found, export))
    else:
        _print(found, export)


def _content(found: BestTrial, export: Path | None) -> dict[str, Any]:
    return {
        "study": found.study,
        "trial": found.trial,
        "state": found.state,
        "value": found.value,
        "params": found.params,
        "metrics": found.metrics,
        "export": str(export) if export else None,
    }


def _print(found: BestTrial, export: Path | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title=f"study {found.study}, trial {found.trial}", title_justify="left"
    )
    table.add_column("parameter")
    table.add_column("value")
    for path, value in found.params.items():
        table.add_row(path, f"{value:.4g}" if isinstance(value, float) else str(value))
    table.add_section()
    for name, value in found.metrics.items():
        if not isinstance(value, dict):
            table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    Console().print(table)
    if found.state != "finished":
        n_epochs = found.metrics["n_epochs"]
        typer.echo(f"it is {found.state} after {n_epochs} epochs: more time would make it better.")
    typer.echo("cer, wer and exact are of the validation split, on which it was chosen:")
    typer.echo("an optimist's figures. 'ocrsearch evaluate' tells what it does on the test split.")
    if export:
        size_mb = export.stat().st_size / 1e6
        typer.echo(f"model written to {export} ({size_mb:.1f} MB)")
