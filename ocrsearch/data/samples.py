"""Samples: labelled images, before and after they are read.

Label formats produce samples. Once read, all images of a split are stored in a single block, which
worker processes can map instead of decoding the images again.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeGuard, overload

import numpy as np
from numpy.typing import NDArray

from ocrsearch.data.charset import has_controls, remove_controls, resolve_bidi

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

GrayImage = NDArray[np.uint8]
"""(H, W) uint8 image, 0 black and 255 white."""


Progress = Callable[[int, int], None]
"""Called with the number of finished items and the total."""


class Drawable(Protocol):
    """Image that is rendered on demand."""

    def draw(self) -> GrayImage:
        """Render the image."""
        ...

    @property
    def recipe(self) -> dict[str, object]:
        """Recipe as plain data. If its key ``fresh`` is true, each epoch draws new images."""
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
        flagged: Whether the dataset marks the sample as wrong or badly cut.
    """

    name: str
    image: Path | GrayImage | Drawable
    text: str
    split: Split | None = None
    group: str | None = None
    flagged: bool = False


def is_split(value: object) -> TypeGuard[Split]:
    """Return whether a value read from a file is the name of a split."""
    return value in SPLITS


def normalize_label(text: str) -> str:
    """Return a label for training: NFC, without outer white space and line ends."""
    return unicodedata.normalize("NFC", text).strip()


def without_controls(samples: Sequence[Sample], setting: str) -> list[Sample]:
    """Return samples without invisible direction marks, which cannot be recognised.

    Args:
        samples: Samples in any order, which is kept.
        setting: Treatment of right-to-left labels; see ``resolve_bidi``.
    """
    unicode = [sample.text.isascii() or is_encodable(sample.text) for sample in samples]
    marked = {i for i, s in enumerate(samples) if unicode[i] and has_controls(s.text)}
    if not marked:
        return list(samples)
    texts = (s.text for i, s in enumerate(samples) if unicode[i])
    bidi = resolve_bidi(setting, texts)
    return [
        replace(sample, text=remove_controls(sample.text, bidi)) if i in marked else sample
        for i, sample in enumerate(samples)
    ]


def is_encodable(text: str) -> bool:
    """Return whether a text can be encoded. Lone surrogates from file names cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def recipe_of(samples: Sequence[Sample]) -> dict[str, object] | None:
    """Return the recipe of synthetic samples as plain data, or None for other samples."""
    image = samples[0].image if samples else None
    return None if image is None or isinstance(image, Path | np.ndarray) else image.recipe


class PackedImages(Sequence[GrayImage]):
    """Grey images of any size in a single block of bytes."""

    def __init__(self, pixels: np.ndarray, shapes: Sequence[tuple[int, int]]) -> None:
        self.pixels = pixels
        self.shapes = list(shapes)
        sizes = [height * width for height, width in self.shapes]
        self._ends = np.cumsum(sizes) if sizes else np.zeros(0, np.int64)

    @classmethod
    def pack(cls, images: Sequence[GrayImage]) -> PackedImages:
        """Copy images into a single block."""
        empty = [np.zeros(0, np.uint8)]
        pixels = np.concatenate([*(image.ravel() for image in images), *empty])
        return cls(pixels, [(image.shape[0], image.shape[1]) for image in images])

    def __len__(self) -> int:
        return len(self.shapes)

    @overload
    def __getitem__(self, index: int) -> GrayImage: ...
    @overload
    def __getitem__(self, index: slice) -> list[GrayImage]: ...
    def __getitem__(self, index: int | slice) -> GrayImage | list[GrayImage]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        height, width = self.shapes[index]
        end = int(self._ends[index])
        return np.asarray(self.pixels[end - height * width : end].reshape(height, width))


@dataclass(frozen=True)
class LabelledImages:
    """Usable samples of a split, after reading. The last ``n_added`` samples are additional.

    ``groups`` contains the group of each sample, or is empty if no sample has a group.
    """

    names: list[str]
    texts: list[str]
    images: PackedImages
    n_added: int = 0
    groups: Sequence[str | None] = ()

    @classmethod
    def from_samples(cls, usable: Sequence[tuple[Sample, GrayImage]]) -> LabelledImages:
        """Pack samples and their images."""
        return cls(
            [s.name for s, _ in usable],
            [s.text for s, _ in usable],
            PackedImages.pack([image for _, image in usable]),
            groups=[s.group for s, _ in usable] if any(s.group for s, _ in usable) else (),
        )

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, n: int) -> LabelledImages:
        """Return the first ``n`` samples. Their pixels are shared, not copied."""
        images = PackedImages(self.images.pixels, self.images.shapes[:n])
        return LabelledImages(self.names[:n], self.texts[:n], images, groups=self.groups[:n])

    def own(self) -> LabelledImages:
        """Return the samples without additional samples. Their pixels are shared, not copied."""
        return self.first(len(self) - self.n_added)

    def added(self) -> LabelledImages:
        """Return a copy of the additional samples."""
        return self.take(range(len(self) - self.n_added, len(self)))

    def take(self, ids: Sequence[int]) -> LabelledImages:
        """Return a copy of some samples, by index."""
        return LabelledImages(
            [self.names[i] for i in ids],
            [self.texts[i] for i in ids],
            PackedImages.pack([self.images[i] for i in ids]),
            groups=[self.groups[i] for i in ids] if self.groups else (),
        )

    def joined(self, other: LabelledImages) -> LabelledImages:
        """Return a copy of these samples, followed by others."""
        groups: Sequence[str | None] = ()
        if self.groups or other.groups:
            parts = (self, other)
            groups = [group for part in parts for group in part.groups or [None] * len(part)]
        images = PackedImages.pack([*self.images, *other.images])
        return LabelledImages(
            [*self.names, *other.names], [*self.texts, *other.texts], images, groups=groups
        )
