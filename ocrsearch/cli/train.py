"""``ocrsearch train`` and ``ocrsearch language-model``: training without a search."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import (
    OUTPUT_PANEL,
    Data,
    Device,
    DeviceOption,
    Json,
    OptionalData,
    SetValues,
    output_file,
    takes_data_options,
    takes_training_data_options,
)
from ocrsearch.cli.output import echo, print_json
from ocrsearch.core import OptionError
from ocrsearch.data import DataArguments

if TYPE_CHECKING:
    from ocrsearch.data import DataOptions
    from ocrsearch.inference import Bundle
    from ocrsearch.models.decoding import NgramCounts
    from ocrsearch.workflows import FusionWeights, LearntModel, TrainResult


LanguageModelOutput = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        callback=output_file(),
        help="Write the language model to this file, such as lm.npz.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Corpora = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Text file with one text per line. May be repeated."),
]
TunedModel = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=(
            "Split the data as for this model, and tune the decoding weights on the "
            "validation split."
        ),
    ),
]
Order = Annotated[
    int, typer.Option(min=1, max=8, help="Number of characters in the longest n-gram.")
]


@takes_data_options
def language_model(
    export: LanguageModelOutput,
    data: OptionalData = None,
    corpus: Corpora = None,
    model: TunedModel = None,
    order: Order = 6,
    as_json: Json = False,
    *,
    given: DataArguments,
) -> None:
    """Learn a language model for --beam from training labels and from texts.

    The data is split as in a search with the same options, or in the search that found --model.
    Labels of the validation split are not used. Keep their texts out of --corpus as well.

    Examples:
      ocrsearch language-model --data labels.csv --export lm.npz
      ocrsearch language-model --corpus texts.txt --export lm.npz
      ocrsearch language-model --model model.pt --data labels.csv --export lm.npz
    """
    from ocrsearch.data import DataOptions, given_options
    from ocrsearch.models.decoding import save_ngrams
    from ocrsearch.training import evaluation_options, warn_of_seen
    from ocrsearch.workflows import learn_language_model

    bundle = None if model is None else _load(model, data)
    if bundle is None or data is None:
        options = DataOptions(**given_options(given))
    else:
        options = evaluation_options(str(model), bundle.provenance, data, given)
        warn_of_seen(str(model), bundle.provenance, data)
    learnt = learn_language_model(data, corpus or [], order, options)
    ngrams, chosen = learnt.ngrams, None
    if bundle is not None and data is not None:
        chosen = _choose(bundle, ngrams, data, options)
        ngrams = replace(ngrams, lm_weight=chosen.lm_weight, length_bonus=chosen.length_bonus)
    save_ngrams(ngrams, export)
    if as_json:
        about = {"data": data, "corpora": corpus or [], "order": order}
        print_json({**about, **_learnt_content(learnt, chosen), "export": str(export)})
        return
    _print(learnt, chosen)
    echo(f"language model written to {export}")


def _learnt_content(learnt: LearntModel, chosen: FusionWeights | None) -> dict[str, object]:
    ngrams = learnt.ngrams
    return {
        "n_texts": ngrams.n_texts,
        "n_left_out": learnt.n_left_out,
        "n_symbols": len(ngrams.charset),
        "n_contexts": len(ngrams.backoff),
        "perplexity": learnt.perplexity,
        "n_val": learnt.n_val,
        "n_val_left_out": learnt.n_val_left_out,
        "chosen": asdict(chosen) if chosen else None,
    }


def _load(model: Path, data: str | None) -> Bundle:
    from ocrsearch.inference import load_bundle

    bundle = load_bundle(model)
    if data is None:
        raise OptionError("--model: needs --data SPEC to choose the weights on its images")
    if bundle.config.model.reads_one:
        raise OptionError(
            f"--model {model}: a classifier reads a single character and cannot use a language "
            "model; choose another model"
        )
    return bundle


def _choose(bundle: Bundle, ngrams: NgramCounts, data: str, options: DataOptions) -> FusionWeights:
    from ocrsearch.cli.output import reading_bar
    from ocrsearch.data import load_split
    from ocrsearch.workflows import choose_weights

    with reading_bar() as progress:
        validation, _ = load_split(data, "val", options, progress)
    with reading_bar("choosing weights") as progress:
        return choose_weights(bundle, ngrams, validation, progress)


def _print(learnt: LearntModel, chosen: FusionWeights | None) -> None:
    ngrams = learnt.ngrams
    echo(f"{ngrams.n_texts} texts, {len(ngrams.charset)} characters, order {ngrams.order}")
    if learnt.n_left_out:
        echo(f"skipped because of unknown characters: {learnt.n_left_out} texts")
    if learnt.perplexity is not None:
        echo(f"perplexity {learnt.perplexity:.2f} on {learnt.n_val} validation labels")
    if learnt.n_val_left_out:
        echo(f"skipped because of unknown characters: {learnt.n_val_left_out} validation labels")
    if chosen is not None:
        bonus = "" if chosen.length_bonus is None else f", length bonus {chosen.length_bonus:g}"
        echo(
            f"weight {chosen.lm_weight:g}{bonus}: CER {chosen.cer:.4f} on {chosen.n} validation "
            f"images, greedy {chosen.greedy_cer:.4f}"
        )
        if chosen.cer > chosen.greedy_cer:
            echo("The language model raises the error rate. Decode without it.")


ConfigFile = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help="Configuration: a YAML or JSON file in the shape of a space, with one value for "
        "each key; or a model file.",
    ),
]
ModelOutput = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        callback=output_file(),
        help="Write the model to this file.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
InitialModel = Annotated[
    Path | None,
    typer.Option(
        metavar="MODEL",
        help="Initialise the weights from this model where shapes match; 'latin' comes with "
        "the program.",
    ),
]
NumberOfEpochs = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=10_000,
        help="Number of epochs. Default: the number in the configuration.",
    ),
]
Seed = Annotated[int, typer.Option(help="Random seed for the initial weights and the data order.")]
TensorBoardFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Write TensorBoard logs to this folder.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


@takes_training_data_options
def train(
    config: ConfigFile,
    data: Data,
    export: ModelOutput,
    init: InitialModel = None,
    epochs: NumberOfEpochs = None,
    values: SetValues = None,
    seed: Seed = 0,
    tensorboard: TensorBoardFolder = None,
    device: DeviceOption = Device.auto,
    as_json: Json = False,
    *,
    given: DataArguments,
) -> None:
    """Train a single configuration. The same command resumes the training.

    If the model of --init or --config was trained on the same data, its split is used.
    Options given here take precedence. Training uses one thread, like each worker of
    'ocrsearch run'. Set OMP_NUM_THREADS to use more threads for a large network.

    Examples:
      ocrsearch train --config config.yaml --data labels.csv --export model.pt
      ocrsearch train --config old.pt --init old.pt --data new.csv --export new.pt
      ocrsearch train --config c.yaml --data digits --epochs 5 --export m.pt
    """
    from ocrsearch.cli.train_display import train_display
    from ocrsearch.spaces import with_values
    from ocrsearch.workflows import TrainOptions, load_config, train, training_folder

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
    saved = "1 epoch is saved" if n_done == 1 else f"{n_done} epochs are saved"
    return f"interrupted: {saved} in {folder}; rerun the same command to resume"


def _content(result: TrainResult, export: Path) -> dict[str, object]:
    provenance = result.bundle.provenance
    return {
        "ending": "finished",
        "export": str(export),
        **result.bundle.metrics,
        "n_bad": result.n_bad,
        "init": provenance.init,
        "transfer": provenance.transfer,
    }


def _summary(result: TrainResult, export: Path) -> str:
    metrics = result.bundle.metrics
    size_mb = export.stat().st_size / 1e6
    return (
        f"best epoch {metrics['best_epoch']} of {metrics['n_epochs']}: validation CER "
        f"{metrics['cer']:.4f}, exact match {metrics['exact']:.3f}\n"
        f"model written to {export} ({size_mb:.1f} MB)"
    )
