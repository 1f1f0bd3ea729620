"""Dataset in memory: images read once and split, with charset and fingerprint.

The training split may get additional images, synthetic or from another dataset.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ocrsearch.core import DataError, OptionError, home_path, real_path
from ocrsearch.data.charset import Bidi, Charset, resolve_bidi
from ocrsearch.data.checks import (
    BadSample,
    describe_leaks,
    first_reasons,
    image_or_reason,
    is_usable,
    read_usable,
    warn_of_rare,
    with_starved_validation,
    without_unknown,
)
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.formats import parse_columns, read_samples
from ocrsearch.data.images import digest_image
from ocrsearch.data.samples import (
    SPLITS,
    GrayImage,
    LabelledImages,
    Progress,
    Sample,
    Split,
    recipe_of,
    without_controls,
)
from ocrsearch.data.splits import (
    apply_splits,
    assign_splits,
    by_split,
    cover_symbols,
    group_by_pattern,
    group_key,
    take_share,
)
from ocrsearch.data.synthesis import RECIPE as BUILT_IN_STRINGS
from ocrsearch.data.synthesis import SKLEARN_DIGITS

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """Dataset for a search.

    Attributes:
        spec: Data specification as given by the user.
        splits: Samples of train, val and test. The test split may be empty.
        charset: Characters of the training split.
        fingerprint: Hash of all usable labels, splits and pixels.
        bad: Samples that were skipped, or whose label cannot be learned.
        fresh: Recipe, as plain data, for new training images in each epoch. They replace the
            added images or, if there are none, all training images. None if every epoch uses
            the same images.
    """

    spec: str
    splits: dict[Split, LabelledImages]
    charset: Charset
    fingerprint: str
    bad: list[BadSample]
    fresh: dict[str, object] | None = None


def list_samples(spec: str, options: DataOptions) -> list[Sample]:
    """Return the samples of a dataset with their groups, without flagged samples.

    Raises:
        DataError: See ``read_samples``. Also raised if all samples are flagged, or if a name
            has no group.
    """
    found = read_samples(spec, parse_columns(options.columns))
    samples = [s for s in found if options.keep_flagged or not s.flagged]
    samples = without_controls(samples, options.bidi)
    if found and not samples:
        raise DataError(
            f"{spec}: all {len(found)} samples are marked as wrong; use them with `keep_flagged`"
        )
    return group_by_pattern(samples, options.group) if options.group else samples


def split_samples(spec: str, options: DataOptions) -> list[Sample]:
    """Return the samples of a dataset with their splits. Few images are read.

    Raises:
        DataError: See ``list_samples``, ``assign_splits`` and ``apply_splits``.
    """
    return _split(spec, options)[0]


def _split(spec: str, options: DataOptions) -> tuple[list[Sample], bool]:
    """Return the samples with their splits, and whether any split was drawn."""
    given = list_samples(spec, options)
    if options.splits:
        given = apply_splits(given, home_path(options.splits))
    samples = assign_splits(given, options.split_seed)
    samples = cover_symbols(samples, given, is_usable)
    if options.train_fraction < 1:
        samples = take_share(samples, options.train_fraction, options.split_seed, is_usable)
    return samples, any(s.split is None for s in given)


def load_dataset(
    spec: str, options: DataOptions | None = None, progress: Progress | None = None
) -> Dataset:
    """Read a complete dataset for training.

    Leaks between the training split and the others are logged as a warning. Characters that
    occur only in given held-out splits cannot be learned. Validation samples with them are
    skipped; in the test split they count as errors.

    Args:
        spec: Data specification; see ``read_samples``.
        options: Options for reading and splitting.
        progress: Called with the number of images read and the total.

    Raises:
        DataError: There is nothing to train or validate on, or too many samples are unusable.
        OptionError: A fraction of a training split is requested that is new in each epoch.
    """
    options = options or DataOptions()
    samples, is_drawn = _split(spec, options)
    recipe = recipe_of(samples)
    is_fresh = recipe is not None and bool(recipe["fresh"])
    if is_fresh:
        options = _for_fresh(spec, options)
    usable, bad = read_usable(spec, samples, options.max_invalid, progress, len(samples))
    held_out = [(s, image) for s, image in usable if s.split != "train"]
    # additional data may have more characters, but must not have images of the held-out splits
    added = read_added(spec, options, held_out, progress)
    for_charset = [*usable, *added.usable]
    bidi = resolve_bidi(options.bidi, (s.text for s, _ in for_charset))
    charset = Charset.from_texts((s.text for s, _ in for_charset if s.split == "train"), bidi)
    if is_drawn:
        warn_of_rare(spec, samples)
        charset = with_starved_validation(charset, usable)
    usable, unknown = without_unknown(spec, usable, charset)
    bad += [*unknown, *added.bad]
    leaks = describe_leaks(usable)
    if leaks:
        logger.warning("%s: %s", spec, leaks)
    usable += added.usable
    parts = {split: [(s, image) for s, image in usable if s.split == split] for split in SPLITS}
    splits = {split: LabelledImages.from_samples(part) for split, part in parts.items()}
    splits["train"] = replace(splits["train"], n_added=len(added.usable))
    needed: tuple[Split, ...] = ("train", "val")
    for split in needed:
        if not splits[split]:
            n, n_groups = len(samples), len({group_key(s) for s in samples})
            why = f": {first_reasons(unknown)}" if unknown else ""
            raise DataError(
                f"{spec}: no samples in the {split} split (of {n} in {n_groups} groups){why}; "
                "give more data"
            )
    fresh = recipe if is_fresh else added.fresh
    fingerprint = _fingerprint(splits, charset.bidi, is_fresh=fresh is not None)
    return Dataset(spec, splits, charset, fingerprint, bad, fresh)


def _for_fresh(spec: str, options: DataOptions) -> DataOptions:
    """Return the options for data with new images in each epoch, to which nothing is added."""
    if options.train_fraction < 1:
        raise OptionError(
            f"{spec} draws new images in each epoch, so no fraction of them can be selected; "
            "set the counts of the recipe",
            "train_fraction",
        )
    if options.extra_train_data:
        logger.warning(
            "%s draws new images in each epoch; %s is not added to it",
            spec,
            options.extra_train_data,
        )
    return replace(options, extra_train_data="")


@dataclass(frozen=True)
class Added:
    """Additional training data.

    Attributes:
        usable: Samples of the training split, with their images.
        bad: Skipped samples.
        fresh: See ``Dataset``.
    """

    usable: list[tuple[Sample, GrayImage]]
    bad: list[BadSample]
    fresh: dict[str, object] | None


def read_added(
    spec: str,
    options: DataOptions,
    held_out: Sequence[tuple[Sample, GrayImage]],
    progress: Progress | None = None,
) -> Added:
    """Read the additional data named by ``options.extra_train_data``, if any.

    The validation and test splits of the additional data are skipped, and images that are also
    in the held-out splits of the main data.

    Args:
        spec: Specification of the main data.
        options: Options of the main data.
        held_out: Validation and test samples of the main data.
        progress: Called with the number of images read and the total.

    Raises:
        DataError: See ``read_samples`` and ``read_usable``. Also raised if nothing is left, or
            if the data is composed of the main data with a different split.
    """
    if not options.extra_train_data:
        return Added([], [], None)
    where = f"`extra_train_data` {options.extra_train_data}"
    samples = [
        replace(sample, name=f"added/{sample.name}", split="train")
        for sample in read_samples(options.extra_train_data)
        if sample.split in (None, "train") and (options.keep_flagged or not sample.flagged)
    ]
    samples = without_controls(samples, options.bidi)
    _check_source(where, samples, spec, options)
    readable, bad = read_usable(where, samples, options.max_invalid, progress, len(samples))
    held = {digest_image(image): sample for sample, image in held_out}
    usable = []
    for sample, image in readable:
        if twin := held.get(digest_image(image)):
            reason = f"{sample.name}: the image of {twin.name} in the {twin.split} split"
            bad.append(BadSample(sample.name, reason))
        else:
            usable.append((sample, image))
    if not usable:
        raise DataError(f"{where}: of {len(samples)} samples none is left to train on")
    recipe = recipe_of(samples)
    return Added(usable, bad, recipe if recipe and recipe["fresh"] else None)


def _check_source(where: str, samples: Sequence[Sample], spec: str, options: DataOptions) -> None:
    """Reject additional data composed of the main data unless both hold out the same images."""
    recipe = recipe_of(samples) or {}
    if recipe.get("kind") != "digits":
        return
    source, own = (
        real_path(home_path(s.rpartition(":")[2])) for s in (str(recipe["source"]), spec)
    )
    if source != own:
        return
    seed = BUILT_IN_STRINGS.seed if spec == SKLEARN_DIGITS else options.split_seed
    if options.splits or options.group or recipe["seed"] != seed:
        raise DataError(
            f"{where}: made of the images of {spec}, so both must hold out the same images: write "
            f"seed: {seed} into the recipe, and give neither `splits` nor `group`"
        )


def _fingerprint(splits: dict[Split, LabelledImages], bidi: Bidi, *, is_fresh: bool) -> str:
    """Return a hash of the training data. Without reordering it equals that of old versions."""
    digest = hashlib.blake2b(b"fresh" if is_fresh else b"", digest_size=8)
    if bidi != "off":
        digest.update(f"bidi {bidi}".encode())
    for split, part in splits.items():
        digest.update(json.dumps([split, part.texts, part.images.shapes]).encode())
        digest.update(np.ascontiguousarray(part.images.pixels).tobytes())
    return digest.hexdigest()


def load_split(
    spec: str,
    split: Split | None,
    options: DataOptions | None = None,
    progress: Progress | None = None,
) -> tuple[LabelledImages, list[BadSample]]:
    """Read a split of a dataset, or all of it, like ``load_dataset``, for evaluation.

    The limit on unusable samples applies to all splits together, so data that could be trained
    on can be evaluated.

    Raises:
        DataError: The split is empty, or too many samples are unusable.
    """
    options = options or DataOptions()
    if split is None:
        samples = list_samples(spec, options)
        n_all = len(samples)
    else:
        parts = by_split(split_samples(spec, options))
        samples = parts[split]
        if not samples:
            sizes = ", ".join(f"{name} {len(part)}" for name, part in parts.items())
            raise DataError(
                f"{spec}: no samples in the {split} split ({sizes}); give another `split`"
            )
        n_all = sum(map(len, parts.values()))
    usable, bad = read_usable(spec, samples, options.max_invalid, progress, n_all)
    if not usable:
        raise DataError(f"{spec}: none of {len(samples)} can be used: {first_reasons(bad)}")
    return LabelledImages.from_samples(usable), bad


def load_some(spec: str, n: int, rng: np.random.Generator) -> list[tuple[GrayImage, str]]:
    """Read up to ``n`` randomly drawn samples of a dataset, to display them.

    Raises:
        DataError: No sample can be used.
    """
    samples = list_samples(spec, DataOptions())
    some: list[tuple[GrayImage, str]] = []
    bad: list[BadSample] = []
    for i in rng.permutation(len(samples)):
        result = image_or_reason(samples[i])
        if isinstance(result, str):
            bad.append(BadSample(samples[i].name, result))
            continue
        some.append((result, samples[i].text))
        if len(some) == n:
            break
    if not some:
        raise DataError(f"{spec}: no usable samples (of {len(samples)}): {first_reasons(bad)}")
    return some
