"""``ocrsearch data``: preview, save, split and synthesise labelled images.

The commands in modules of their own are added at the end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.data_check import check
from ocrsearch.cli.data_inspect import inspect
from ocrsearch.cli.data_next import next_images
from ocrsearch.cli.options import (
    OUTPUT_PANEL,
    Json,
    SetValues,
    Spec,
    SplitName,
    output_folder,
    output_option,
    takes_data_options,
)
from ocrsearch.cli.output import (
    echo,
    make_console,
    note,
    our_command,
    print_json,
    reading_bar,
    shell,
)
from ocrsearch.core import DataError, OptionError, n_cores
from ocrsearch.data import DataArguments

if TYPE_CHECKING:
    from ocrsearch.data.synthesis import AnyRecipe


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

    from ocrsearch.core import Config, flatten
    from ocrsearch.data import load_some, preview_sheet, write_sheet
    from ocrsearch.spaces import open_space, random_config, with_values

    config = Config()
    if space is not None:
        config = random_config(open_space(space), seed)
    config = with_values(config, values or [])
    rng = np.random.default_rng(seed)
    images = load_some(data, n, rng)
    write_sheet(preview_sheet(images, config, rng), output)
    chosen = flatten(
        config.model_dump(include={"images": True, "training": {"augment"}}, exclude_defaults=True)
    )
    values_of = ", ".join(f"{path}={value}" for path, value in chosen.items()) or "the defaults"
    echo(f"{len(images)} images written to {output}, with {values_of}")


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
    given: DataArguments,
) -> None:
    """Write the images of a dataset as PNG files, with labels.csv beside them.

    The images are grey, as a search reads them. File names are made of the labels.

    Examples:
      ocrsearch data save digits -o images --n 20
      ocrsearch data save mnist:FOLDER -o images --split all
    """
    from ocrsearch.data import (
        SPLITS,
        DataOptions,
        given_options,
        is_split,
        save_images,
        split_samples,
    )

    wanted = [split.value] if is_split(split.value) else SPLITS
    options = DataOptions(**given_options(given))
    samples = [s for s in split_samples(spec, options) if s.split in wanted]
    n_saved, bad = save_images(spec, samples, output, n)
    data = f"csv:{output / 'labels.csv'}"
    if as_json:
        print_json({"folder": str(output), "n": n_saved, "n_bad": len(bad), "data": data})
        return
    echo(f"{n_saved} images written to {output}")
    if bad:
        echo(f"{len(bad)} samples could not be used, first {bad[0].name}: {bad[0].reason}")
    echo(f"use them as: {shell('--data', data)}")


@takes_data_options
def split(
    spec: Spec,
    output: Annotated[
        Path | None,
        output_option("Write the splits to this CSV file, for --splits."),
    ] = None,
    as_json: Json = False,
    *,
    given: DataArguments,
) -> None:
    """Split a dataset as a search does, check it for leaks, and write the splits.

    Examples:
      ocrsearch data split captcha:FOLDER -o splits.csv
      ocrsearch data split captcha:FOLDER --group "^[^_]+" -o splits.csv
    """
    from ocrsearch.data import (
        DataOptions,
        by_split,
        count_rare,
        given_options,
        group_key,
        list_samples,
        load_dataset,
        split_samples,
        write_splits,
    )

    options = DataOptions(**given_options(given))
    with reading_bar() as progress:
        dataset = load_dataset(spec, options, progress)
    samples = split_samples(spec, options)
    parts = by_split(samples)
    used = {sample.name for sample in samples}
    left_out = [
        replace(sample, split=None)
        for sample in list_samples(spec, options)
        if sample.name not in used
    ]
    if output:
        write_splits([*samples, *left_out], output)
    n_groups = {name: len({group_key(s) for s in part}) for name, part in parts.items()}
    rare = count_rare(samples)
    content = {
        "data": spec,
        "n": {name: len(part) for name, part in parts.items()},
        "n_groups": n_groups,
        "n_left_out": len(left_out),
        "n_bad": len(dataset.bad),
        "rare_characters": asdict(rare),
        "output": output,
    }
    if as_json:
        print_json(content)
        return
    for name, part in parts.items():
        echo(f"{name}: {len(part)} samples, {n_groups[name]} groups")
    if line := rare.describe():
        echo(line)


synth_app = typer.Typer(help="Make synthetic labelled images.", no_args_is_help=True)

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
    typer.Option(metavar="FILE", help="Recipe, a YAML file. Options given here take precedence."),
]

IMAGES_PER_WORKER = 500
"""Number of images that pay for the start of another process."""


@synth_app.command("digits")
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


@synth_app.command("text")
def text(
    output: Output,
    fonts: Annotated[
        str | None, typer.Option(help="Folder with .ttf and .otf files, or one such file.")
    ] = None,
    corpus: Annotated[str | None, typer.Option(help="UTF-8 text file, an entry a line.")] = None,
    n: Number = None,
    max_entries: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of entries in a line.")
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
        missing = "--fonts" if fonts is None else "--corpus"
        raise OptionError(f"{missing}: missing; give --fonts and --corpus, or a --config with them")
    given = {
        "fonts": fonts,
        "corpus": corpus,
        "max_entries": max_entries,
        "min_length": min_length,
        "max_length": max_length,
        "seed": seed,
    }
    _make(_recipe("text", config, n, given), output, workers, as_json)


def _recipe(
    kind: str, config: Path | None, n: int | None, given: Mapping[str, object]
) -> AnyRecipe:
    """Return the recipe of a file, if any, with the options that are given."""
    from ocrsearch.data.synthesis import Counts, load_recipe, parse_recipe

    content: dict[str, object] = {"kind": kind}
    if config is not None:
        content = load_recipe(config).model_dump(mode="json")
        if content["kind"] != kind:
            command = our_command("data", "synth", content["kind"])
            raise OptionError(
                f"{config}: is a recipe of kind {content['kind']}, not {kind}; change its kind or "
                f"use it with: {command}"
            )
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
    """Draw the images of a recipe, with a bar on a terminal, and show the result."""
    from rich.progress import Progress

    from ocrsearch.data import SPLITS
    from ocrsearch.data.synthesis import open_synthesizer, write_set

    synthesizer = open_synthesizer(recipe)
    for line in synthesizer.notes:
        note(f"note: {line}")
    counts: dict[str, int] = {split: recipe.counts.of(split) for split in SPLITS}
    n = sum(counts.values())
    workers = workers or min(n_cores(), 1 + n // IMAGES_PER_WORKER)
    start = time.perf_counter()
    console = make_console(stderr=True)
    with Progress(console=console, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task("drawing", total=None)
        write_set(
            *(synthesizer, output, workers),
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    seconds = time.perf_counter() - start
    if as_json:
        notes = list(synthesizer.notes)
        print_json({"folder": str(output), "n": n, **counts, "seconds": seconds, "notes": notes})
        return
    parts = ", ".join(f"{split} {count}" for split, count in counts.items())
    echo(f"{n} images ({parts}) in {output}, {n / seconds:.0f} a second")
    echo(f"use them as: {shell('--data', f'csv:{output}/labels.csv')}")


app = typer.Typer(help="Summarise, split, preview and make datasets.", no_args_is_help=True)
app.command("inspect")(inspect)
app.command("check")(check)
app.command("next")(next_images)
app.command("save")(save)
app.command("split")(split)
app.command("preview")(preview)
app.add_typer(synth_app, name="synth")
