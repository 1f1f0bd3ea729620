"""Samples: labelled images before they are read.

Label formats produce samples. All later steps see nothing else of a dataset.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ocrsearch.data.charset import (
    has_controls,
    remove_controls,
    resolve_bidi,
)

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

GrayImage = NDArray[np.uint8]
"""(H, W) uint8 image, 0 black and 255 white."""


class Drawable(Protocol):
    """Image that is rendered on demand."""

    def draw(self) -> GrayImage:
        """Render the image."""
        ...

    @property
    def fresh_recipe(self) -> dict[str, object] | None:
        """The recipe as plain data if each training epoch has new images, else None."""
        ...


@dataclass(frozen=True)
class Sample:
    """Labelled image.

    Attributes:
        name: Name in messages, unique in the dataset; usually the relative path.
        image: Path of the image, the image itself, or an object that renders it.
        text: Label, in NFC.
        split: Split given by the dataset, or None.
        group: Group that a split must not divide, such as the writer, form or letter, or None.
        doubtful: Whether the dataset marks the sample as wrong or badly cut.
    """

    name: str
    image: Path | GrayImage | Drawable
    text: str
    split: Split | None = None
    group: str | None = None
    doubtful: bool = False


def normalize_label(text: str) -> str:
    """Return a label for training: NFC, without outer white space and line ends."""
    return unicodedata.normalize("NFC", text).strip()


def without_controls(samples: Sequence[Sample], setting: str) -> list[Sample]:
    """Return samples without invisible direction marks, which cannot be recognised.

    Args:
        samples: Samples in any order, which is kept.
        setting: Treatment of right-to-left labels; see ``resolve_bidi``.
    """
    unicode = [sample.text.isascii() or _is_unicode(sample.text) for sample in samples]
    marked = {i for i, s in enumerate(samples) if unicode[i] and has_controls(s.text)}
    if not marked:
        return list(samples)
    texts = (s.text for i, s in enumerate(samples) if unicode[i])
    bidi = resolve_bidi(setting, texts)
    return [
        replace(sample, text=remove_controls(sample.text, bidi)) if i in marked else sample
        for i, sample in enumerate(samples)
    ]


def _is_unicode(text: str) -> bool:
    """Return whether a text has no lone surrogates, which stand for undecodable bytes."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def is_split(value: object) -> TypeGuard[Split]:
    """Return whether a value read from a file is the name of a split."""
    return value in SPLITS


def fresh_recipe(samples: Sequence[Sample]) -> dict[str, object] | None:
    """Return the recipe, as plain data, for new images in each training epoch.

    None if the images of the samples are used in all epochs.
    """
    image = samples[0].image if samples else None
    return None if image is None or isinstance(image, Path | np.ndarray) else image.fresh_recipe
