"""Labelled images of all splits together, in folds: the data of a check of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ocrsearch.core import DataError, home_path
from ocrsearch.data import (
    BadSample,
    Charset,
    DataOptions,
    Dataset,
    LabelledImages,
    PackedImages,
    Progress,
    Sample,
    apply_splits,
    draw_folds,
    list_samples,
    read_usable,
    resolve_bidi,
)
from ocrsearch.data.images import digest_image

MIN_FOLDS = 2


@dataclass(frozen=True)
class LabelledData:
    """Labelled images of all splits.

    Attributes:
        samples: samples that can be used.
        images: their images and labels.
        bad: samples that were skipped.
        charset: characters of all labels.
    """

    samples: list[Sample]
    images: LabelledImages
    bad: list[BadSample]
    charset: Charset

    def dataset(self, train: Sequence[int], val: Sequence[int], spec: str = "") -> Dataset:
        """Return a dataset of some images to train on and others to validate on."""
        nothing = LabelledImages([], [], PackedImages.pack([]))
        parts = self.images.take(train), self.images.take(val), nothing
        splits = dict(zip(("train", "val", "test"), parts, strict=True))
        return Dataset(spec, splits, self.charset, "", self.bad)  # type: ignore[arg-type]


def read_labelled(
    spec: str, options: DataOptions, progress: Progress | None = None
) -> LabelledData:
    """Read the labelled images of all splits.

    Args:
        spec: specification of the data; see ``read_samples``.
        options: options to read it. Splits and groups of a split file are used.
        progress: called with the number of images read and the total.

    Raises:
        DataError: the data cannot be read, or too many samples cannot be used.
    """
    samples = list_samples(spec, options)
    if options.splits:
        samples = apply_splits(samples, home_path(options.splits))
    usable, bad = read_usable(spec, samples, options.max_invalid, progress, len(samples))
    bidi = resolve_bidi(options.bidi, (sample.text for sample, _ in usable))
    charset = Charset.from_texts((sample.text for sample, _ in usable), bidi)
    images = LabelledImages.from_samples(usable)
    return LabelledData([sample for sample, _ in usable], images, bad, charset)


def folds_of(labelled: LabelledData, n_folds: int) -> list[int]:
    """Return the fold of each image, from 1. Groups and equal images stay together.

    Raises:
        DataError: all images are in one group.
    """
    together = [
        replace(sample, group=sample.group or f"image {digest_image(image).hex()}")
        for sample, image in zip(labelled.samples, labelled.images.images, strict=True)
    ]
    n_groups = len({sample.group for sample in together})
    if n_groups < MIN_FOLDS:
        raise DataError(
            f"{len(together)} images in 1 group: each has to be read by a network that was trained "
            "on other groups; give more images, or `group` a regular expression that finds smaller "
            "groups"
        )
    return draw_folds(together, min(n_folds, n_groups), all_held_out=True)
