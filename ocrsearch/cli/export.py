"""``ocrsearch export``: a model file for recognition without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import (
    OUTPUT_PANEL,
    Json,
    OptionalData,
    output_folder,
    output_option,
    takes_data_options,
)
from ocrsearch.cli.output import echo, option_of, print_json, reading_bar
from ocrsearch.core import OptionError
from ocrsearch.data import DataArguments

if TYPE_CHECKING:
    from ocrsearch.deployment import OnnxExport
    from ocrsearch.workflows import PageExport

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
Web = Annotated[
    Path | None,
    typer.Option(
        "--web",
        metavar="FOLDER",
        callback=output_folder,
        help="Write a page into this folder. It reads images in the browser, without a network.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


@takes_data_options
def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="Model file .pt, from 'ocrsearch best'; for --web also .onnx."
        ),
    ],
    output: Annotated[Path | None, output_option("File to write.", ".onnx")] = None,
    web: Web = None,
    data: OptionalData = None,
    int8: Int8 = False,
    max_cer_increase: MaxCerIncrease = None,
    as_json: Json = False,
    *,
    given: DataArguments,
) -> None:
    """Convert a model to ONNX, for recognition without PyTorch, or to a page for the browser.

    PyTorch and ONNX Runtime read the validation images of the model's data, or of --data. If a text
    differs, no file is written. Without data, random images are compared.

    Examples:
      ocrsearch export model.pt -o model.onnx
      ocrsearch export model.pt -o small.onnx --int8 --data captcha:FOLDER
      ocrsearch export model.pt --web page
    """
    from ocrsearch.deployment import MAX_CER_INCREASE
    from ocrsearch.workflows import export_model, export_page

    if output is None and web is None:
        raise OptionError("nothing to write; give -o FILE.onnx or --web FOLDER")
    if web is not None and model.suffix.lower() == ".onnx":
        _refuse_conversion({"-o": output, "--data": data, "--int8": int8, **given})
    if max_cer_increase is not None and not int8:
        raise OptionError(f"--max-cer-increase {max_cer_increase:g}: needs --int8; add or remove")
    options: dict[str, Any] = {
        "data": data,
        "options": given,
        "int8": int8,
        "max_cer_increase": MAX_CER_INCREASE if max_cer_increase is None else max_cer_increase,
    }
    page = None
    with reading_bar("comparing") as progress:
        options["progress"] = progress
        if web is not None:
            page = export_page(model, web, output, **options)
        done = page.onnx if page else export_model(model, str(output), **options)
    if as_json:
        print_json(_plain(done, output, page))
        return
    if done is not None:
        print_comparison(done)
    if done is not None and output is not None:
        echo(f"model written to {done.path} ({done.precision}, {done.size_mb:.2f} MB)")
    if page is not None:
        echo(f"page written to {page.path} ({page.size_mb:.1f} MB); open it in a browser")


def _refuse_conversion(given: Mapping[str, Any]) -> None:
    """Refuse options of a conversion: a file of ONNX becomes part of a page as it is."""
    for option, value in given.items():
        if value:
            name = option if option.startswith("-") else option_of(option)
            raise OptionError(f"{name}: not for a file of ONNX, which is not converted; remove it")


def _plain(done: OnnxExport | None, output: Path | None, page: PageExport | None) -> dict[str, Any]:
    """Return an export as plain values; its path is None if no file of ONNX was kept."""
    from ocrsearch.deployment import plain_report

    content = plain_report(done) if done is not None else {}
    content["path"] = None if output is None else str(output)
    if page is not None:
        content["page"] = {"path": str(page.path), "size_mb": page.size_mb}
    return content


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
