"""Pictures that the training split gets in addition: made ones, or those of another data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ocrsearch.data.digits import RECIPE as BUILT_IN_STRINGS
from ocrsearch.data.images import digest_image
from ocrsearch.data.options import DataOptions
from ocrsearch.data.samples import GrayImage, Sample, fresh_recipe, without_controls
from ocrsearch.data.specs import read_samples
from ocrsearch.data.synthesis.recipe import SKLEARN_DIGITS, DigitsRecipe
from ocrsearch.data.synthesis.synthesizer import Drawing
from ocrsearch.data.usable import BadSample, Progress, read_usable
from ocrsearch.errors import DataError
from ocrsearch.files import home_path, real_path


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
    spec: str,
    options: DataOptions,
    held_out: Sequence[tuple[Sample, GrayImage]],
    progress: Progress | None = None,
) -> Added:
    """Read what ``options.add`` names, if it names anything.

    All of a data set is taken but its own validation and test splits, and but what is also in
    those of the data that it is added to.

    Args:
        spec: of the data that it is added to.
        options: of that data.
        held_out: validation and test samples of that data.
        progress: told how many pictures are read.

    Raises:
        DataError: see ``read_samples`` and ``read_usable``; nothing is left to train on, or it is
            made of the data itself, parted in another way.
    """
    if not options.add:
        return Added([], [], None)
    where = f"--add {options.add}"
    samples = [
        replace(sample, name=f"added/{sample.name}", split="train")
        for sample in read_samples(options.add)
        if sample.split in (None, "train") and (options.keep_err or not sample.doubtful)
    ]
    samples = without_controls(samples, options.bidi)
    _check_source(where, samples, spec, options)
    readable, bad = read_usable(where, samples, options.max_bad, progress, len(samples))
    held = {digest_image(image): sample for sample, image in held_out}
    usable = []
    for sample, image in readable:
        if twin := held.get(digest_image(image)):
            reason = f"{sample.name}: the picture of {twin.name} in the {twin.split} split"
            bad.append(BadSample(sample.name, reason))
        else:
            usable.append((sample, image))
    if not usable:
        raise DataError(f"{where}: of {len(samples)} samples none is left to train on")
    return Added(usable, bad, fresh_recipe(samples))


def _check_source(where: str, samples: Sequence[Sample], spec: str, options: DataOptions) -> None:
    """Refuse to make pictures of the data's own ones where other ones of them are held out."""
    image = samples[0].image if samples else None
    recipe = image.synthesizer.recipe if isinstance(image, Drawing) else None
    if not isinstance(recipe, DigitsRecipe) or _path(recipe.source) != _path(spec):
        return
    seed = BUILT_IN_STRINGS.seed if spec == SKLEARN_DIGITS else options.split_seed
    if options.splits or options.group or recipe.seed != seed:
        raise DataError(
            f"{where}: made of the pictures of {spec}, of which it must hold out the same: write "
            f"seed: {seed} into the recipe, and give neither --splits nor --group"
        )


def _path(spec: str) -> Path:
    return real_path(home_path(spec.rpartition(":")[2]))
