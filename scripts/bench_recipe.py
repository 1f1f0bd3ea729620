"""Measure how much each part of the training recipe helps, by training with and without it.

All variants are trained with the same seeds, with one thread per process. The table shows the exact
match or the CER on the validation split after a quarter, half, three quarters and all of the
epochs: the mean over the seeds, the lowest and highest value, and the number of trainings that read
by then. The base is the first configuration that a space tries, or a random configuration for each
seed (``--random``). With ``--derived`` the space is derived from the dataset, and trainings start
from the pretrained weights that it names.
"""

import itertools
import math
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Annotated

import cv2
import torch
import typer
from optuna.trial import FixedTrial
from torch import Tensor, nn

from ocrsearch.core import DEFAULT_RECIPE, Config, OcrSearchError, RecipeConfig, flatten
from ocrsearch.data import DataOptions, Dataset, load_dataset
from ocrsearch.spaces import Space, derive_space, load_space, random_config, with_values
from ocrsearch.training import (
    StartWeights,
    Trainer,
    TrainerOptions,
    build_optimizer,
    faster_precision,
    read_start_weights,
)

Curve = list[tuple[float, float, float]]
"""Exact match, CER and seconds of each epoch."""


class _NoNorm(nn.Module):
    """Identity that replaces the batch norm of the feature columns."""

    def forward(self, frames: Tensor, frame_lengths: Tensor) -> Tensor:  # noqa: ARG002
        """Return the frames unchanged."""
        return frames


def without_column_norm(trainer: Trainer) -> None:
    """Remove the batch norm between the linear layer and the RNN."""
    trainer.network.encoder.norm = _NoNorm()


class _ColumnMax(nn.Module):
    """Linear layer on the largest row of each channel, instead of all rows."""

    def __init__(self, rows: int, channels: int, width: int) -> None:
        super().__init__()
        self.rows = rows
        self.linear = nn.Linear(channels, width, bias=False)

    def forward(self, columns: Tensor) -> Tensor:
        """Map columns (B, T, channels * rows) to (B, T, width)."""
        return self.linear(columns.unflatten(2, (-1, self.rows)).amax(3))


def with_column_max(trainer: Trainer) -> None:
    """Reduce the height by the maximum before the linear layer."""
    encoder = trainer.network.encoder
    channels = encoder.tower.convs[-1].out_channels
    rows = encoder.tower.column_size // channels
    encoder.linear = _ColumnMax(rows, channels, encoder.linear.out_features)
    trainer.optimizer = build_optimizer(trainer.config.training, trainer.network)


def with_norm_before_pooling(trainer: Trainer) -> None:
    """Normalise the output of each convolution before its pooling."""
    tower = trainer.network.encoder.tower
    for i, (conv, norm) in enumerate(zip(tower.convs, tower.pooled_norms, strict=True)):
        tower.convs[i], tower.pooled_norms[i] = nn.Sequential(conv, norm), nn.Identity()


def with_orthogonal_rnn(trainer: Trainer) -> None:
    """Initialise recurrent weights orthogonally and forget gates of LSTMs as open."""
    for module in trainer.network.encoder.rnn.modules():
        if isinstance(module, nn.RNNBase):
            size = module.hidden_size
            with torch.no_grad():
                for gate in module.weight_hh_l0.split(size):
                    nn.init.orthogonal_(gate)
                if isinstance(module, nn.LSTM):
                    module.bias_ih_l0[size : 2 * size] = 1.0


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Attributes:
        recipe: constants of the recipe.
        change: change to the network or the trainer before training.
        values: values of the configuration, as PATH=VALUE.
    """

    recipe: RecipeConfig = DEFAULT_RECIPE
    change: Callable[[Trainer], None] | None = None
    values: tuple[str, ...] = ()


VARIANTS = {
    "as it is": Variant(),
    "no norm of the columns": Variant(change=without_column_norm),
    "no second head": Variant(RecipeConfig(column_head_weight=0.0)),
    "no flat start": Variant(RecipeConfig(flat_start=False)),
    "none of the three": Variant(
        RecipeConfig(flat_start=False, column_head_weight=0.0), without_column_norm
    ),
    "all augmentation at once": Variant(RecipeConfig(plateau_strength=1.0)),
    "conv dropout at once too": Variant(RecipeConfig(reads_below_cer=math.inf)),
    "largest row of each column": Variant(change=with_column_max),
    "norm before the pooling": Variant(change=with_norm_before_pooling),
    "orthogonal RNN": Variant(change=with_orthogonal_rnn),
    "latest weights": Variant(RecipeConfig(average_weights=False)),
    "constant rate to the end": Variant(values=("training.decay_fraction=0",)),
    "no augmentation": Variant(values=("training.augment.strength=0",)),
    "augmentation 1.0": Variant(values=("training.augment.strength=1",)),
    "batch of 32": Variant(values=("training.batch_size=32",)),
}


def main(
    data: Annotated[str, typer.Option(help="Dataset, as for 'ocrsearch run'.")] = "digits",
    space: Annotated[Path, typer.Option(help="Space; its first configuration is the base.")] = Path(
        "search_spaces/crnn.yaml"
    ),
    derived: Annotated[
        bool, typer.Option("--derived", help="Derive the space from the dataset instead.")
    ] = False,
    epochs: Annotated[int, typer.Option(min=1, help="Number of epochs per training.")] = 20,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds per variant.")] = 3,
    random: Annotated[bool, typer.Option("--random", help="Random base for each seed.")] = False,
    variants: Annotated[
        list[str] | None,
        typer.Option(
            "--variant",
            help="Variant to train, by name or as values such as "
            "'model.encoder.rnn_batch_norm=true training.batch_size=32'. May be repeated. "
            "Default: all.",
        ),
    ] = None,
    new_splits: Annotated[
        bool, typer.Option("--new-splits", help="Different splits for each seed.")
    ] = False,
    cer: Annotated[
        bool, typer.Option("--cer", help="Print the CER instead of the exact match.")
    ] = False,
    extra_train_data: Annotated[str, typer.Option(help="Additional training images.")] = "",
    processes: Annotated[
        int, typer.Option(min=0, help="Number of processes; 0 for all cores.")
    ] = 0,
) -> None:
    """Print a table of the variants."""
    n = processes or len(os.sched_getaffinity(0))
    names = variants or list(VARIANTS)
    if unknown := {name for name in names if name not in VARIANTS and "=" not in name}:
        typer.echo(
            f"bench_recipe: --variant: found {min(unknown)!r}, allowed: {', '.join(VARIANTS)}",
            err=True,
        )
        raise typer.Exit(2)
    try:
        options = DataOptions(extra_train_data=extra_train_data)
        dataset = load_dataset(data, options)
        checked = derive_space(dataset, max_invalid=0.05).space if derived else load_space(space)
        bases = [
            random_config(checked, seed) if random else first_configuration(checked)
            for seed in range(seeds)
        ]
        for name, base in itertools.product(names, bases):
            with_variant(base, name)  # an invalid variant ends the script before any training
        n_val = len(dataset.splits["val"])
    except OcrSearchError as error:
        typer.echo(f"bench_recipe: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    jobs = [
        (name, bases[seed], epochs, seed, seed if new_splits else 0)
        for name in names
        for seed in range(seeds)
    ]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        n,
        mp_context=spawn,
        initializer=_open,
        initargs=(data, extra_train_data, checked.init),
    ) as pool:
        curves = list(pool.map(_train, *zip(*jobs, strict=True)))
    shown = sorted({max(1, round(epochs * share)) for share in (0.25, 0.5, 0.75, 1.0)})
    measured = "CER" if cer else "exact match"
    typer.echo(f"{measured} on {n_val} validation images, {seeds} seeds: mean (lowest, highest)")
    typer.echo("and the number of trainings with a CER of at most 0.5 by then")
    typer.echo(f"\n| variant | {' | '.join(f'{e} epochs' for e in shown)} | s per epoch |")
    typer.echo(f"|{' --- |' * (len(shown) + 2)}")
    for i, name in enumerate(names):
        typer.echo(table_row(name, curves[i * seeds : (i + 1) * seeds], shown, column=int(cer)))


def with_variant(base: Config, name: str) -> Config:
    """Return the configuration of a variant, given by its name or by values."""
    assignments = VARIANTS[name].values if name in VARIANTS else name.split()
    return with_values(base, assignments, option="--variant")


def first_configuration(space: Space) -> Config:
    """Return the first configuration that a space tries, including its fixed values."""
    first = FixedTrial(flatten(space.settings.try_first[0]))
    return space.resolve(space.suggest(first))


def table_row(name: str, curves: list[Curve], shown: list[int], column: int) -> str:
    """Return a table row: statistics over the seeds for a column of the curves at some epochs."""
    cells = []
    for epoch in shown:
        found = [curve[epoch - 1][column] for curve in curves]
        reading = sum(min(cer for _, cer, _ in curve[:epoch]) <= 0.5 for curve in curves)
        cells.append(f"{mean(found):.3f} ({min(found):.3f}, {max(found):.3f}) {reading}")
    seconds = mean(s for curve in curves for *_, s in curve)
    return f"| {name} | {' | '.join(cells)} | {seconds:.1f} |"


_data: dict[int, Dataset] = {}
_specs: list[str] = []
_starts: list[StartWeights] = []


def _open(data: str, extra_train_data: str, init: Path | None) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    _specs.extend([data, extra_train_data])
    if init:
        _starts.append(read_start_weights(init))


def _train(name: str, base: Config, epochs: int, seed: int, split_seed: int) -> Curve:
    if split_seed not in _data:
        data, extra_train_data = _specs
        _data[split_seed] = load_dataset(
            data, DataOptions(split_seed=split_seed, extra_train_data=extra_train_data)
        )
    lengths = [f"training.epochs={epochs}", f"training.decay_patience={epochs}"]
    config = with_values(with_variant(base, name), lengths)
    device = torch.device("cpu")
    variant = VARIANTS.get(name, Variant())
    start = _starts[0] if _starts else None
    options = TrainerOptions(faster_precision(device), start, variant.recipe)
    trainer = Trainer(config, _data[split_seed], seed, device, options)
    if variant.change:
        variant.change(trainer)
    reports = [trainer.run_epoch() for _ in range(epochs)]
    return [(report.metrics.exact, report.metrics.cer, report.seconds) for report in reports]


if __name__ == "__main__":
    typer.run(main)
