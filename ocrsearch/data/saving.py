"""Images of a dataset as files: PNG, named by their labels, with ``labels.csv`` beside them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import cv2

from ocrsearch.data.samples import Sample
from ocrsearch.data.usable import BadSample, first_reasons, picture_or_reason
from ocrsearch.errors import DataError, OptionError
from ocrsearch.files import replacing_folder

MAX_NAME = 40
"""Longest part of a label in a file's name, in characters."""

_NOT_IN_NAMES = re.compile(r"[^\w-]+")


def save_images(
    spec: str, samples: Iterable[Sample], folder: Path, n: int | None = None
) -> tuple[int, list[BadSample]]:
    """Write the images of samples to a folder, which appears whole or not at all.

    Args:
        spec: name of the dataset for messages.
        samples: samples with their split.
        folder: new or empty folder.
        n: number of images; None for all.

    Returns:
        The number of images written, and the samples that could not be used.

    Raises:
        OptionError: something is in the folder already.
        DataError: no sample can be used.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problem = f"{folder}: there is something already; give a new or empty folder"
        raise OptionError(problem, "output")
    rows: list[tuple[str, str, str]] = []
    bad: list[BadSample] = []
    taken: Counter[str] = Counter()
    with replacing_folder(folder) as temporary:
        for sample in samples:
            if n is not None and len(rows) == n:
                break
            picture = picture_or_reason(sample)
            if isinstance(picture, str):
                bad.append(BadSample(sample.name, picture))
                continue
            name = _file_name(sample.text, taken)
            (temporary / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
            rows.append((name, sample.text, sample.split or ""))
        if not rows:
            why = f": {first_reasons(bad)}" if bad else ""
            raise DataError(f"{spec}: no images to save{why}")
        with (temporary / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("image", "text", "split"), *rows])
    return len(rows), bad


def _file_name(text: str, taken: Counter[str]) -> str:
    """Return a label as the name of a file, with a number if the name is taken."""
    stem = _NOT_IN_NAMES.sub("_", text)[:MAX_NAME] or "_"
    taken[stem] += 1
    name = stem if taken[stem] == 1 else f"{stem}.{taken[stem]}"
    if name != stem and name in taken:  # it is the label of another image
        return _file_name(text, taken)
    taken[name] += name != stem
    return f"{name}.png"
