"""``ocrsearch data next``: choose the images to label next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ocrsearch.cli.options import (
    OUTPUT_PANEL,
    Device,
    DeviceOption,
    Json,
    output_folder,
)
from ocrsearch.cli.output import echo, note, print_json, reading_bar, shell
from ocrsearch.core import DataError

N_NAMED = 3
"""Number of skipped files that are named."""

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Folder with images that have no labels yet.")
]
FromModel = Annotated[
    Path,
    typer.Option(metavar="MODEL", help="Model file (.pt) that was trained on your labels so far."),
]
CopyTo = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        callback=output_folder,
        help="Copy the images to this new folder, with labels.csv. It has the texts that the "
        "model reads: correct them.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Number = Annotated[int, typer.Option("--n", min=1, help="Number of images to choose.")]
Seed = Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Random seed for the clusters.")]


def next_images(
    folder: Folder,
    model: FromModel,
    n: Number = 100,
    output: CopyTo = None,
    seed: Seed = 0,
    device: DeviceOption = Device.auto,
    as_json: Json = False,
) -> None:
    """Choose the images to label next, and print their paths.

    Images that the model is unsure of are chosen, and that differ from each other. With an
    ensemble, the model is unsure where its networks disagree.

    Examples:
      ocrsearch data next FOLDER --model model.pt --n 100
      ocrsearch data next FOLDER --model model.pt --n 100 -o to-label
    """
    from ocrsearch.data.formats import find_images
    from ocrsearch.workflows import choose_images, copy_for_labels

    if not folder.is_dir():
        problem = "not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {problem}; give a folder with images")
    paths = find_images(folder, nested=True).images
    if not paths:
        raise DataError(f"{folder}: no images in this folder")
    with reading_bar() as progress:
        found = choose_images(paths, model, n, seed=seed, device=device.value, progress=progress)
    table = copy_for_labels(found.images, folder, output) if output else None
    for _, reason in found.failures[:N_NAMED]:
        note(f"skipped: {reason}")
    if len(found.failures) > N_NAMED:
        note(f"skipped: {len(found.failures) - N_NAMED} more files")
    if as_json:
        images = [
            {
                "file": image.path,
                "text": image.text,
                "confidence": image.confidence,
                "uncertainty": image.uncertainty,
            }
            for image in found.images
        ]
        skipped = [{"file": path, "reason": reason} for path, reason in found.failures]
        print_json({"n": found.n, "images": images, "skipped": skipped, "output": table})
        return
    for image in found.images:
        echo(str(image.path))
    if table:
        note(f"{len(found.images)} of {found.n} images copied; correct the texts in {table}")
        note(f"then use them as: {shell('--data', f'csv:{table}')}")
