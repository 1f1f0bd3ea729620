"""``ocrsearch data preview``: pictures before and after preparation and augmentation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ocrsearch.cli.options import SetValues, Spec, output_option
from ocrsearch.cli.output import echo


def preview(
    data: Spec,
    space: Annotated[
        str | None,
        typer.Option(
            metavar="SPACE",
            help="Ready search space by name, or YAML file of a space or a configuration. A "
            "random configuration of a space is used.",
        ),
    ] = None,
    values: SetValues = None,
    output: Annotated[
        Path,
        output_option("PNG file to write.", ".png"),
    ] = Path("preview.png"),
    n: Annotated[int, typer.Option("--n", min=1, max=200, help="Number of images.")] = 12,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**31 - 1,
            help="Random seed for the choice of images, the space and the augmentation.",
        ),
    ] = 0,
) -> None:
    """Draw images as read, as the network sees them, and with augmentation.

    Examples:
      ocrsearch data preview captcha:FOLDER -o preview.png
      ocrsearch data preview labels.csv --set training.augment.elastic=1
    """
    import numpy as np

    from ocrsearch.config import Config, flatten
    from ocrsearch.data.dataset import load_some
    from ocrsearch.data.preview import preview_sheet
    from ocrsearch.data.sheet import write_sheet
    from ocrsearch.search.configuration import random_config, with_values
    from ocrsearch.search.ready import open_space

    config = Config()
    if space is not None:
        config = random_config(open_space(space), seed)
    config = with_values(config, values or [])
    rng = np.random.default_rng(seed)
    pictures = load_some(data, n, rng)
    write_sheet(preview_sheet(pictures, config, rng), output)
    chosen = flatten(
        config.model_dump(include={"images": True, "training": {"augment"}}, exclude_defaults=True)
    )
    echo(f"{len(pictures)} pictures written to {output}, with {_text(chosen)}")


def _text(chosen: dict[str, Any]) -> str:
    return ", ".join(f"{path}={value}" for path, value in chosen.items()) or "the defaults"
