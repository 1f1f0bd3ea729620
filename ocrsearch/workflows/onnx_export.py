"""Export of model files to ONNX: the images for the comparison are found in the model's data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna

from ocrsearch.core import DataError, OcrSearchError, StudyError
from ocrsearch.data import Dataset, LabelledImages, Progress, load_split
from ocrsearch.deployment import MAX_CER_INCREASE, ComparisonImages, OnnxExport, export_onnx
from ocrsearch.studies import study_facts
from ocrsearch.training import Bundle, Provenance, evaluation_options, load_bundle
from ocrsearch.workflows.study_data import UNMOVED, DataPlace, load_study_data

logger = logging.getLogger(__name__)

MAX_IMAGES = 1000
"""Largest number of validation images to compare texts on."""

RANDOM = "random images"


def export_model(
    model: str | Path,
    path: str | Path,
    *,
    data: str | None = None,
    options: Mapping[str, Any] | None = None,
    int8: bool = False,
    max_cer_increase: float = MAX_CER_INCREASE,
    progress: Progress | None = None,
) -> OnnxExport:
    """Convert a model file to ONNX and prove that both read the same.

    Args:
        model: model file, ``.pt``.
        path: file to write, ``.onnx``.
        data: labelled images whose validation split is read; None for the data of the model. If
            that is not at hand, random images are compared, which have no error rate.
        options: options of the data that replace those of the model; see ``DataOptions``.
        int8: whether to store the weights of matrices and LSTMs in 8 bits.
        max_cer_increase: largest increase of the character error rate by that, as a fraction.
        progress: called with the number of images that were read, and the total.

    Raises:
        BundleError: the model cannot be read, or its export would read differently.
        DataError: the data cannot be read.
    """
    bundle = load_bundle(Path(model))
    return export_onnx(
        bundle,
        Path(path),
        find_images(str(model), bundle.provenance, data, options or {}),
        int8=int8,
        max_cer_increase=max_cer_increase,
        progress=progress,
    )


def export_of_study(
    bundle: Bundle,
    path: Path,
    study: optuna.Study,
    place: DataPlace = UNMOVED,
    progress: Progress | None = None,
    dataset: Dataset | None = None,
    *,
    int8: bool = False,
) -> OnnxExport:
    """Write a recogniser of a study as a file of ONNX, compared on the study's validation split.

    Args:
        bundle: recogniser.
        path: file to write.
        study: study that the recogniser comes from.
        place: location of the data, if it was moved.
        progress: called with the number of images that were read, and the total.
        dataset: data of the study; None to read it.
        int8: whether to store the weights of matrices and LSTMs in 8 bits.

    Raises:
        OcrSearchError: the export would read differently, or the data is not at the given place.
    """
    name, facts = study.study_name, study_facts(study)
    try:
        labelled = (dataset or load_study_data(name, facts, place)).splits["val"]
    except (DataError, StudyError):
        if place != UNMOVED:
            raise
        logger.warning(
            "study %r: its data (%s) is not at hand; random images are compared instead. Give "
            "`data` for the error rates",
            *(name, facts.data_spec),
        )
        images = ComparisonImages(None, RANDOM)
        return export_onnx(bundle, path, images, int8=int8, progress=progress)
    images = _validation(labelled, facts.data_spec)
    return export_onnx(bundle, path, images, int8=int8, progress=progress)


def find_images(
    name: str, provenance: Provenance, data: str | None, options: Mapping[str, Any]
) -> ComparisonImages:
    """Return the validation images of a model's data, or of other data.

    Args:
        name: name of the model, for messages.
        provenance: origin of the model, which may name its data.
        data: specification of other data.
        options: options of the data that were given.
    """
    spec = data or provenance.data
    if spec is None:
        return ComparisonImages(None, RANDOM)
    try:
        chosen = evaluation_options(name, provenance, spec, options)
        labelled, _ = load_split(spec, "val", chosen)
    except OcrSearchError:
        if data is not None:
            raise
        # the message could quote files that a model names
        logger.warning(
            "%s: the data of the model (%s) is not at hand; random images are compared instead. "
            "Give `data` for its error rates",
            *(name, spec),
        )
        return ComparisonImages(None, RANDOM)
    return _validation(labelled, spec)


def _validation(labelled: LabelledImages, spec: str) -> ComparisonImages:
    if not len(labelled):
        return ComparisonImages(None, RANDOM)
    return ComparisonImages(labelled.first(MAX_IMAGES), f"validation split of {spec}")
