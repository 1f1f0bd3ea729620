"""``ocrsearch data synth``: make labelled pictures of digit strings and of text lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import Json, output_folder
from ocrsearch.cli.output import echo, make_console, note, print_json, shell
from ocrsearch.errors import DataError, OptionError
from ocrsearch.machine import n_cores

if TYPE_CHECKING:
    from ocrsearch.data.synthesis.recipe import AnyRecipe

app = typer.Typer(help="Make synthetic labelled images.", no_args_is_help=True)

Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="FOLDER",
        callback=output_folder,
        help="New folder for the images.",
    ),
]
Number = Annotated[
    int | None,
    typer.Option(
        "--n",
        min=1,
        max=10_000_000,
        help="Number of images: 80 % train, 10 % val, 10 % test.",
    ),
]
MinLength = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="Minimum number of characters.",
    ),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="Maximum number of characters.",
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, max=2**31 - 1, help="Random seed.")]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        help="Number of processes. Default: one for each core.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Recipe, a YAML file. Options given here come first."),
]

PICTURES_WORTH_A_WORKER = 500


@app.command("digits")
def digits(
    output: Output,
    n: Number = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SPEC", help="Images of single characters, such as mnist:FOLDER or digits."
        ),
    ] = None,
    min_length: MinLength = None,
    max_length: MaxLength = None,
    seed: Seed = None,
    workers: Workers = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Compose strings from images of single digits or other single characters.

    Examples:
      ocrsearch data synth digits -o strings --n 20000 --source mnist:FOLDER
    """
    given = {"source": source, "min_length": min_length, "max_length": max_length, "seed": seed}
    _make(_recipe("digits", config, n, given), output, workers, as_json)


@app.command("text")
def text(
    output: Output,
    fonts: Annotated[
        str | None, typer.Option(help="Folder with .ttf and .otf files, or one such file.")
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="UTF-8 text file, an entry a line.")] = None,
    n: Number = None,
    max_entries: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of entries that are joined to a line.")
    ] = None,
    min_length: MinLength = None,
    max_length: MaxLength = None,
    seed: Seed = None,
    workers: Workers = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> None:
    """Draw lines of a corpus with fonts.

    Examples:
      ocrsearch data synth text -o lines --fonts FOLDER --corpus texts.txt --n 20000
    """
    if config is None and (fonts is None or corpus is None):
        raise OptionError("data synth text: give --fonts and --corpus, or a --config with them")
    given = {
        "fonts": fonts,
        "corpus": corpus,
        "max_entries": max_entries,
        "min_length": min_length,
        "max_length": max_length,
        "seed": seed,
    }
    _make(_recipe("text", config, n, given), output, workers, as_json)


def _recipe(kind: str, config: Path | None, n: int | None, given: dict[str, Any]) -> AnyRecipe:
    from ocrsearch.data.synthesis.recipe import Counts, load_recipe, parse_recipe

    content: dict[str, Any] = {"kind": kind}
    if config is not None:
        content = load_recipe(config).model_dump(mode="json")
        if content["kind"] != kind:
            raise OptionError(f"{config}: is a recipe of kind {content['kind']}, not {kind}")
    content |= {name: value for name, value in given.items() if value is not None}
    if n is not None:
        content["counts"] = Counts.of_total(n).model_dump()
    try:
        return parse_recipe(content, "recipe").relative_to(Path.cwd())
    except DataError as error:
        name, _, problem = str(error).removeprefix("recipe: ").partition(": ")
        if given.get(name) is None:
            raise
        raise OptionError(problem, name) from None


def _make(recipe: AnyRecipe, output: Path, workers: int | None, as_json: bool) -> None:
    from ocrsearch.data.samples import SPLITS
    from ocrsearch.data.synthesis.files import write_set
    from ocrsearch.data.synthesis.sources import open_synthesizer

    synthesizer = open_synthesizer(recipe)
    for line in synthesizer.notes:
        note(f"note: {line}")
    counts: dict[str, int] = {split: recipe.counts.of(split) for split in SPLITS}
    n = sum(counts.values())
    start = time.perf_counter()
    with _progress(quiet=as_json) as progress:
        write_set(synthesizer, output, workers or _worth_it(n), progress)
    seconds = time.perf_counter() - start
    if as_json:
        notes = list(synthesizer.notes)
        print_json({"folder": str(output), "n": n, **counts, "seconds": seconds, "notes": notes})
        return
    parts = ", ".join(f"{split} {count}" for split, count in counts.items())
    echo(f"{n} pictures ({parts}) in {output}, {n / seconds:.0f} a second")
    echo(f"use them as: {shell('--data', f'csv:{output}/labels.csv')}")


def _worth_it(n: int) -> int:
    """Return the number of workers that is worth their start for so many pictures."""
    return min(n_cores(), 1 + n // PICTURES_WORTH_A_WORKER)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    from rich.progress import Progress

    console = make_console(stderr=True)
    with Progress(console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("drawing", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
