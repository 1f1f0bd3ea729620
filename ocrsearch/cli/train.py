"""``ocrsearch train``: train one configuration and write its model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import (
    Data,
    Device,
    DeviceOption,
    Json,
    SetValues,
    takes_training_data_options,
)
from ocrsearch.cli.output import echo, print_json

if TYPE_CHECKING:
    from ocrsearch.deploy.single_training import TrainResult


@takes_training_data_options
def train(
    config: Annotated[
        Path,
        typer.Option(help="YAML or JSON in the shape of a space, a value for each key; or a .pt."),
    ],
    data: Data,
    export: Annotated[Path, typer.Option(help="Write the model to this file.")],
    init: Annotated[
        Path | None, typer.Option(help="Model whose weights are kept, as far as they fit.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="In place of the configuration's.")] = None,
    values: SetValues = None,
    seed: Annotated[int, typer.Option(help="Of weights and data order.")] = 0,
    tensorboard: Annotated[
        Path | None, typer.Option(help="Write logs for TensorBoard to this folder.")
    ] = None,
    device: DeviceOption = Device.auto,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Train one configuration; the same command again goes on where it was.

    Data that the model of --init or --config was trained on is read and split as it was then,
    but for options given here. Training uses one thread, as each worker of 'ocrsearch run' does;
    set OMP_NUM_THREADS for more, for a large network on an idle machine.
    """
    from ocrsearch.cli.train_display import train_display
    from ocrsearch.deploy.single_training import (
        TrainOptions,
        inherited_options,
        load_config,
        train,
        training_folder,
    )
    from ocrsearch.search.configuration import with_values

    settings, init_of_file = load_config(config)
    init = init or init_of_file
    own = [] if epochs is None else [f"training.epochs={epochs}"]
    settings = with_values(settings, [*(values or []), *own])
    options = TrainOptions(
        init=init,
        seed=seed,
        device=device.value,
        tensorboard=tensorboard,
        data=replace(inherited_options(data, init, config), **given),
    )
    with train_display(quiet=as_json) as display:
        try:
            result = train(settings, data, export, options, display)
        except KeyboardInterrupt:
            if as_json:
                print_json({"ending": "interrupted", "n_epochs": display.n_done, "export": None})
            else:
                display.note(_interrupted(display.n_done, training_folder(export)))
            raise typer.Exit(130) from None
    if as_json:
        print_json(_content(result, export))
    else:
        echo(_summary(result, export))


def _interrupted(n_done: int, folder: Path) -> str:
    return (
        f"interrupted: {n_done} epochs are saved in {folder}; "
        "the same command again goes on from there"
    )


def _content(result: TrainResult, export: Path) -> dict[str, Any]:
    provenance = result.bundle.provenance
    return {
        "ending": "finished",
        "export": str(export),
        **result.bundle.metrics,
        "n_bad": result.n_bad,
        "init": provenance["init"],
        "transfer": provenance["transfer"],
    }


def _summary(result: TrainResult, export: Path) -> str:
    metrics = result.bundle.metrics
    size_mb = export.stat().st_size / 1e6
    return (
        f"best epoch {metrics['best_epoch']} of {metrics['n_epochs']}: validation CER "
        f"{metrics['cer']:.4f}, exact match {metrics['exact']:.3f}\n"
        f"model written to {export} ({size_mb:.1f} MB)"
    )
