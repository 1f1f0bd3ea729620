"""Splits: given by a dataset or a file, or drawn 80/10/10 with a seed, and folds.

Splits are drawn by whole groups (a writer, a form, a letter); a sample without a group is its own
group. A character can only be learned from the training split, so groups with a character of
their own are assigned to it, unless another split would lose more than half of its samples. Split
files are tables with columns ``name``, ``split`` and ``group``.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ocrsearch.core import (
    DataError,
    plain_cell,
    quoted,
    search_names,
    spreadsheet_cell,
    write_text_file,
)
from ocrsearch.data.formats import read_rows, read_split
from ocrsearch.data.samples import SPLITS, Sample, Split

VAL_SHARE = 0.1
TEST_SHARE = 0.1
MIN_GROUPS = 3
"""Minimum number of groups to hold any out."""

COLUMNS = ("name", "split", "group")

GroupKey = tuple[bool, str]


@dataclass(frozen=True)
class _Group:
    """Indices of samples that stay together, and the characters of their labels."""

    ids: list[int]
    symbols: set[str]


def group_key(sample: Sample) -> GroupKey:
    """Return the key of samples that stay together: their group, or else their name."""
    return sample.group is not None, sample.name if sample.group is None else sample.group


def by_split(samples: Sequence[Sample]) -> dict[Split, list[Sample]]:
    """Return the samples of each split in order."""
    return {split: [s for s in samples if s.split == split] for split in SPLITS}


def group_by_pattern(samples: Sequence[Sample], pattern: str) -> list[Sample]:
    """Return samples with the groups that a pattern finds in their names.

    Args:
        samples: Samples in any order, which is kept.
        pattern: Regular expression. The group is its first group, or else the whole match.

    Raises:
        DataError: The pattern does not match a name.
        OptionError: The search takes too long.
    """
    groups = search_names(pattern, [sample.name for sample in samples])
    missed = [sample.name for sample, group in zip(samples, groups, strict=True) if not group]
    if missed:
        raise DataError(
            f"{pattern!r} finds nothing in {len(missed)} of {len(samples)} names, first "
            f"{missed[0]!r}; give a regular expression that finds the group in each",
            "group",
        )
    return [replace(sample, group=group) for sample, group in zip(samples, groups, strict=True)]


def assign_splits(
    samples: Sequence[Sample], seed: int, *, keep_symbols: bool = False
) -> list[Sample]:
    """Assign a split to each sample and return the samples in order.

    Args:
        samples: Samples of which all or none have a split.
        seed: Random seed. Equal samples and seeds give equal splits.
        keep_symbols: Whether the training split must have all characters, even if hardly any
            samples are left for the others.

    Returns:
        Samples with about 80 % train, 10 % val and 10 % test if no split was given. If train but
        no val was given, a tenth of train becomes val. Otherwise the given splits.

    Raises:
        DataError: Only some samples have a split.
    """
    given = {sample.split for sample in samples}
    if given == {None}:
        return _draw(samples, seed, VAL_SHARE, TEST_SHARE, keep_symbols=keep_symbols)
    if None in given:
        first = next(s.name for s in samples if s.split is None)
        raise DataError(f"{first}: has no split while others have; give all or none a split")
    if "train" in given and "val" not in given:
        own = [s for s in samples if s.split == "train"]
        train = iter(_draw(own, seed, VAL_SHARE, 0.0, keep_symbols=keep_symbols))
        return [next(train) if s.split == "train" else s for s in samples]
    return list(samples)


def _draw(
    samples: Sequence[Sample],
    seed: int,
    val_share: float,
    test_share: float,
    *,
    keep_symbols: bool,
) -> list[Sample]:
    groups = _groups(samples)
    order = [int(i) for i in np.random.default_rng(seed).permutation(len(groups))]
    n_having = Counter(symbol for group in groups for symbol in group.symbols)
    held_out: dict[int, Split] = {}
    plan: list[tuple[Split, float, int]] = [("test", test_share, 2), ("val", val_share, 1)]
    for split, share, n_after in plan:  # n_after: minimum number of groups for later splits
        if not share or len(groups) < MIN_GROUPS:
            continue
        n_wanted = max(1, round(len(samples) * share))
        n_most = len(order) - n_after
        taken = _take(groups, order, n_wanted, n_most, n_having)
        if not keep_symbols and 2 * sum(len(groups[i].ids) for i in taken) < n_wanted:
            taken |= _take_more(groups, order, n_wanted, n_most, taken)
            n_having = Counter(
                symbol for i in order if i not in taken for symbol in groups[i].symbols
            )
        order = [i for i in order if i not in taken]
        held_out.update((i, split) for g in taken for i in groups[g].ids)
    return [replace(s, split=held_out.get(i, "train")) for i, s in enumerate(samples)]


def _take(
    groups: Sequence[_Group],
    order: Sequence[int],
    n_wanted: int,
    n_most: int,
    n_having: Counter[str],
) -> set[int]:
    """Take at least one group, in order, to approximate a number of samples.

    Args:
        groups: All groups.
        order: Ids of the remaining groups.
        n_wanted: Number of samples to take.
        n_most: Maximum number of groups.
        n_having: Number of remaining groups per character. It stays at least 1.
    """

    def others_have(i: int) -> bool:
        return all(n_having[symbol] > 1 for symbol in groups[i].symbols)

    taken: set[int] = set()
    n = 0
    for i in order:
        size = len(groups[i].ids)
        if size <= 2 * (n_wanted - n) and len(taken) < n_most and others_have(i):
            taken.add(i)
            n += size
            n_having.subtract(groups[i].symbols)
    if not taken:  # every group is far larger than requested
        free = filter(others_have, order)
        taken.update(sorted(free, key=lambda i: len(groups[i].ids))[:1])
        n_having.subtract(symbol for i in taken for symbol in groups[i].symbols)
    return taken


def _take_more(
    groups: Sequence[_Group], order: Sequence[int], n_wanted: int, n_most: int, taken: set[int]
) -> set[int]:
    """Take further groups like ``_take``, ignoring characters that only they have."""
    more: set[int] = set()
    n = sum(len(groups[i].ids) for i in taken)
    for i in order:
        size = len(groups[i].ids)
        fits = size <= 2 * (n_wanted - n) and len(taken) + len(more) < n_most
        if fits and i not in taken:
            more.add(i)
            n += size
    if not taken and not more:
        more.update(sorted(order, key=lambda i: len(groups[i].ids))[:1])
    return more


def _groups(samples: Sequence[Sample]) -> list[_Group]:
    groups: dict[GroupKey, _Group] = {}
    for i, sample in enumerate(samples):
        group = groups.setdefault(group_key(sample), _Group([], set()))
        group.ids.append(i)
        group.symbols.update(sample.text)
    return list(groups.values())


def cover_symbols(
    samples: Sequence[Sample], given: Sequence[Sample], usable: Callable[[Sample], bool]
) -> list[Sample]:
    """Move held-out groups to the training split if it lacks usable samples of a character.

    A split that would lose most of its samples is left unchanged.

    Args:
        samples: Samples with splits.
        given: The same samples before ``assign_splits``. Splits given there are kept.
        usable: Function that returns whether a sample is usable; called rarely.
    """
    drawn = [
        s
        for s, before in zip(samples, given, strict=True)
        if s.split != "train" and s.split != before.split
    ]
    wanted = set().union(*(s.text for s in drawn))
    known: set[str] = set()
    # reading an image to see whether it is usable is slow, so only those that may matter are read
    for s in samples:
        if s.split == "train" and not known.issuperset(wanted.intersection(s.text)) and usable(s):
            known.update(s.text)
    moved: set[GroupKey] = set()
    for s in drawn:
        if not known.issuperset(s.text) and usable(s):
            known.update(s.text)
            moved.add(group_key(s))
    movable: set[int] = set()
    for split in SPLITS:
        part = [s for s in drawn if s.split == split]
        leaving = [id(s) for s in part if group_key(s) in moved]
        movable.update(leaving if 2 * len(leaving) <= len(part) else [])
    return [replace(s, split="train") if id(s) in movable else s for s in samples]


def take_share(
    samples: Sequence[Sample], share: float, seed: int, usable: Callable[[Sample], bool]
) -> list[Sample]:
    """Return the samples with only a fraction of the training split.

    Args:
        samples: Samples with splits.
        share: Fraction of the training split to keep, above 0 and up to 1. Smaller fractions
            are subsets of larger fractions.
        seed: Random seed.
        usable: Function that returns whether a sample is usable; called rarely.

    Returns:
        The fraction, plus training samples with characters that it would lack.
    """
    train = [i for i, s in enumerate(samples) if s.split == "train"]
    n = max(1, round(share * len(train)))
    kept: set[int] = set()
    known: set[str] = set()
    for rank, k in enumerate(np.random.default_rng([seed, 1]).permutation(len(train))):
        sample = samples[train[k]]
        adds = not known.issuperset(sample.text) and usable(sample)
        if adds:
            known.update(sample.text)
        if adds or rank < n:
            kept.add(train[k])
    return [s for i, s in enumerate(samples) if s.split != "train" or i in kept]


@dataclass(frozen=True)
class RareSymbols:
    """Samples with a character that is found in no other sample or group.

    Attributes:
        n: Number of these samples.
        n_train: Number of these samples in the training split, where they can be learned.
        n_all: Number of all samples.
        n_symbols: Number of characters found in a single sample or group.
    """

    n: int
    n_train: int
    n_all: int
    n_symbols: int

    def describe(self) -> str:
        """Return the consequence for the splits in a single line, "" if there is none."""
        if not self.n:
            return ""
        found = (
            f"{self.n} of {self.n_all} samples have a character that no other sample or group has "
            f"({self.n_symbols} such characters)"
        )
        if self.n_train == self.n:
            return (
                f"{found}; all are in the training split so that they can be learned: validation "
                "and test are slightly easier than the whole dataset"
            )
        n_out = self.n - self.n_train
        return f"{found}; {n_out} are in validation or test and cannot be recognised"


def count_rare(samples: Sequence[Sample]) -> RareSymbols:
    """Count the samples with a character that is found in no other sample or group."""
    n_having = Counter(symbol for group in _groups(samples) for symbol in group.symbols)
    single = {symbol for symbol, n in n_having.items() if n == 1}
    rare = [sample for sample in samples if not single.isdisjoint(sample.text)]
    n_train = sum(sample.split == "train" for sample in rare)
    return RareSymbols(len(rare), n_train, len(samples), len(single))


def draw_folds(samples: Sequence[Sample], n_folds: int, *, all_held_out: bool = False) -> list[int]:
    """Return the fold of each sample from 1, or 0 if it is always in the training split.

    Groups are not divided and folds have about equal size. The groups of a character are never
    held out together, unless this would exclude more than half of the samples from validation,
    or ``all_held_out`` asks for a fold for every sample. Equal samples give equal folds.
    """
    groups = _groups(samples)
    fold_of = _fold_groups(groups, n_folds, cover=not all_held_out)
    n_never = sum(len(group.ids) for group, fold in zip(groups, fold_of, strict=True) if not fold)
    if 2 * n_never > len(samples):
        fold_of = _fold_groups(groups, n_folds, cover=False)
    folds = {i: fold for group, fold in zip(groups, fold_of, strict=True) for i in group.ids}
    return [folds[i] for i in range(len(samples))]


def _fold_groups(groups: Sequence[_Group], n_folds: int, *, cover: bool) -> list[int]:
    """Assign groups to the smallest allowed fold, large groups first."""
    n_having = Counter(symbol for group in groups for symbol in group.symbols)
    held_out = [Counter[str]() for _ in range(n_folds)]
    sizes = [0] * n_folds
    fold_of = [0] * len(groups)
    order = np.random.default_rng(0).permutation(len(groups))
    for i in sorted(map(int, order), key=lambda i: -len(groups[i].ids)):
        symbols = groups[i].symbols
        for fold in sorted(range(n_folds), key=lambda fold: sizes[fold]):
            if not cover or all(held_out[fold][s] + 1 < n_having[s] for s in symbols):
                held_out[fold].update(symbols)
                sizes[fold] += len(groups[i].ids)
                fold_of[i] = fold + 1
                break
    return fold_of


def write_splits(samples: Sequence[Sample], path: Path) -> None:
    """Write the splits and groups of samples atomically.

    Raises:
        DataError: The file cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(
        (spreadsheet_cell(_key(s.name)), s.split or "", spreadsheet_cell(_key(s.group or "")))
        for s in samples
    )
    try:
        write_text_file(path, text.getvalue())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None


def _key(name: str) -> str:
    """Return a name or group in writable form, as it may contain lone surrogates."""
    return name.encode(errors="backslashreplace").decode().replace("\r", "\\r")


def apply_splits(samples: Sequence[Sample], path: Path) -> list[Sample]:
    """Return the samples with the splits and groups of a file, without those it skips.

    Args:
        samples: Samples of the dataset that the file describes.
        path: Path of a CSV file. Samples with an empty split are skipped. The column group is
            optional and other names are ignored.

    Raises:
        DataError: The file cannot be read or lacks a sample.
    """
    rows = {
        plain_cell(row["name"] or ""): (
            read_split(row["split"], f"{path}: line {line}"),
            plain_cell(row.get("group") or ""),
        )
        for line, row in read_rows(path, ("name", "split"))
    }
    missing = [s.name for s in samples if _key(s.name) not in rows]
    if missing:
        raise DataError(
            f"{path} does not name {len(missing)} of {len(samples)} samples, first "
            f"{quoted(missing[0])}; write it again with 'ocrsearch data split', or add them with "
            "an empty split to skip them",
            "splits",
        )
    found = [(s, *rows[_key(s.name)]) for s in samples]
    return [replace(s, split=split, group=group or s.group) for s, split, group in found if split]


def is_splits_file(path: Path) -> bool:
    """Return whether a file is a table with the columns of a split file."""
    try:
        return bool(read_rows(path, ("name", "split")))
    except DataError:
        return False
