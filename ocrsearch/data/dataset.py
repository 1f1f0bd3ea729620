"""A dataset in memory: images read once, split, with its charset and fingerprint.

A data set in memory: pictures read once, split, charset and fingerprint known.

Pictures are one block of bytes on disk that all workers map, so that none decodes them again.

Pictures that the training split gets in addition: made ones, or those of another data set.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

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
from ocrsearch.data.formats import parse_columns
from ocrsearch.data.images import digest_image
from ocrsearch.data.options import DataOptions, read_samples
from ocrsearch.data.samples import SPLITS, GrayImage, Sample, Split, fresh_recipe, without_controls
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
"""Share of samples with symbols of their own above which a warning says where they are."""

MANY_RARE = 20
"""Symbols that only one sample has from which on the same warning is given."""

MIN_WARNED = 100
"""Samples of fewer are often the only ones with some symbol."""


class PackedImages(Sequence[GrayImage]):
    """Grey pictures of any sizes in one block of bytes."""

    def __init__(self, pixels: np.ndarray, shapes: Sequence[tuple[int, int]]) -> None:
        self.pixels = pixels
        self.shapes = list(shapes)
        sizes = [height * width for height, width in self.shapes]
        self._ends = np.cumsum(sizes) if sizes else np.zeros(0, np.int64)

    @classmethod
    def pack(cls, images: Sequence[GrayImage]) -> PackedImages:
        """Copy pictures into one block."""
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
    """The usable samples of one split, of which the last ``n_added`` were added to it.

    ``groups`` has the group of each sample; it is empty if no sample has any.
    """

    names: list[str]
    texts: list[str]
    images: PackedImages
    n_added: int = 0
    groups: Sequence[str | None] = ()

    def __len__(self) -> int:
        return len(self.texts)

    def first(self, n: int) -> LabelledImages:
        """Return the first so many; their pixels are shared, not copied."""
        images = PackedImages(self.images.pixels, self.images.shapes[:n])
        return LabelledImages(self.names[:n], self.texts[:n], images, groups=self.groups[:n])


@dataclass(frozen=True)
class Dataset:
    """What a search needs of its data.

    Attributes:
        spec: as the user gave it.
        splits: train, val and test; test may be empty.
        charset: the symbols of the training split.
        fingerprint: a hash of all usable labels, splits and pixels.
        bad: the samples that were left out, or whose label no network can learn.
        fresh: the recipe, as plain data, by which each training epoch gets new pictures, in place
            of those that were added or, where nothing was, of all; None if it has those of the
            training split.
    """

    spec: str
    splits: dict[Split, LabelledImages]
    charset: Charset
    fingerprint: str
    bad: list[BadSample]
    fresh: dict[str, Any] | None = None


def list_samples(spec: str, options: DataOptions) -> list[Sample]:
    """Return the samples of a data set, without the doubtful ones, each with its group.

    Raises:
        DataError: see ``read_samples``; all are doubtful, or a name without a group.
    """
    found = read_samples(spec, parse_columns(options.columns))
    samples = [s for s in found if options.keep_err or not s.doubtful]
    samples = without_controls(samples, options.bidi)
    if found and not samples:
        raise DataError(f"{spec}: all {len(found)} samples are marked as wrong; give --keep-err")
    return group_by_pattern(samples, options.group) if options.group else samples


def split_samples(spec: str, options: DataOptions) -> list[Sample]:
    """Return the samples of a data set, each with its split; few pictures are read.

    Raises:
        DataError: see ``list_samples``, ``assign_splits`` and ``apply_splits``.
    """
    return _assigned(_given_samples(spec, options), options)


def _given_samples(spec: str, options: DataOptions) -> list[Sample]:
    """Return the samples of a data set with the splits that it or a file gives, if any."""
    given = list_samples(spec, options)
    return apply_splits(given, home_path(options.splits)) if options.splits else given


def _assigned(given: Sequence[Sample], options: DataOptions) -> list[Sample]:
    samples = assign_splits(given, options.split_seed)
    samples = cover_symbols(samples, given, is_usable)
    if options.train_share < 1:
        samples = take_share(samples, options.train_share, options.split_seed, is_usable)
    return samples


def load_dataset(
    spec: str, options: DataOptions | None = None, progress: Progress | None = None
) -> Dataset:
    """Read a data set whole, for training.

    What is known from training in the other splits is counted in a warning of the log. Symbols
    that only splits given by the data hold out cannot be learned: validation does without
    samples that have them, which are listed as left out; in the test split they count as errors.

    Args:
        spec: see ``read_samples``.
        options: how to read and split it.
        progress: told how many pictures are read.

    Raises:
        DataError: nothing to train or validate on, or too many unusable samples.
        OptionError: a share of a training split that is drawn anew in each epoch.
    """
    options = options or DataOptions()
    given = _given_samples(spec, options)
    samples = _assigned(given, options)
    own_fresh = fresh_recipe(samples)
    if own_fresh is not None:
        options = _for_fresh(spec, options)
    usable, bad = read_usable(spec, samples, options.max_bad, progress, len(samples))
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
    """Warn if splits were drawn otherwise than by chance for a good part of the samples."""
    rare = count_rare(samples)
    many = rare.n > MAX_RARE_SHARE * rare.n_all or rare.n_symbols >= MANY_RARE
    if many and rare.n_all >= MIN_WARNED:
        logger.warning("%s: %s", spec, rare.describe())


def _with_starved_validation(
    charset: Charset, usable: Sequence[tuple[Sample, GrayImage]]
) -> Charset:
    """Return the charset with the symbols of a drawn validation split that it mostly lacks.

    Otherwise little or nothing of it would be left. They are never learned, and count as errors.
    """
    texts = [sample.text for sample, _ in usable if sample.split == "val"]
    n_lacking = sum(bool(charset.missing([text])) for text in texts)
    if 2 * n_lacking <= len(texts):
        return charset
    more = {symbol for text in texts for symbol in charset.visual(text)}
    return Charset(sorted({*charset.symbols, *more}), charset.bidi)


def _for_fresh(spec: str, options: DataOptions) -> DataOptions:
    """Return the options that data made anew in each epoch can have; nothing is added to it."""
    if options.train_share < 1:
        raise OptionError(
            f"{spec} draws new images in each epoch, of which there is no share; "
            "set the counts of the recipe",
            "train_share",
        )
    if options.add:
        logger.warning(
            "%s draws new pictures in each epoch; %s is not added to it", spec, options.add
        )
    return replace(options, add="")


def load_split(
    spec: str,
    split: Split | None,
    options: DataOptions | None = None,
    progress: Progress | None = None,
) -> tuple[LabelledImages, list[BadSample]]:
    """Read one split of a data set as ``load_dataset`` does, or all of it, for evaluation.

    Of all its splits together a share may be unusable: what was trained on can be evaluated.

    Raises:
        DataError: the split is empty, or too many samples are unusable.
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
            raise DataError(f"{spec}: no samples in the {split} split ({sizes}); give --split")
        n_all = sum(map(len, parts.values()))
    usable, bad = read_usable(spec, samples, options.max_bad, progress, n_all)
    if not usable:
        raise DataError(f"{spec}: none of {len(samples)} can be used: {first_reasons(bad)}")
    return _labelled(usable), bad


def load_some(spec: str, n: int, rng: np.random.Generator) -> list[tuple[GrayImage, str]]:
    """Read at most so many samples of a data set, drawn at random, to look at them.

    Raises:
        DataError: none of the samples can be used.
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
    """Return a hash of what is trained on; that of data without reordering is an old one."""
    digest = hashlib.blake2b(b"fresh" if is_fresh else b"", digest_size=8)
    if bidi != "off":
        digest.update(f"bidi {bidi}".encode())
    for split, part in splits.items():
        digest.update(json.dumps([split, part.texts, part.images.shapes]).encode())
        digest.update(np.ascontiguousarray(part.images.pixels).tobytes())
    return digest.hexdigest()


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
