"""``ocrsearch card``: the model card of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.model import EvaluatedSplit, measure
from ocrsearch.cli.options import (
    Device,
    DeviceOption,
    ModelFile,
    OptionalData,
    SplitName,
    output_option,
    takes_data_options,
    takes_decoding_options,
)
from ocrsearch.cli.output import echo
from ocrsearch.data import DataArguments
from ocrsearch.inference import DecodingArguments

if TYPE_CHECKING:
    from ocrsearch.deployment import CardTest
    from ocrsearch.inference import Predictor

CARD_PANEL = "Card"


@takes_decoding_options
@takes_data_options
def card(
    model: ModelFile,
    output: Annotated[
        Path | None, output_option("Markdown file to write. Default: standard output.", ".md")
    ] = None,
    name: Annotated[
        str,
        typer.Option(
            help="Name of the model.",
            show_default="name of the file",
            rich_help_panel=CARD_PANEL,
        ),
    ] = "",
    license_: Annotated[
        str,
        typer.Option(
            "--license",
            metavar="ID",
            help="Licence of the model, as the Hugging Face hub names it, such as apache-2.0.",
            rich_help_panel=CARD_PANEL,
        ),
    ] = "unknown",
    license_name: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Name of the licence, with --license other. Its text belongs in the file LICENSE.",
            show_default=False,
            rich_help_panel=CARD_PANEL,
        ),
    ] = "",
    data: OptionalData = None,
    split: EvaluatedSplit = SplitName.test,
    device: DeviceOption = Device.auto,
    *,
    given: DataArguments,
    decoding: DecodingArguments,
) -> None:
    """Describe a model in Markdown, with a header for the Hugging Face hub.

    The card says what the model file records. With --data it also has error rates on test images,
    with 95 % intervals.

    Examples:
      ocrsearch card model.pt -o README.md
      ocrsearch card model.pt --data captcha:FOLDER --license mit -o README.md
    """
    from ocrsearch.core import write_text_file
    from ocrsearch.deployment import CardOptions, model_card
    from ocrsearch.inference import DecodingOptions, load

    options = CardOptions(name, license_, license_name)
    predictor = load(model, device.value, DecodingOptions(**decoding))
    test = _test(predictor, model, data, split, given) if data else None
    text = model_card(model, predictor.bundle, options, test)
    if output is None:
        echo(text.rstrip("\n"))
        return
    write_text_file(output, text)
    echo(f"model card written to {output}")


def _test(
    predictor: Predictor, model: Path, data: str, split: SplitName, given: DataArguments
) -> CardTest:
    from ocrsearch.deployment import CardTest

    measured = measure(predictor, model, data, split, given)
    decoder = str(predictor.decoder)
    return CardTest(data, split.value, decoder, len(measured.bad), measured.evaluation)
