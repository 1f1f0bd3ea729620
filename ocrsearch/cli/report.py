"""``ocrsearch report``: the figures of a study on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrsearch.cli.options import DEFAULT_STORAGE, Json, Storage, output_option
from ocrsearch.cli.output import echo, print_json


def report(
    study: Annotated[
        str | None,
        typer.Argument(
            metavar="[STUDY]", help="Name of the study. Default: the study that changed last."
        ),
    ] = None,
    output: Annotated[
        Path,
        output_option("HTML file to write.", ".html"),
    ] = Path("report.html"),
    storage: Storage = DEFAULT_STORAGE,
    as_json: Json = False,
) -> None:
    """Write one HTML page with the figures of a study. The page needs no network.

    Examples:
      ocrsearch report
      ocrsearch report quick-digits -o report.html
    """
    from ocrsearch.results.figures import write_page
    from ocrsearch.results.query import load_study

    found = load_study(storage, study)
    n_figures = write_page(found, output)
    if as_json:
        print_json({"study": found.study_name, "n_figures": n_figures, "output": str(output)})
    else:
        echo(f"study {found.study_name}: {n_figures} figures written to {output}")
