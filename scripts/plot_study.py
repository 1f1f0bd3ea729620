"""Write one page with the figures of a study: history, curves, importances, sizes."""

from pathlib import Path
from typing import Annotated

import typer

from ocrsearch.errors import OcrSearchError
from ocrsearch.results.figures import write_page
from ocrsearch.results.query import load_study
from ocrsearch.search.study import DEFAULT_STORAGE


def main(
    study: Annotated[str | None, typer.Option(help="Name; default: the latest study.")] = None,
    storage: Annotated[str, typer.Option(help="URL of the study database.")] = DEFAULT_STORAGE,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("study.html"),
) -> None:
    """Read a study database and write a page of Plotly figures, which needs no network."""
    try:
        n_figures = write_page(load_study(storage, study), output)
    except OcrSearchError as error:
        typer.echo(f"plot_study: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    except OSError as error:
        typer.echo(f"plot_study: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{n_figures} figures written to {output}")


if __name__ == "__main__":
    typer.run(main)
