"""Samples: one labelled picture each, before it is read.

A label format gives samples; everything behind it sees nothing else of a data set.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeGuard

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
"""A picture as (H, W) uint8, 0 black and 255 white."""


class Drawable(Protocol):
    """A picture that is made when it is needed."""

    def draw(self) -> GrayImage:
        """Make it."""
        ...

    @property
    def fresh_recipe(self) -> dict[str, Any] | None:
        """The recipe, as plain data, by which each training epoch gets new pictures."""
        ...


@dataclass(frozen=True)
class Sample:
    """A labelled picture.

    Attributes:
        name: what to call it in messages, unique in its data set; usually the relative path.
        image: where the picture is, or the picture itself, or what makes it.
        text: the label, NFC.
        split: the split that the data set itself gives, or None.
        group: what must not be parted by a split: the writer, the form, the letter; or None.
        doubtful: marked by the data set itself as wrong or cut badly.
    """

    name: str
    image: Path | GrayImage | Drawable
    text: str
    split: Split | None = None
    group: str | None = None
    doubtful: bool = False


def normalize_label(text: str) -> str:
    """Return a label as it is trained on: NFC, outer white space and line ends removed."""
    return unicodedata.normalize("NFC", text).strip()


def without_controls(samples: Sequence[Sample], setting: str) -> list[Sample]:
    """Return samples without invisible direction marks in their labels, which nobody can read.

    Args:
        samples: in any order, which is kept.
        setting: how labels are reordered, see ``resolve_bidi``.
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
    """Whether a text has no halves of surrogate pairs, which stand for bytes that are no text."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def is_split(value: object) -> TypeGuard[Split]:
    """Whether a value read from a file names a split."""
    return value in SPLITS


def fresh_recipe(samples: Sequence[Sample]) -> dict[str, Any] | None:
    """Return the recipe, as plain data, by which each training epoch gets new pictures.

    None if they are those of the samples.
    """
    image = samples[0].image if samples else None
    return None if image is None or isinstance(image, Path | np.ndarray) else image.fresh_recipe
