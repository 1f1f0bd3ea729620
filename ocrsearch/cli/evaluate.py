"""``ocrsearch evaluate``: error rates of a model on labelled pictures."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
from ocrsearch.cli.output import echo, note, print_json, show_table
from ocrsearch.cli.progress import reading_bar

if TYPE_CHECKING:
    from ocrsearch.deploy.predictor import Evaluation

RATES = {
    "cer": "character error rate",
    "wer": "word error rate",
    "ser": "sequence error rate",
    "exact": "exact match",
}


N_CONFUSIONS = 10
"""The most frequent, on a terminal."""

MAX_MATRIX_SYMBOLS = 16
"""A larger matrix does not fit a terminal."""


@takes_decoding_options
@takes_data_options
def evaluate(
    model: ModelFile,
    data: Data,
    split: Annotated[
        SplitName, typer.Option(help="Split to evaluate.", rich_help_panel=DATA_PANEL)
    ] = SplitName.test,
    errors: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="Show the N worst errors.", rich_help_panel=OUTPUT_PANEL
        ),
    ] = 0,
    device: DeviceOption = Device.auto,
    page: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            callback=output_file(),
            help="Write an HTML page with figures, a confusion matrix and the worst errors.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    as_json: Json = False,
    *,
    given: dict[str, Any],
    decoding: dict[str, Any],
) -> None:
    """Measure the error rates of a model on labelled images, with 95 % intervals.

    The data is split as in the search that found the model. Options given here come first.

    Examples:
      ocrsearch evaluate model.pt --data captcha:FOLDER
      ocrsearch evaluate model.pt --data labels.csv --split all --errors 20
      ocrsearch evaluate model.pt --data labels.csv --html report.html
    """
    from ocrsearch.data.dataset import load_split
    from ocrsearch.data.samples import is_split
    from ocrsearch.deploy.decoding import DecodingOptions
    from ocrsearch.deploy.predictor import load
    from ocrsearch.training.inherited import evaluation_options, warn_of_seen

    predictor = load(model, device.value, DecodingOptions(**decoding))
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
    if page is not None:
        from ocrsearch.deploy.evaluation_page import Subject, evaluation_page
        from ocrsearch.results.page import save_page

        decoder = predictor.decoder
        about_data = (model.name, data, split.value, str(decoder), len(bad), unknown)
        subject = Subject(*about_data, len(decoder.widths))
        save_page(evaluation_page(subject, predictor.bundle, labelled, evaluation), page)
    if as_json:
        about = {"split": split.value, "data": data, "n_bad": len(bad)}
        print_json(
            {
                **about,
                "decoder": predictor.decoder.about,
                **_content(evaluation),
                "html": str(page) if page else None,
            }
        )
    else:
        title = f"{split.value}: {evaluation.metrics.n} pictures, {predictor.decoder}"
        _print(evaluation, title, len(bad), errors)
        if page is not None:
            echo(f"page written to {page}")


def _content(evaluation: Evaluation) -> dict[str, Any]:
    content: dict[str, Any] = {"n": evaluation.metrics.n}
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


def _print(evaluation: Evaluation, title: str, n_bad: int, n_errors: int) -> None:
    rows = []
    for name, meaning in RATES.items():
        low, high = evaluation.intervals[name]
        value = getattr(evaluation.metrics, name)
        rows.append((meaning, f"{value:.4f}", f"{low:.4f} to {high:.4f}"))
    show_table(("rate", "value", "95 % interval"), rows, title=title)
    if n_bad:
        echo(f"{n_bad} samples could not be used and were left out")
    _print_confusions(evaluation)
    for i in evaluation.worst()[:n_errors]:
        prediction = evaluation.predictions[i]
        echo(
            f"{evaluation.names[i]}: {evaluation.references[i]!r} read as {prediction.text!r} "
            f"(confidence {prediction.confidence:.2f})"
        )


def _print_confusions(evaluation: Evaluation) -> None:
    matrix = evaluation.matrix
    if matrix and len(matrix.symbols) <= MAX_MATRIX_SYMBOLS:
        counts = [
            (symbol, *(n or "" for n in row))
            for symbol, row in zip(matrix.symbols, matrix.counts.tolist(), strict=True)
        ]
        show_table(("label", *matrix.symbols), counts, title="columns: read as")
    elif evaluation.confusions:
        most = evaluation.confusions[:N_CONFUSIONS]
        rows = [
            (
                repr(c.expected) if c.expected else "nothing",
                repr(c.read) if c.read else "nothing",
                c.n,
            )
            for c in most
        ]
        show_table(("label", "read as", "times"), rows)
    if matrix:
        echo(matrix.report)
