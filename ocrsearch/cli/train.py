"""``ocrsearch train``: train one configuration and write its model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import (
    OUTPUT_PANEL,
    Data,
    Device,
    DeviceOption,
    Json,
    SetValues,
    output_file,
    takes_training_data_options,
)
from ocrsearch.cli.output import echo, print_json

if TYPE_CHECKING:
    from ocrsearch.deploy.single_training import TrainResult


@takes_training_data_options
def train(
    config: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Configuration: a YAML or JSON file in the shape of a space, with one value for "
            "each key; or a model file.",
        ),
    ],
    data: Data,
    export: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            callback=output_file(),
            help="Write the model to this file.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ],
    init: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL",
            help="Initialise the weights from this model where shapes match; 'latin' comes with "
            "the program.",
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="Number of epochs. Default: the number in the configuration.",
        ),
    ] = None,
    values: SetValues = None,
    seed: Annotated[
        int, typer.Option(help="Random seed for the initial weights and the data order.")
    ] = 0,
    tensorboard: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Write TensorBoard logs to this folder.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    device: DeviceOption = Device.auto,
    as_json: Json = False,
    *,
    given: dict[str, Any],
) -> None:
    """Train one configuration. The same command resumes the training.

    Data that the model of --init or --config was trained on is split as before.
    Options given here come first. Training uses one thread, as each worker of
    'ocrsearch run' does. Set OMP_NUM_THREADS to use more for a large network.

    Examples:
      ocrsearch train --config config.yaml --data labels.csv --export model.pt
      ocrsearch train --config old.pt --init old.pt --data new.csv --export new.pt
      ocrsearch train --config c.yaml --data digits --epochs 5 --export m.pt
    """
    from ocrsearch.cli.train_display import train_display
    from ocrsearch.deploy.single_training import (
        TrainOptions,
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
        data=given,
        split_as=config if config.suffix == ".pt" else None,
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
