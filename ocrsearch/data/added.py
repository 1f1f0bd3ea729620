"""Pictures that the training split gets in addition: made ones, or those of another data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ocrsearch.data.images import digest_image
from ocrsearch.data.options import ADD_NONE, DataOptions
from ocrsearch.data.samples import GrayImage, Sample, fresh_recipe
from ocrsearch.data.specs import read_samples
from ocrsearch.data.usable import BadSample, Progress, read_usable
from ocrsearch.errors import DataError


@dataclass(frozen=True)
class Added:
    """What is added.

    Attributes:
        usable: samples of the training split, and their pictures.
        bad: those that were left out.
        fresh: see ``fresh_recipe``.
    """

    usable: list[tuple[Sample, GrayImage]]
    bad: list[BadSample]
    fresh: dict[str, Any] | None


def read_added(
    options: DataOptions,
    held_out: Sequence[tuple[Sample, GrayImage]],
    progress: Progress | None = None,
) -> Added:
    """Read what ``options.add`` names, if it names anything.

    All of a data set is taken but its own validation and test splits, and but what is also in
    those of the data that it is added to.

    Args:
        options: of the data that it is added to.
        held_out: validation and test samples of that data.
        progress: told how many pictures are read.

    Raises:
        DataError: see ``read_samples`` and ``read_usable``; or nothing is left to train on.
    """
    if options.add in ("", ADD_NONE):
        return Added([], [], None)
    where = f"--add {options.add}"
    samples = [
        replace(sample, name=f"added/{sample.name}", split="train")
        for sample in read_samples(options.add)
        if sample.split in (None, "train") and (options.keep_err or not sample.doubtful)
    ]
    usable, bad = read_usable(where, samples, options.max_bad, progress, len(samples))
    held = {digest_image(image): sample for sample, image in held_out}
    for sample, image in usable:
        if twin := held.get(digest_image(image)):
            reason = f"{sample.name}: the picture of {twin.name} in the {twin.split} split"
            bad.append(BadSample(sample.name, reason))
    left_out = {b.name for b in bad}
    usable = [(sample, image) for sample, image in usable if sample.name not in left_out]
    if not usable:
        raise DataError(f"{where}: of {len(samples)} samples none is left to train on")
    return Added(usable, bad, fresh_recipe(samples))
