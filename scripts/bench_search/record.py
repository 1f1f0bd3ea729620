"""Record complete learning curves of random configurations, for ``simulate.py``.

Every configuration is trained to its end in one thread. Seconds are seconds of processor time, so
that other work on the machine does not count. The number of edits in each validation image is kept
for every epoch, because searches compare configurations image by image. Each epoch is also
validated with averaged weights, over the batches of the last epoch and of the last three: averaging
removes much of the noise of a constant learning rate. Run the same command again to resume: only
missing configurations are trained.

    python scripts/bench_search/record.py plates_us FOLDER
"""

from __future__ import annotations

import csv
import gzip
import json
import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import optuna
import typer
from recordings import AVERAGED, COLUMNS, DIGITS, Values, load_tasks

from ocrsearch.core import Config, DivergedError, RecipeConfig
from ocrsearch.data import DataOptions, load_dataset, open_dataset, save_dataset
from ocrsearch.spaces import Space

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ocrsearch.training import Trainer


def main(
    task_name: Annotated[str, typer.Argument(metavar="TASK", help="Name in recordings.yaml.")],
    data: Annotated[str, typer.Argument(help="Labelled images.")],
    configurations: Annotated[int, typer.Option(help="Number of configurations.")] = 60,
    seed: Annotated[int, typer.Option(help="Random seed of configurations and training.")] = 0,
    workers: Annotated[int, typer.Option(help="Number of processes, each with one thread.")] = 2,
) -> None:
    """Train random configurations in full and write a row for each epoch."""
    task = load_tasks()[task_name]
    space, output = task.space, task.table
    folder = output.with_suffix(".data")
    save_dataset(load_dataset(data, DataOptions(train_fraction=task.fraction)), folder)
    known = recorded(output)
    jobs = [
        (number, values, space.resolve(values), seed + number, folder, space.init)
        for number, values in enumerate(draw(space, configurations, seed))
        if number not in known
    ]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for done, rows in enumerate(pool.imap_unordered(train, jobs), start=1):
            if not rows:  # diverged in the first epoch
                continue
            append(output, rows)
            seconds = sum(row[COLUMNS.index("seconds")] for row in rows)
            best = min(row[COLUMNS.index("cer")] for row in rows)
            typer.echo(f"{len(known) + done}/{configurations}: {seconds:.0f} s, CER {best:.4f}")


def draw(space: Space, n: int, seed: int) -> list[Values]:
    """Return random points of a space, the same for the same seed."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [space.suggest(study.ask()) for _ in range(n)]


def recorded(output: Path) -> set[int]:
    """Return the numbers of the configurations in a table."""
    if not output.exists():
        return set()
    with gzip.open(output, "rt", encoding="utf-8", newline="") as file:
        return {int(row["configuration"]) for row in csv.DictReader(file)}


def train(job: tuple[int, Values, Config, int, Path, Path | None]) -> list[tuple]:
    """Train one configuration to the end of its schedule; return its rows of the table."""
    import cv2
    import torch

    from ocrsearch.training import Trainer, TrainerOptions, faster_precision, read_start_weights

    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    number, values, config, seed, folder, init = job
    device = torch.device("cpu")
    recipe = RecipeConfig(average_weights=False)  # both kinds of weights are validated below
    start = read_start_weights(init) if init else None
    options = TrainerOptions(faster_precision(device), start=start, recipe=recipe)
    trainer = Trainer(config, open_dataset(folder), seed, device, options)
    average = WeightAverage(trainer.network)
    trainer.optimizer.register_step_post_hook(lambda *_: average.add())
    rows: list[tuple] = []
    while not trainer.finished:
        start = time.process_time()
        try:
            report = trainer.run_epoch()
        except DivergedError as error:
            typer.echo(f"configuration {number}: {error}", err=True)
            break
        seconds = round(time.process_time() - start, 2)
        exact, text = round(report.metrics.exact, 5), "" if rows else json.dumps(values)
        figures = [round(report.metrics.cer, 5), round(report.val_loss, 5), _edits(trainer)]
        for n_epochs in average.end_epoch():
            with average.in_place(n_epochs):
                loss, metrics = trainer.validate()
            figures += [round(metrics.cer, 5), round(loss, 5), _edits(trainer)]
        rows.append((number, report.epoch, exact, seconds, *figures, text))
    return rows


def _edits(trainer: Trainer) -> str:
    """Return the number of edits in each validation image, a digit for each."""
    from rapidfuzz.distance import Levenshtein

    pairs = zip(trainer.val_texts, trainer.read_texts, strict=True)
    return "".join(DIGITS[min(35, Levenshtein.distance(*pair))] for pair in pairs)


class WeightAverage:
    """Means of the weights and norm statistics after each batch, by epoch."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network
        self._sum: dict[str, Tensor] = {}
        self._n = 0
        self._epochs: list[dict[str, Tensor]] = []

    def add(self) -> None:
        """Add the present weights to the mean of the epoch."""
        state = self._network.state_dict()
        for name, value in state.items():
            if not value.is_floating_point():
                continue
            if self._n:
                self._sum[name] += value
            else:
                self._sum[name] = value.clone()
        self._n += 1

    def end_epoch(self) -> tuple[int, ...]:
        """End an epoch, and return the numbers of epochs over which to average."""
        self._epochs = [*self._epochs, {k: v / self._n for k, v in self._sum.items()}][
            -AVERAGED[-1] :
        ]
        self._n = 0
        return AVERAGED

    @contextmanager
    def in_place(self, n_epochs: int) -> Iterator[None]:
        """Put the mean over the last epochs in place of the weights."""
        before = {name: value.clone() for name, value in self._network.state_dict().items()}
        epochs = self._epochs[-n_epochs:]
        mean = {name: sum(epoch[name] for epoch in epochs) / len(epochs) for name in epochs[0]}
        self._network.load_state_dict({**before, **mean})
        try:
            yield
        finally:
            self._network.load_state_dict(before)


def append(output: Path, rows: list[tuple]) -> None:
    """Add the rows of a configuration as one gzip member, so that a table is never cut in half."""
    is_new = not output.exists()
    output.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(output, "at", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(COLUMNS)
        writer.writerows(rows)


if __name__ == "__main__":
    typer.run(main)
