"""``ocrsearch data save``: images of a dataset as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ocrsearch.cli.options import OUTPUT_PANEL, Json, Spec, SplitName, takes_data_options
from ocrsearch.cli.output import echo, print_json, shell


@takes_data_options
def save(
    spec: Spec,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="New or empty folder to write.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ],
    split: Annotated[SplitName, typer.Option(help="Split of the data.")] = SplitName.test,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Number of images.")] = None,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Write the images of a dataset as PNG files, with labels.csv beside them.

    The images are grey, as a search reads them. File names are made of the labels.

    Examples:
      ocrsearch data save digits -o images --n 20
      ocrsearch data save mnist:FOLDER -o images --split all
    """
    from ocrsearch.data.dataset import split_samples
    from ocrsearch.data.options import DataOptions
    from ocrsearch.data.samples import SPLITS, is_split
    from ocrsearch.data.saving import save_images

    wanted = [split.value] if is_split(split.value) else SPLITS
    samples = [s for s in split_samples(spec, DataOptions(**given)) if s.split in wanted]
    n_saved, bad = save_images(spec, samples, output, n)
    data = f"csv:{output / 'labels.csv'}"
    if as_json:
        print_json({"folder": str(output), "n": n_saved, "n_bad": len(bad), "data": data})
        return
    echo(f"{n_saved} images written to {output}")
    if bad:
        echo(f"{len(bad)} samples could not be used, first {bad[0].name}: {bad[0].reason}")
    echo(f"use them as: {shell('--data', data)}")
