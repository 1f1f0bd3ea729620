"""``ocrsearch export``: a model file for recognition without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.options import (
    Json,
    OptionalData,
    output_option,
    takes_data_options,
)
from ocrsearch.cli.output import echo, print_json, reading_bar
from ocrsearch.core import OptionError
from ocrsearch.data import DataArguments

if TYPE_CHECKING:
    from ocrsearch.deployment import OnnxExport

INT8_PANEL = "Weights of 8 bits"

Int8 = Annotated[
    bool,
    typer.Option(
        "--int8",
        help="Store the weights of matrices and LSTMs in 8 bits: about a quarter of the size. "
        "Needs labelled images.",
        rich_help_panel=INT8_PANEL,
    ),
]
MaxCerIncrease = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="X",
        help="Largest increase of the CER on the validation images by --int8, as a fraction. "
        "Above it no file is written. Default: 0.005.",
        rich_help_panel=INT8_PANEL,
    ),
]


@takes_data_options
def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Model file .pt, from 'ocrsearch best'.")
    ],
    output: Annotated[Path, output_option("File to write.", ".onnx")],
    data: OptionalData = None,
    int8: Int8 = False,
    max_cer_increase: MaxCerIncrease = None,
    as_json: Json = False,
    *,
    given: DataArguments,
) -> None:
    """Convert a model to ONNX, for recognition without PyTorch.

    PyTorch and ONNX Runtime read the validation images of the model's data, or of --data. If a text
    differs, no file is written. Without data, random images are compared.

    Examples:
      ocrsearch export model.pt -o model.onnx
      ocrsearch export model.pt -o small.onnx --int8 --data captcha:FOLDER
    """
    from ocrsearch.deployment import MAX_CER_INCREASE, plain_report
    from ocrsearch.workflows import export_model

    if max_cer_increase is not None and not int8:
        raise OptionError(f"--max-cer-increase {max_cer_increase:g}: needs --int8; add or remove")
    with reading_bar("comparing") as progress:
        done = export_model(
            model,
            output,
            data=data,
            options=given,
            int8=int8,
            max_cer_increase=MAX_CER_INCREASE if max_cer_increase is None else max_cer_increase,
            progress=progress,
        )
    if as_json:
        print_json(plain_report(done))
        return
    print_comparison(done)
    echo(f"model written to {done.path} ({done.precision}, {done.size_mb:.2f} MB)")


def print_comparison(done: OnnxExport) -> None:
    """Print the comparison of an exported file with PyTorch."""
    others = f" and {done.n_random} random images" if done.n_random < done.n_images else ""
    images = done.images + (others if done.n_random else "")
    agreed = (
        "all texts equal"
        if done.n_different == 0
        else f"{done.n_different} text{'s differ' if done.n_different > 1 else ' differs'}"
    )
    echo(
        f"PyTorch and ONNX Runtime on {done.n_images} images ({images}): {agreed}; largest "
        f"difference of log probabilities {done.max_log_prob_difference:.2g}"
    )
    if done.cer_before is not None and done.cer_after is not None:
        echo(f"CER {done.cer_before:.4f} with PyTorch, {done.cer_after:.4f} with ONNX Runtime")
    for note in done.notes:
        echo(note)
