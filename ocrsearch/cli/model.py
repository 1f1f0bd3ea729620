"""``ocrsearch evaluate`` and ``ocrsearch inspect``: error rates and layers of a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypedDict

import typer

from ocrsearch.cli.acceptance import acceptance_content, describe_acceptance
from ocrsearch.cli.options import (
    DATA_PANEL,
    OUTPUT_PANEL,
    Data,
    Device,
    DeviceOption,
    Json,
    ModelFile,
    SplitName,
    output_file,
    takes_data_options,
    takes_decoding_options,
)
from ocrsearch.cli.output import echo, note, print_json, reading_bar, show_table
from ocrsearch.data import DataArguments
from ocrsearch.inference import DecodingArguments

if TYPE_CHECKING:
    from ocrsearch.data import BadSample, LabelledImages
    from ocrsearch.inference import Evaluation, Predictor
    from ocrsearch.models import Layer
    from ocrsearch.training import Model

RATES = {
    "cer": "character error rate",
    "wer": "word error rate",
    "ser": "sequence error rate",
    "exact": "exact match",
}

N_CONFUSIONS = 10
"""Number of the most frequent confusions to print."""

MAX_TERMINAL_SYMBOLS = 16
"""Maximum size of a confusion matrix that fits a terminal."""


EvaluatedSplit = Annotated[
    SplitName, typer.Option(help="Split to evaluate.", rich_help_panel=DATA_PANEL)
]
NumberOfErrors = Annotated[
    int,
    typer.Option(min=0, metavar="N", help="Show the N worst errors.", rich_help_panel=OUTPUT_PANEL),
]
MaxError = Annotated[
    float | None,
    typer.Option(
        metavar="RATE",
        min=0.0001,
        max=0.5,
        help="Find the confidence from which texts can be used unchecked, if at most this fraction "
        "of them may have an error, such as 0.01. Use it as --min-confidence of 'predict'. 'best' "
        "and 'train' store it in the model.",
        show_default=False,
        rich_help_panel=OUTPUT_PANEL,
    ),
]
PageOutput = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        callback=output_file(),
        help="Write an HTML page with figures, a confusion matrix and the worst errors.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


@takes_decoding_options
@takes_data_options
def evaluate(
    model: ModelFile,
    data: Data,
    split: EvaluatedSplit = SplitName.test,
    errors: NumberOfErrors = 0,
    max_error: MaxError = None,
    device: DeviceOption = Device.auto,
    page: PageOutput = None,
    as_json: Json = False,
    *,
    given: DataArguments,
    decoding: DecodingArguments,
) -> None:
    """Measure the error rates of a model on labelled images, with 95 % intervals.

    The data is split as in the search that found the model. Options given here take precedence.

    Examples:
      ocrsearch evaluate model.pt --data captcha:FOLDER
      ocrsearch evaluate model.pt --data labels.csv --split all --errors 20
      ocrsearch evaluate model.pt --data labels.csv --html evaluation.html
      ocrsearch evaluate model.pt --data labels.csv --split val --max-error 0.01
    """
    from ocrsearch.inference import DecodingOptions, load

    predictor = load(model, device.value, DecodingOptions(**decoding))
    labelled, bad, unknown, evaluation = measure(predictor, model, data, split, given)
    threshold = predictor.bundle.trust.threshold
    if page is not None:
        from ocrsearch.reports import Subject, evaluation_page, save_page

        decoder = predictor.decoder
        about_data = (model.name, data, split.value, str(decoder), len(bad), unknown)
        subject = Subject(*about_data, len(decoder.widths))
        save_page(evaluation_page(subject, predictor.bundle, labelled, evaluation), page)
    if as_json:
        about = {"split": split.value, "data": data, "n_bad": len(bad)}
        decoder_content = {"decoder": predictor.decoder.about}
        html = {"html": str(page) if page else None}
        unchecked = acceptance_content(evaluation, max_error, threshold)
        print_json({**about, **decoder_content, **_content(evaluation), **unchecked, **html})
        return
    n = evaluation.metrics.n
    title = f"{split.value}: {n} image{'s' * (n != 1)}, {predictor.decoder}"
    _print_errors(evaluation, title, len(bad), errors)
    for line in describe_acceptance(evaluation, max_error, threshold):
        echo(line)
    if page is not None:
        echo(f"page written to {page}")


class Measured(NamedTuple):
    """Error rates of a model on a split.

    Attributes:
        labelled: images and labels.
        bad: skipped samples.
        unknown: characters of the labels that the model does not know.
        evaluation: error rates.
    """

    labelled: LabelledImages
    bad: list[BadSample]
    unknown: list[str]
    evaluation: Evaluation


def measure(
    predictor: Predictor, model: Path, data: str, split: SplitName, given: DataArguments
) -> Measured:
    """Measure the error rates of a model, with bars for the progress.

    Args:
        predictor: the model.
        model: its file.
        data: specification of the data.
        split: split to read.
        given: options of data that take precedence over those of the model.
    """
    from ocrsearch.data import is_split, load_split
    from ocrsearch.training import evaluation_options, warn_of_seen

    name = split.value if is_split(split.value) else None
    options = evaluation_options(str(model), predictor.bundle.provenance, data, given)
    with reading_bar() as progress:
        labelled, bad = load_split(data, name, options, progress)
    if name == "val":
        warn_of_seen(str(model), predictor.bundle.provenance, data)
    unknown = predictor.bundle.charset.missing(labelled.texts)
    if unknown:
        note(f"warning: the model does not know {' '.join(unknown)}; these count as errors")
    with reading_bar("recognising") as progress:
        evaluation = predictor.evaluate(labelled, progress)
    return Measured(labelled, bad, unknown, evaluation)


def _content(evaluation: Evaluation) -> dict[str, object]:
    """Return an evaluation for JSON."""
    content: dict[str, object] = {"n": evaluation.metrics.n}
    for name in RATES:
        low, high = evaluation.intervals[name]
        content[name] = getattr(evaluation.metrics, name)
        content[f"{name}_low"], content[f"{name}_high"] = low, high
    content["confusions"] = [asdict(confusion) for confusion in evaluation.confusions]
    if matrix := evaluation.matrix:
        counts = matrix.counts.tolist()
        content["confusion_matrix"] = {"symbols": matrix.symbols, "counts": counts}
        content["classification_report"] = matrix.report_values
    return content


def _print_errors(evaluation: Evaluation, title: str, n_bad: int, n_errors: int) -> None:
    """Print the error rates, the confusions and the worst errors."""
    rows = []
    for name, meaning in RATES.items():
        low, high = evaluation.intervals[name]
        value = getattr(evaluation.metrics, name)
        rows.append((meaning, f"{value:.4f}", f"{low:.4f} to {high:.4f}"))
    show_table(("rate", "value", "95 % interval"), rows, title=title)
    if n_bad:
        echo(f"{n_bad} unusable sample{'s' * (n_bad != 1)} skipped")
    matrix = evaluation.matrix
    if matrix and len(matrix.symbols) <= MAX_TERMINAL_SYMBOLS:
        counts = [
            (symbol, *(n or "" for n in row))
            for symbol, row in zip(matrix.symbols, matrix.counts.tolist(), strict=True)
        ]
        show_table(("label", *matrix.symbols), counts, title="columns: read as")
    elif evaluation.confusions:
        confusions = [
            (*(repr(text) if text else "nothing" for text in (c.expected, c.read)), c.n)
            for c in evaluation.confusions[:N_CONFUSIONS]
        ]
        show_table(("label", "read as", "times"), confusions)
    if matrix:
        echo(matrix.report)
    for i in evaluation.worst()[:n_errors]:
        prediction = evaluation.predictions[i]
        echo(
            f"{evaluation.names[i]}: {evaluation.references[i]!r} read as {prediction.text!r} "
            f"(confidence {prediction.confidence:.2f})"
        )


DEFAULT_ASPECT = 4
"""Width of an image, relative to its height, if no width is given."""


class _Figures(TypedDict):
    """Figures of a model for one image, as printed in JSON."""

    model: str
    architecture: str
    n_networks: int
    n_symbols: int
    height: int
    width: int
    scaled_width: int
    frames: int
    length: int
    n_parameters: int
    n_parameters_in_all: int
    n_parameters_training_only: int
    size_mb: float
    file_mb: float
    multiply_adds: int


def inspect(
    model: ModelFile,
    width: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100_000,
            help="Width in pixels of an image with the height of the model's input. Default: four "
            "times the height.",
        ),
    ] = None,
    length: Annotated[
        int, typer.Option(min=0, max=10_000, help="Number of characters in the image.")
    ] = 10,
    svg: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            callback=output_file(),
            help="Draw the layers to this SVG file.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the layers of a model with shapes, weights and multiply-adds for one image.

    Examples:
      ocrsearch inspect model.pt
      ocrsearch inspect model.pt --width 400 --svg model.svg
    """
    from ocrsearch.inference import load_model

    bundle = load_model(model)
    layers, content = _layers(bundle, model, width, length)
    if svg is not None:
        _draw(layers, content, svg)
    if as_json:
        config = bundle.config.model_dump(mode="json")
        print_json({**content, "layers": [asdict(layer) for layer in layers], "config": config})
    else:
        _print_layers(bundle, layers, content)
        if svg is not None:
            echo(f"drawing written to {svg}")


def _layers(
    bundle: Model, model: Path, width: int | None, length: int
) -> tuple[list[Layer], _Figures]:
    """Return the layers of a model, and its figures for one image."""
    from ocrsearch.core import FRAME_STRIDE
    from ocrsearch.data.images import scaled_width
    from ocrsearch.models import count_multiply_adds, count_parameters, list_layers

    height, n_symbols = bundle.config.images.height, len(bundle.charset)
    width = DEFAULT_ASPECT * height if width is None else width
    scaled = scaled_width(height, width, bundle.config.images)
    layers = list_layers(bundle.config, n_symbols, scaled, length)
    n_parameters = count_parameters(layers)
    return layers, {
        "model": str(model),
        "architecture": bundle.config.model.architecture,
        "n_networks": len(bundle.members),
        "n_symbols": n_symbols,
        "height": height,
        "width": width,
        "scaled_width": scaled,
        "frames": scaled // FRAME_STRIDE,
        "length": length,
        "n_parameters": n_parameters,
        "n_parameters_in_all": sum(
            count_parameters(list_layers(m.config, n_symbols, scaled, length))
            for m in bundle.members
        ),
        "n_parameters_training_only": sum(layer.n_parameters for layer in layers) - n_parameters,
        "size_mb": n_parameters * 4 / 1e6,
        "file_mb": model.stat().st_size / 1e6,
        "multiply_adds": count_multiply_adds(layers),
    }


def _draw(layers: list[Layer], content: _Figures, path: Path) -> None:
    """Draw the layers to an SVG file."""
    from ocrsearch.core import write_text_file
    from ocrsearch.reports import draw_layers, format_shape

    subtitle = (
        f"{content['n_parameters']:,} weights ({content['size_mb']:.2f} MB), "
        f"{content['multiply_adds']:,} multiply-adds, {content['frames']} frames"
    )
    image = format_shape((1, content["height"], content["scaled_width"]))
    name = Path(content["model"]).name
    title = f"{name}: {content['architecture']}, {content['n_symbols']} characters"
    write_text_file(path, draw_layers(layers, title, subtitle, image))


def _print_layers(bundle: Model, layers: list[Layer], content: _Figures) -> None:
    from ocrsearch.reports import format_shape

    used: list[tuple[str, ...]] = []
    training_only: list[tuple[str, ...]] = []
    for layer in layers:
        name, shape = layer.name.removeprefix("encoder."), format_shape(layer.output)
        weights = f"{layer.n_parameters:,}"
        if layer.training_only:
            training_only.append((name, f"{layer.kind}; training only", shape, weights, "-"))
        else:
            used.append((name, layer.kind, shape, weights, f"{layer.n_multiply_adds / 1e6:.2f} M"))
    total = f"{content['n_parameters']:,}", f"{content['multiply_adds'] / 1e6:.2f} M"
    recognition = ("recognition", f"{content['size_mb']:.2f} MB in float32", "", *total)
    show_table(
        ("layer", "kind", "output", "weights", "multiply-adds"),
        [*used, None, recognition, *training_only],
        title=f"{content['model']}: {content['architecture']}, {content['n_symbols']} characters",
        optional=("kind", "output"),
    )
    scaled = content["scaled_width"]
    to = f", scaled to a width of {scaled}" if scaled != content["width"] else ""
    echo(
        f"for an image of {content['height']} x {content['width']} pixels{to}: "
        f"{content['frames']} frames; {content['length']} characters read"
    )
    if len(bundle.members) > 1:
        echo(
            f"the first of {content['n_networks']} networks in an ensemble, "
            f"{content['n_parameters_in_all']:,} weights"
        )
    echo(f"characters: {' '.join(bundle.charset.symbols)}")
