"""Measure how much pretrained weights help, by dataset and number of images.

For each dataset and number of training images, two networks are trained for the same number of
batches, with one thread. The first is the first configuration of the space derived from these
images, with random weights. The second has the architecture and the weights of the model.

Each result is a line of a file, and existing results are not measured again. The table of all
results shows the CER on the validation split after a quarter, half and all of the batches.
"""

import json
import math
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import torch
import typer

from ocrsearch.core import Config, OcrSearchError, flatten
from ocrsearch.data import DataOptions, Dataset, load_dataset
from ocrsearch.spaces import derive_space, with_values
from ocrsearch.training import (
    StartWeights,
    Trainer,
    TrainerOptions,
    faster_precision,
    read_start_weights,
    start_path,
)

BATCH = 8

SHARES = (0.25, 0.5, 1.0)
"""Fractions of the batches after which the table shows the CER."""

NOTHING, WEIGHTS = "from nothing", "from the model"

Result = dict[str, Any]


def main(
    specs: Annotated[
        list[str],
        typer.Argument(metavar="SPEC...", help="Datasets; 'SPEC --group=REGEX' sets the groups."),
    ],
    init: Annotated[
        Path | None, typer.Option(help="Pretrained model; if omitted, only random weights.")
    ] = None,
    images: Annotated[
        list[int] | None, typer.Option(help="Number of training images; may be repeated.")
    ] = None,
    batches: Annotated[int, typer.Option(min=20, help="Number of batches per training.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed for weights and data order.")] = 0,
    variants: Annotated[
        list[str] | None, typer.Option("--variant", help=f"Variant: {NOTHING!r} or {WEIGHTS!r}.")
    ] = None,
    out: Annotated[Path, typer.Option(help="File for the results.")] = Path("bench_start.jsonl"),
) -> None:
    """Measure missing results and print the table."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    try:
        start = read_start_weights(start_path(init)) if init else None
        for line in specs:
            for n in images or [50, 200, 800]:
                for variant in variants or ([NOTHING, WEIGHTS] if start else [NOTHING]):
                    key = {"data": line, "n": n, "variant": variant, "batches": batches}
                    key |= {
                        "seed": seed,
                        "init": start.digest if start and variant == WEIGHTS else None,
                    }
                    if not any(result | key == result for result in read(out)):
                        result = key | train(line, n, variant, batches, seed, start)
                        with out.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(result) + "\n")
                        typer.echo(table([result]), err=True)
    except OcrSearchError as error:
        typer.echo(f"bench_start: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    typer.echo(table(read(out)))


def train(
    line: str, n: int, variant: str, batches: int, seed: int, start: StartWeights | None
) -> Result:
    """Train a network and return its learning curve."""
    dataset = load(line, n)
    epochs = max(2, math.ceil(batches * BATCH / len(dataset.splits["train"])))
    values = [f"training.batch_size={BATCH}", f"training.epochs={epochs}"]
    config = with_values(
        configuration(dataset, variant, start), [*values, f"training.decay_patience={epochs}"]
    )
    device = torch.device("cpu")
    given = start if variant == WEIGHTS else None
    trainer = Trainer(
        config, dataset, seed, device, TrainerOptions(faster_precision(device), given)
    )
    reports = [trainer.run_epoch() for _ in range(epochs)]
    curve = [(report.metrics.cer, report.metrics.exact) for report in reports]
    return {"curve": curve, "s": sum(report.seconds for report in reports)}


def load(line: str, n: int) -> Dataset:
    """Return a dataset with n training images, or all images if it has fewer."""
    spec, *words = shlex.split(line)
    group = [word.removeprefix("--group=") for word in words if word.startswith("--group=")]
    options = DataOptions(group=group[-1]) if group else DataOptions()
    total = len(load_dataset(spec, options).splits["train"])
    return load_dataset(spec, replace(options, train_fraction=min(1.0, n / total)))


def configuration(dataset: Dataset, variant: str, start: StartWeights | None) -> Config:
    """Return the first configuration of the derived space, or the model's architecture in it."""
    space = derive_space(dataset, max_invalid=0.05, starts=False).space
    config = space.resolve(flatten(space.settings.try_first[0]))
    if start is None or variant == NOTHING:
        return config
    model = start.config.model_dump(mode="json")
    theirs = {"images.height": model["images"]["height"], **flatten({"model": model["model"]})}
    return with_values(config, [f"{path}={value}" for path, value in theirs.items()])


def read(out: Path) -> list[Result]:
    """Return the stored results."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return [json.loads(line) for line in lines]


def table(results: list[Result]) -> str:
    """Return the results as a table."""
    rows = [
        "| data | images | variant | " + " | ".join(f"{s:.0%}" for s in SHARES) + " | exact | s |"
    ]
    rows.append("|" + " --- |" * (len(SHARES) + 5))
    for r in results:
        at = [max(1, round(len(r["curve"]) * share)) - 1 for share in SHARES]
        cers = " | ".join(f"{r['curve'][i][0]:.3f}" for i in at)
        name = Path(shlex.split(r["data"])[0].partition(":")[2] or r["data"])
        label = name.parent.name if name.suffix else name.name
        rows.append(
            f"| {label} | {r['n']} | {r['variant']} | {cers} | {r['curve'][-1][1]:.3f} | "
            f"{r['s']:.0f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    typer.run(main)
