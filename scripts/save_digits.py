"""Save some of the built-in test strings as pictures whose file names are their labels."""

from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from ocrsearch.data.digits import make_digits


def main(folder: Path, count: Annotated[int, typer.Option(help="How many pictures.")] = 8) -> None:
    """Write pictures of the test split, which no model was trained on."""
    folder.mkdir(parents=True, exist_ok=True)
    test = [sample for sample in make_digits() if sample.split == "test"]
    for sample in test[:count]:
        Image.fromarray(sample.image.draw()).save(folder / f"{sample.text}.png")
    typer.echo(f"{min(count, len(test))} pictures written to {folder}")


if __name__ == "__main__":
    typer.run(main)
