"""``ocrsearch inspect``: the layers of a model, as a table and as a drawing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import OUTPUT_PANEL, Json, ModelFile, output_file
from ocrsearch.cli.output import echo, print_json, show_table

if TYPE_CHECKING:
    from ocrsearch.deploy.bundle import Bundle
    from ocrsearch.models.layers import Layer

DEFAULT_ASPECT = 4


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
    from ocrsearch.config import FRAME_STRIDE
    from ocrsearch.data.images import scaled_width
    from ocrsearch.deploy.bundle import load_bundle
    from ocrsearch.models.layers import count_multiply_adds, count_parameters, list_layers

    bundle = load_bundle(model)
    height = bundle.config.images.height
    width = DEFAULT_ASPECT * height if width is None else width
    scaled = scaled_width(height, width, bundle.config.images)
    layers = list_layers(bundle.config, len(bundle.charset), scaled, length)
    n_parameters = count_parameters(layers)
    content = {
        "model": str(model),
        "architecture": bundle.config.model.architecture,
        "n_networks": len(bundle.members),
        "n_symbols": len(bundle.charset),
        "height": height,
        "width": width,
        "scaled_width": scaled,
        "frames": scaled // FRAME_STRIDE,
        "length": length,
        "n_parameters": n_parameters,
        "n_parameters_in_all": sum(
            count_parameters(list_layers(m.config, len(bundle.charset), scaled, length))
            for m in bundle.members
        ),
        "n_parameters_training_only": sum(layer.n_parameters for layer in layers) - n_parameters,
        "size_mb": n_parameters * 4 / 1e6,
        "file_mb": model.stat().st_size / 1e6,
        "multiply_adds": count_multiply_adds(layers),
    }
    if svg is not None:
        _draw(layers, content, svg)
    if as_json:
        config = bundle.config.model_dump(mode="json")
        print_json({**content, "layers": [asdict(layer) for layer in layers], "config": config})
    else:
        _print(bundle, layers, content)
        if svg is not None:
            echo(f"drawing written to {svg}")


def _print(bundle: Bundle, layers: list[Layer], content: dict[str, Any]) -> None:
    from ocrsearch.results.drawing import format_shape

    rows: list[tuple[str, ...] | None] = []
    for layer in layers:
        if not layer.training_only:
            figures = f"{layer.n_parameters:,}", _millions(layer.n_multiply_adds)
            rows.append((_short(layer), layer.kind, format_shape(layer.output), *figures))
    total = f"{content['n_parameters']:,}", _millions(content["multiply_adds"])
    rows += [None, ("recognition", f"{content['size_mb']:.2f} MB in float32", "", *total)]
    for layer in layers:
        if layer.training_only:
            shape = format_shape(layer.output)
            kind = f"{layer.kind}; training only"
            rows.append((_short(layer), kind, shape, f"{layer.n_parameters:,}", "-"))
    show_table(
        ("layer", "kind", "output", "weights", "multiply-adds"),
        rows,
        title=_title(content),
        optional=("kind", "output"),
    )
    echo(_picture(content))
    if bundle.others:
        echo(
            f"the first of {content['n_networks']} networks that read together, "
            f"{content['n_parameters_in_all']:,} weights"
        )
    echo(f"symbols: {' '.join(bundle.charset.symbols)}")


def _short(layer: Layer) -> str:
    return layer.name.removeprefix("encoder.")


def _draw(layers: list[Layer], content: dict[str, Any], path: Path) -> None:
    from ocrsearch.files import write_text_file
    from ocrsearch.results.drawing import draw_layers, format_shape

    subtitle = (
        f"{content['n_parameters']:,} weights ({content['size_mb']:.2f} MB), "
        f"{content['multiply_adds']:,} multiply-adds, {content['frames']} frames"
    )
    picture = format_shape((1, content["height"], content["scaled_width"]))
    title = _title({**content, "model": Path(content["model"]).name})
    drawing = draw_layers(layers, title, subtitle, picture)
    write_text_file(path, drawing)


def _millions(n: int) -> str:
    return f"{n / 1e6:.2f} M"


def _title(content: dict[str, Any]) -> str:
    return f"{content['model']}: {content['architecture']}, {content['n_symbols']} symbols"


def _picture(content: dict[str, Any]) -> str:
    scaled = content["scaled_width"]
    to = f", scaled to a width of {scaled}" if scaled != content["width"] else ""
    return (
        f"for a picture of {content['height']} x {content['width']} pixels{to}: "
        f"{content['frames']} frames; {content['length']} symbols read"
    )
