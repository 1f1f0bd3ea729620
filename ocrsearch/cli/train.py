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
    MaxError,
    OptionalData,
    SetValues,
    output_option,
    takes_data_options,
    takes_training_data_options,
)
from ocrsearch.cli.output import echo, print_json, reading_bar
from ocrsearch.core import OptionError
from ocrsearch.data import DataArguments

if TYPE_CHECKING:
    from ocrsearch.training import Model
    from ocrsearch.workflows import FusionWeights, LearntModel

LanguageModelOutput = Annotated[
    Path, output_option("Write the language model to this file, such as lm.npz.")
]
Corpora = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="Text file with one text per line. May be repeated."),
]
TunedModel = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Split the data as for this model, and tune the decoding weights on the "
        "validation split.",
    ),
]
Order = Annotated[
    int, typer.Option(min=1, max=8, help="Number of characters in the longest n-gram.")
]


@takes_data_options
def language_model(
    output: LanguageModelOutput,
    data: OptionalData = None,
    corpus: Corpora = None,
    model: TunedModel = None,
    order: Order = 6,
    as_json: Json = False,
    *,
    given: DataArguments,
) -> None:
    """Learn a language model for --beam-size from training labels and from texts.

    The data is split as in a search with the same options, or in the search that found --model.
    Labels of the validation split are not used. Keep their texts out of --corpus as well.

    Examples:
      ocrsearch language-model --data labels.csv -o lm.npz
      ocrsearch language-model --corpus texts.txt -o lm.npz
      ocrsearch language-model --model model.pt --data labels.csv -o lm.npz
    """
    from ocrsearch.data import DataOptions, given_options, load_split
    from ocrsearch.models.decoding import save_ngrams
    from ocrsearch.training import evaluation_options, warn_of_seen
    from ocrsearch.workflows import choose_weights, learn_language_model

    bundle = None if model is None else _load(model, data)
    if bundle is None or data is None:
        options = DataOptions(**given_options(given))
    else:
        options = evaluation_options(str(model), bundle.provenance, data, given)
        warn_of_seen(str(model), bundle.provenance, data)
    learnt = learn_language_model(data, corpus or [], order, options)
    ngrams, chosen = learnt.ngrams, None
    if bundle is not None and data is not None:
        with reading_bar() as progress:
            validation, _ = load_split(data, "val", options, progress)
        with reading_bar("choosing weights") as progress:
            chosen = choose_weights(bundle, ngrams, validation, progress)
        ngrams = replace(ngrams, lm_weight=chosen.lm_weight, length_bonus=chosen.length_bonus)
    save_ngrams(ngrams, output)
    if as_json:
        content = {
            "data": data,
            "corpora": corpus or [],
            "order": order,
            "n_texts": ngrams.n_texts,
            "n_left_out": learnt.n_left_out,
            "n_symbols": len(ngrams.charset),
            "n_contexts": len(ngrams.backoff),
            "perplexity": learnt.perplexity,
            "n_val": learnt.n_val,
            "n_val_left_out": learnt.n_val_left_out,
            "chosen": asdict(chosen) if chosen else None,
            "export": output,
        }
        print_json(content)
        return
    _print(learnt, chosen)
    echo(f"language model written to {output}")


def _load(model: Path, data: str | None) -> Model:
    """Load the model whose decoding weights are tuned.

    Raises:
        OptionError: there is no data to tune them on, or the model cannot use a language model.
    """
    from ocrsearch.inference import load_model

    if data is None:
        raise OptionError(
            f"--model {model}: needs images to tune the decoding weights; add --data SPEC"
        )
    bundle = load_model(model)
    network = bundle.config.model
    if network.reads_one:
        raise OptionError(
            f"--model {model}: a {network.architecture} reads a single character and cannot use a "
            "language model; choose another model"
        )
    return bundle


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
ModelOutput = Annotated[Path, output_option("Write the model to this file.")]
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
    output: ModelOutput,
    init: InitialModel = None,
    epochs: NumberOfEpochs = None,
    values: SetValues = None,
    seed: Seed = 0,
    max_error: MaxError = None,
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
      ocrsearch train --config config.yaml --data labels.csv -o model.pt
      ocrsearch train --config old.pt --init old.pt --data new.csv -o new.pt
      ocrsearch train --config c.yaml --data digits --epochs 5 -o m.pt
    """
    from ocrsearch.cli.train_display import resumable, train_display
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
        max_error=max_error,
    )
    folder = training_folder(output)
    with train_display(quiet=as_json) as display, resumable(display, folder, as_json=as_json):
        result = train(settings, data, output, options, display)
    metrics, provenance = result.bundle.metrics, result.bundle.provenance
    if as_json:
        content = {"ending": "finished", "export": output, **metrics, "n_bad": result.n_bad}
        if max_error is not None:
            threshold = result.bundle.trust.threshold
            content["threshold"] = threshold.model_dump() if threshold else None
        print_json({**content, "init": provenance.init, "transfer": provenance.transfer})
        return
    size_mb = output.stat().st_size / 1e6
    echo(
        f"best epoch {metrics['best_epoch']} of {metrics['n_epochs']}: validation CER "
        f"{metrics['cer']:.4f}, exact match {metrics['exact']:.3f}\n"
        f"model written to {output} ({size_mb:.1f} MB)"
    )
