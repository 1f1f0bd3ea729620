"""``ocrsearch predict``: read pictures with a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrsearch.cli.options import Device, DeviceOption, Json, print_json
from ocrsearch.errors import DataError

if TYPE_CHECKING:
    from ocrsearch.deploy.predictor import Predictor


def predict(
    model: Annotated[Path, typer.Argument(help="Model file, from 'ocrsearch best --export'.")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, or folders of them.")],
    device: DeviceOption = Device.auto,
    as_json: Json = False,
) -> None:
    """Read pictures; one that cannot be read is told and does not stop the others."""
    from ocrsearch.deploy.predictor import load

    files = _files(pictures)
    predictor = load(model, device.value)
    rows, failures = _read(predictor, files)
    if as_json:
        print_json({"files": rows, "failures": failures})
    else:
        for row in rows:
            file = " ".join(row["file"].splitlines())
            typer.echo(f"{file}\t{row['text']}\t{row['confidence']:.3f}")
    for failure in failures:
        sys.stderr.write(f"ocrsearch: {' '.join(failure['reason'].splitlines())}\n")
    if failures:
        raise typer.Exit(1)


def _files(paths: list[Path]) -> list[Path]:
    from ocrsearch.data.images import PICTURE_SUFFIXES

    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(
                p
                for p in path.rglob("*")
                if p.suffix.lower() in PICTURE_SUFFIXES and not p.name.startswith("._")
            )
            if not found:
                raise DataError(f"{path}: no pictures in this folder")
            files += found
        else:
            files.append(path)
    return files


def _read(
    predictor: Predictor, files: list[Path]
) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    rows: list[dict[str, Any]] = []
    failures: list[dict[str, str]] = []
    with typer.progressbar(
        length=len(files), label="reading", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        for file, result in predictor.predict_files(files):
            bar.update(1)
            if isinstance(result, str):
                failures.append({"file": str(file), "reason": result})
            else:
                rows.append(
                    {
                        "file": str(file),
                        "text": result.text,
                        "confidence": result.confidence,
                        "symbol_confidences": list(result.symbol_confidences),
                    }
                )
    return rows, failures
