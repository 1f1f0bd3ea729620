"""``ocrsearch evaluate``: error rates of a model on labelled pictures."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import Device, DeviceOption, Json, print_json

if TYPE_CHECKING:
    from ocrsearch.deploy.predictor import Evaluation

RATES = {
    "cer": "character error rate",
    "wer": "word error rate",
    "ser": "sequence error rate",
    "exact": "exact match",
}


class SplitName(StrEnum):
    """What part of the data to read."""

    train = "train"
    val = "val"
    test = "test"
    all = "all"


def evaluate(
    model: Annotated[Path, typer.Argument(help="Model file, from 'ocrsearch best --export'.")],
    data: Annotated[
        str, typer.Option(help="captcha:FOLDER, csv:FILE, labels:FILE, a path, or digits.")
    ],
    split: Annotated[SplitName, typer.Option(help="Part of the data.")] = SplitName.test,
    errors: Annotated[int, typer.Option(min=0, help="Show so many of what was read wrong.")] = 0,
    device: DeviceOption = Device.auto,
    max_bad: Annotated[
        float, typer.Option(help="Share of unusable samples that is left out silently.")
    ] = 0.01,
    as_json: Json = False,
) -> None:
    """Read labelled pictures with a model and count its errors, with 95 % intervals."""
    from ocrsearch.data.dataset import load_split
    from ocrsearch.data.samples import is_split
    from ocrsearch.deploy.predictor import load

    predictor = load(model, device.value)
    name = split.value if is_split(split.value) else None
    split_seed = predictor.bundle.provenance.get("split_seed", 0)
    labelled, bad = load_split(data, name, split_seed, max_bad)
    unknown = predictor.bundle.charset.missing(labelled.texts)
    if unknown:
        sys.stderr.write(
            f"warning: the model does not know {' '.join(unknown)}; these count as errors\n"
        )
    evaluation = predictor.evaluate(labelled)
    if as_json:
        print_json({"split": split.value, "data": data, "n_bad": len(bad), **_content(evaluation)})
    else:
        _print(evaluation, split.value, len(bad), errors)


def _content(evaluation: Evaluation) -> dict[str, Any]:
    content: dict[str, Any] = {"n": evaluation.metrics.n}
    for name in RATES:
        low, high = evaluation.intervals[name]
        content[name] = getattr(evaluation.metrics, name)
        content[f"{name}_low"], content[f"{name}_high"] = low, high
    return content


def _print(evaluation: Evaluation, split: str, n_bad: int, n_errors: int) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(
        box=box.SIMPLE_HEAD, title=f"{split}: {evaluation.metrics.n} pictures", title_justify="left"
    )
    for heading in ("", "", "95 % interval"):
        table.add_column(heading)
    for name, meaning in RATES.items():
        low, high = evaluation.intervals[name]
        table.add_row(
            meaning, f"{getattr(evaluation.metrics, name):.4f}", f"{low:.4f} to {high:.4f}"
        )
    Console().print(table)
    if n_bad:
        typer.echo(f"{n_bad} samples could not be used and were left out")
    wrong = [
        (prediction.confidence, name, reference, prediction.text)
        for name, reference, prediction in zip(
            evaluation.names, evaluation.references, evaluation.predictions, strict=True
        )
        if prediction.text != reference
    ]
    for confidence, name, reference, text in sorted(wrong, reverse=True)[:n_errors]:
        typer.echo(f"{name}: {reference!r} read as {text!r} (confidence {confidence:.2f})")
