"""Record the whole learning curves of random configurations of a space, for ``simulate.py``.

Every configuration is trained to its end in one thread. Seconds are of processor time, so that
other work on the machine does not count. The same command again goes on with what is missing.
"""

import csv
import json
import multiprocessing
import time
from pathlib import Path
from typing import Annotated

import optuna
import typer

from ocrsearch.core import Config
from ocrsearch.data import DataOptions, load_dataset, open_dataset, save_dataset
from ocrsearch.spaces import Values, load_space

COLUMNS = ("configuration", "epoch", "cer", "val_loss", "exact", "seconds", "values")


def main(
    space: Annotated[Path, typer.Option(help="Search space.")],
    data: Annotated[str, typer.Option(help="Labelled pictures.")],
    output: Annotated[Path, typer.Option(help="Table to write or go on with, CSV.")],
    configurations: Annotated[int, typer.Option(help="How many to train.")] = 110,
    seed: Annotated[int, typer.Option(help="Of the configurations and their training.")] = 0,
    workers: Annotated[int, typer.Option(help="Processes of one thread.")] = 2,
) -> None:
    """Train random configurations in full and write a row for each epoch."""
    folder = output.with_suffix(".data")
    save_dataset(load_dataset(data, DataOptions()), folder)
    drawn = draw(space, configurations, seed)
    known = recorded(output)
    jobs = [
        (number, values, load_space(space).resolve(values), seed + number, folder)
        for number, values in enumerate(drawn)
        if number not in known
    ]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, rows in enumerate(pool.imap_unordered(train, jobs), start=1):
            append(output, rows)
            _, n_epochs, cer = rows[-1][:3]
            typer.echo(f"{len(known) + done}/{configurations}: {n_epochs} epochs, CER {cer:.4f}")


def draw(space_path: Path, n: int, seed: int) -> list[Values]:
    """Return random points of a space, the same for the same seed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = load_space(space_path)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [space.suggest(study.ask()) for _ in range(n)]


def recorded(output: Path) -> set[int]:
    """Return the numbers of the configurations that a table holds."""
    if not output.exists():
        return set()
    with output.open(encoding="utf-8", newline="") as file:
        return {int(row["configuration"]) for row in csv.DictReader(file)}


def train(job: tuple[int, Values, Config, int, Path]) -> list[tuple]:
    """Train one configuration to the end of its schedule; return its rows of the table."""
    import cv2
    import torch

    from ocrsearch.training import Trainer, TrainerOptions, faster_precision

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    number, values, config, seed, folder = job
    device = torch.device("cpu")
    trainer = Trainer(
        config, open_dataset(folder), seed, device, TrainerOptions(faster_precision(device))
    )
    rows = []
    while not trainer.finished:
        start = time.process_time()
        report = trainer.run_epoch()
        seconds = round(time.process_time() - start, 3)
        metrics = report.metrics
        loss, text = round(report.val_loss, 5), json.dumps(values) if not rows else ""
        cer, exact = round(metrics.cer, 5), round(metrics.exact, 5)
        rows.append((number, report.epoch, cer, loss, exact, seconds, text))
    return rows


def append(output: Path, rows: list[tuple]) -> None:
    """Add the rows of a configuration, whole."""
    is_new = not output.exists()
    with output.open("a", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(COLUMNS)
        writer.writerows(rows)


if __name__ == "__main__":
    typer.run(main)
