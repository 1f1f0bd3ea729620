"""Export of a model as a page that reads images in the browser."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocrsearch.deployment import OnnxExport, check_page, write_page
from ocrsearch.inference import load_onnx
from ocrsearch.training import load_bundle
from ocrsearch.workflows.onnx_export import export_model


@dataclass(frozen=True)
class PageExport:
    """A page that was written.

    Attributes:
        path: page.
        size_mb: size of the page in megabytes.
        onnx: conversion of the model to ONNX; None if it was a file of ONNX already.
    """

    path: Path
    size_mb: float
    onnx: OnnxExport | None


def export_page(
    model: str | Path, folder: str | Path, path: str | Path | None = None, **options: Any
) -> PageExport:
    """Write a page that reads images with a model in the browser, without a network.

    Args:
        model: model file, ``.pt`` or ``.onnx``.
        folder: folder for the page; created if missing.
        path: file of ONNX to write too, ``.onnx``; None for none.
        options: options of the conversion to ONNX; see ``export_model``.

    Raises:
        BundleError: the model cannot be read, or the page or the file would read differently.
        DataError: the data for the comparison cannot be read.
    """
    model, folder = Path(model), Path(folder)
    if model.suffix.lower() == ".onnx":
        return _written(model, model, folder, None)
    check_page(load_bundle(model), str(model))
    with tempfile.TemporaryDirectory() as temporary:
        converted = Path(temporary) / "model.onnx" if path is None else Path(path)
        done = export_model(model, converted, **options)
        return _written(model, converted, folder, done)


def _written(model: Path, converted: Path, folder: Path, onnx: OnnxExport | None) -> PageExport:
    page = write_page(load_onnx(converted), folder, model.name)
    return PageExport(page, page.stat().st_size / 1e6, onnx)
