"""``ocrsearch benchmark``: size, speed, memory and error rate of model files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ocrsearch.cli.model import EvaluatedSplit
from ocrsearch.cli.options import (
    OUTPUT_PANEL,
    Data,
    Json,
    SplitName,
    output_file,
    takes_data_options,
)
from ocrsearch.cli.output import echo, note, print_json, reading_bar, show_table
from ocrsearch.core import DataError, OcrSearchError, n_cores
from ocrsearch.data import DataArguments

if TYPE_CHECKING:
    from ocrsearch.data import LabelledImages
    from ocrsearch.deployment import Candidate, Measurement

EXPORT_PANEL = "Exports"

N_COMPARED = 100
"""Largest number of images on which an export is compared with its original."""


PlotOutput = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        callback=output_file(".html"),
        help="Write an HTML page: error rate against milliseconds, with the size as marker.",
        rich_help_panel=OUTPUT_PANEL,
    ),
]


@takes_data_options
def benchmark(
    models: Annotated[
        list[Path], typer.Argument(metavar="MODEL...", help="Model files, .pt or .onnx.")
    ],
    data: Data,
    split: EvaluatedSplit = SplitName.test,
    onnx: Annotated[
        bool,
        typer.Option(
            "--onnx",
            help="Export each .pt file to ONNX, and measure that too.",
            rich_help_panel=EXPORT_PANEL,
        ),
    ] = False,
    int8: Annotated[
        bool,
        typer.Option(
            "--int8",
            help="The same, with weights of 8 bits.",
            rich_help_panel=EXPORT_PANEL,
        ),
    ] = False,
    plot: PlotOutput = None,
    as_json: Json = False,
    *,
    given: DataArguments,
) -> None:
    """Compare size, speed, memory and error rate of model files on labelled images.

    Each model is measured on the CPU in a process of its own, with one thread and with all, on one
    image at a time and on eight. The data is split as for the first model.

    Examples:
      ocrsearch benchmark model.pt --data captcha:FOLDER --onnx --int8
      ocrsearch benchmark a.pt b.onnx --data labels.csv --plot benchmark.html
    """
    from ocrsearch.deployment import run_benchmark

    images = _images(models, data, split, given)
    with tempfile.TemporaryDirectory() as folder:
        candidates = _candidates(models, images, Path(folder), onnx=onnx, int8=int8)
        with reading_bar("measuring") as progress:
            measurements = run_benchmark(candidates, images, progress)
    about = f"{len(images)} images of the {split.value} split of {data}"
    if plot is not None:
        _write_page(measurements, about, plot)
    if as_json:
        content = {"data": data, "split": split.value, "n": len(images), "n_cores": n_cores()}
        rows = [m.to_plain() for m in measurements]
        print_json({**content, "measurements": rows, "plot": str(plot) if plot else None})
    else:
        _print(measurements, about)
        if plot is not None:
            echo(f"page written to {plot}")
    _note_missing(candidates)


def _images(
    models: Sequence[Path], data: str, split: SplitName, given: DataArguments
) -> LabelledImages:
    """Return the images to measure on, split as for the first model."""
    from ocrsearch.data import is_split, load_split
    from ocrsearch.inference import load_model
    from ocrsearch.training import evaluation_options

    loaded = [load_model(path) for path in models]  # a damaged file is found at once
    name = split.value if is_split(split.value) else None
    options = evaluation_options(str(models[0]), loaded[0].provenance, data, given)
    for path, model in zip(models[1:], loaded[1:], strict=True):
        if evaluation_options(str(path), model.provenance, data, given) != options:
            note(
                f"warning: {path} was trained on another split than {models[0]}: it may know some "
                "of the images"
            )
    with reading_bar() as progress:
        images, _ = load_split(data, name, options, progress)
    return images


def _candidates(
    models: Sequence[Path],
    images: LabelledImages,
    folder: Path,
    *,
    onnx: bool,
    int8: bool,
) -> list[Candidate]:
    """Return what to measure: the files given, and exports of them in a folder."""
    from ocrsearch.deployment import ComparisonImages, candidates_of, export_onnx
    from ocrsearch.training import load_bundle

    compared = ComparisonImages(images.first(N_COMPARED), "the measured images")
    found: list[Candidate] = []
    for number, path in enumerate(models):
        found += candidates_of(path.name, path)
        if path.suffix.lower() == ".onnx":
            continue
        bundle = load_bundle(path)
        for is_wanted, precision in ((onnx, "float32"), (int8, "int8")):
            if not is_wanted:
                continue
            target = folder / f"{number}-{precision}.onnx"
            with reading_bar(f"exporting {path.name}, {precision}") as progress:
                # the increase of the error rate is among the results
                is_int8 = precision == "int8"
                export_onnx(
                    bundle, target, compared, int8=is_int8, max_cer_increase=1.0, progress=progress
                )
            found += candidates_of(f"{path.name}, {precision}", target)
    return found


def _print(measurements: Sequence[Measurement], about: str) -> None:
    """Print the table, and what could not be measured."""
    from ocrsearch.deployment import RUNTIME_NAMES

    rows = []
    for m in measurements:
        if m.cer is None:
            continue
        times = [f"{t.median_ms:.2f} ({t.p95_ms:.2f})" for t in m.timings]
        rate = f"{m.cer:.4f} ({m.cer_low:.4f} to {m.cer_high:.4f})"
        runtime = RUNTIME_NAMES[m.runtime]
        memory = f"{m.peak_memory_mb:.0f}"
        rows.append((m.name, runtime, f"{m.size_mb:.2f}", m.n_threads, *times, memory, rate))
    if rows:
        counts = [timing.at_once for timing in next(m for m in measurements if m.timings).timings]
        times = [f"ms, {n} at once" if n > 1 else "ms (95 %)" for n in counts]
        headings = ("model", "runtime", "MB", "threads", *times, "memory MB", "CER (95 % interval)")
        show_table(headings, rows, title=about, optional=("runtime", "memory MB"))
    for m in measurements:
        if m.problem:
            note(f"not measured: {m.name} with {RUNTIME_NAMES[m.runtime]}: {m.problem}")
    if not rows:
        raise OcrSearchError("no model could be measured")


def _note_missing(candidates: Sequence[Candidate]) -> None:
    """Say what the figures lack, or why they may be wrong."""
    from ocrsearch.deployment import has_openvino

    if any(c.runtime == "onnxruntime" for c in candidates) and not has_openvino():
        note("note: OpenVINO is not installed; 'pip install openvino' measures it too")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > n_cores() + 1:  # the last process of the benchmark counts as well
        note(f"note: other programs use the CPU (load {load:.1f}); the times are too long")


def _write_page(measurements: Sequence[Measurement], about: str, path: Path) -> None:
    from ocrsearch.deployment import benchmark_page
    from ocrsearch.reports import save_page

    if all(m.cer is None for m in measurements):
        raise DataError(f"{path}: not written: no model could be measured")
    save_page(benchmark_page(measurements, about), path)
