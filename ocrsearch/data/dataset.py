"""Dataset in memory: images read once and split, with charset and fingerprint.

All images of a split are stored in a single block that worker processes map instead of decoding
them again. The training split may get additional images, synthetic or from another dataset.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np

from ocrsearch.core import DataError, OptionError, home_path, real_path
from ocrsearch.data.charset import Bidi, Charset, resolve_bidi
from ocrsearch.data.checks import (
    BadSample,
    Progress,
    describe_leaks,
    first_reasons,
    image_or_reason,
    is_usable,
    read_usable,
    without_unknown,
)
from ocrsearch.data.data_options import DataOptions
from ocrsearch.data.formats import parse_columns
from ocrsearch.data.images import digest_image
from ocrsearch.data.samples import SPLITS, GrayImage, Sample, Split, fresh_recipe, without_controls
from ocrsearch.data.specs import read_samples
from ocrsearch.data.splits import (
    apply_splits,
    assign_splits,
    by_split,
    count_rare,
    cover_symbols,
    group_by_pattern,
    group_key,
    take_share,
)
from ocrsearch.data.synthesis import RECIPE as BUILT_IN_STRINGS
from ocrsearch.data.synthesis import SKLEARN_DIGITS, DigitsRecipe, Drawing

logger = logging.getLogger(__name__)

MAX_RARE_SHARE = 0.1
"""Fraction of samples with a character of their own above which a warning is logged."""

MANY_RARE = 20
"""Number of characters found in a single sample from which the same warning is logged."""

MIN_WARNED = 100
"""Number of samples below which characters are often found in a single sample."""


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
    """Usable samples of a split. The last ``n_added`` samples are additional.

    ``groups`` contains the group of each sample, or is empty if no sample has a group.
    """

    names: list[str]
    texts: list[str]
    images: PackedImages
    n_added: int = 0
    groups: Sequence[str | None] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, n: int) -> LabelledImages:
        """Return the first ``n`` samples. Their pixels are shared, not copied."""
        images = PackedImages(self.images.pixels, self.images.shapes[:n])
        return LabelledImages(self.names[:n], self.texts[:n], images, groups=self.groups[:n])


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
    """Return the samples of a dataset with their groups, without doubtful samples.

    Raises:
        DataError: See ``read_samples``. Also raised if all samples are doubtful, or if a name
            has no group.
    """
    found = read_samples(spec, parse_columns(options.columns))
    samples = [s for s in found if options.keep_flagged or not s.doubtful]
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
    return _assigned(_given_samples(spec, options), options)


def _given_samples(spec: str, options: DataOptions) -> list[Sample]:
    """Return the samples with the splits given by the dataset or a file, if any."""
    given = list_samples(spec, options)
    return apply_splits(given, home_path(options.splits)) if options.splits else given


def _assigned(given: Sequence[Sample], options: DataOptions) -> list[Sample]:
    samples = assign_splits(given, options.split_seed)
    samples = cover_symbols(samples, given, is_usable)
    if options.train_fraction < 1:
        samples = take_share(samples, options.train_fraction, options.split_seed, is_usable)
    return samples


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
    given = _given_samples(spec, options)
    samples = _assigned(given, options)
    own_fresh = fresh_recipe(samples)
    if own_fresh is not None:
        options = _for_fresh(spec, options)
    usable, bad = read_usable(spec, samples, options.max_invalid, progress, len(samples))
    held_out = [(s, image) for s, image in usable if s.split != "train"]
    added = read_added(spec, options, held_out, progress)
    for_charset = [*usable, *added.usable]
    bidi = resolve_bidi(options.bidi, (s.text for s, _ in for_charset))
    charset = Charset.from_texts((s.text for s, _ in for_charset if s.split == "train"), bidi)
    if any(s.split is None for s in given):
        _warn_of_rare(spec, samples)
        charset = _with_starved_validation(charset, usable)
    usable, unknown = without_unknown(spec, usable, charset)
    bad += [*unknown, *added.bad]
    leaks = describe_leaks(usable)
    if leaks:
        logger.warning("%s: %s", spec, leaks)
    usable += added.usable
    parts = {split: [(s, image) for s, image in usable if s.split == split] for split in SPLITS}
    splits = {split: _labelled(part) for split, part in parts.items()}
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
    fresh = own_fresh or added.fresh
    fingerprint = _fingerprint(splits, charset.bidi, is_fresh=fresh is not None)
    return Dataset(spec, splits, charset, fingerprint, bad, fresh)


def _warn_of_rare(spec: str, samples: Sequence[Sample]) -> None:
    """Warn if the splits of many samples were determined by rare characters, not by chance."""
    rare = count_rare(samples)
    many = rare.n > MAX_RARE_SHARE * rare.n_all or rare.n_symbols >= MANY_RARE
    if many and rare.n_all >= MIN_WARNED:
        logger.warning("%s: %s", spec, rare.describe())


def _with_starved_validation(
    charset: Charset, usable: Sequence[tuple[Sample, GrayImage]]
) -> Charset:
    """Return the charset with characters that a drawn validation split mostly consists of.

    Without them hardly any validation samples would be left. They are never learned and count
    as errors.
    """
    texts = [sample.text for sample, _ in usable if sample.split == "val"]
    n_lacking = sum(bool(charset.missing([text])) for text in texts)
    if 2 * n_lacking <= len(texts):
        return charset
    more = {symbol for text in texts for symbol in charset.visual(text)}
    return Charset(sorted({*charset.symbols, *more}), charset.bidi)


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
    return _labelled(usable), bad


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


def _labelled(usable: Sequence[tuple[Sample, GrayImage]]) -> LabelledImages:
    return LabelledImages(
        [s.name for s, _ in usable],
        [s.text for s, _ in usable],
        PackedImages.pack([image for _, image in usable]),
        groups=[s.group for s, _ in usable] if any(s.group for s, _ in usable) else (),
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


@dataclass(frozen=True)
class Added:
    """Additional training data.

    Attributes:
        usable: Samples of the training split, with their images.
        bad: Skipped samples.
        fresh: See ``fresh_recipe``.
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
        if sample.split in (None, "train") and (options.keep_flagged or not sample.doubtful)
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
    return Added(usable, bad, fresh_recipe(samples))


def _check_source(where: str, samples: Sequence[Sample], spec: str, options: DataOptions) -> None:
    """Reject additional data composed of the main data unless both hold out the same images."""
    image = samples[0].image if samples else None
    recipe = image.synthesizer.recipe if isinstance(image, Drawing) else None
    if not isinstance(recipe, DigitsRecipe) or _path(recipe.source) != _path(spec):
        return
    seed = BUILT_IN_STRINGS.seed if spec == SKLEARN_DIGITS else options.split_seed
    if options.splits or options.group or recipe.seed != seed:
        raise DataError(
            f"{where}: made of the images of {spec}, so both must hold out the same images: write "
            f"seed: {seed} into the recipe, and give neither `splits` nor `group`"
        )


def _path(spec: str) -> Path:
    return real_path(home_path(spec.rpartition(":")[2]))
