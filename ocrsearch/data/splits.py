"""Splits: given by a dataset or a file, or drawn 80/10/10 from a seed.

Splits: those that a data set gives, those of a file, or 80/10/10 by seed.

What belongs together stays together: a split is drawn by whole groups, of a writer, a form, a
letter; a sample without a group is one of its own. A symbol that only one group has must be
learned to be read: such groups are drawn for no other split than training, unless there are so
many of them that a split would have less than half of its samples.

Files that say the split of each sample: a table with columns ``name``, ``split``, ``group``.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
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
"""Of fewer, none is held out."""

GroupKey = tuple[bool, str]


@dataclass(frozen=True)
class _Group:
    """The indices of samples that stay together, and the symbols of their labels."""

    ids: list[int]
    symbols: set[str]


def group_key(sample: Sample) -> GroupKey:
    """Return what samples that stay together have in common: their group, or else their name."""
    return sample.group is not None, sample.name if sample.group is None else sample.group


def group_by_pattern(samples: Sequence[Sample], pattern: str) -> list[Sample]:
    """Return the samples with the groups that a pattern finds in their names.

    Args:
        samples: in any order, which is kept.
        pattern: a regular expression; its first parenthesis, or else all that it finds.

    Raises:
        DataError: it finds nothing in some name.
        OptionError: it takes too long.
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
    """Return the samples, in their order, each with its split.

    Args:
        samples: either none has a split, or all have.
        seed: of the draw; the same samples and seed give the same splits.
        keep_symbols: whether the training split must have all symbols, even if hardly anything is
            left for the others.

    Returns:
        If no split was given, about 80 % train, 10 % val, 10 % test. If train but no val was
        given, a tenth of train becomes val. Otherwise the splits as given.

    Raises:
        DataError: some samples have a split and others not.
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


def cover_symbols(
    samples: Sequence[Sample], given: Sequence[Sample], usable: Callable[[Sample], bool]
) -> list[Sample]:
    """Move held-out groups to the training split if it has no usable sample of their symbols.

    A split of which most would be moved stays as it is.

    Args:
        samples: with their splits.
        given: the same ones as ``assign_splits`` got them; what it did not draw stays.
        usable: whether a sample can be trained on; asked of few.
    """
    drawn = [
        s
        for s, before in zip(samples, given, strict=True)
        if s.split != "train" and s.split != before.split
    ]
    wanted = set().union(*(s.text for s in drawn))
    known: set[str] = set()
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
    """Return the samples without part of the training split.

    Args:
        samples: with their splits.
        share: of the training split that is kept, over 0 to 1; a smaller one is part of a larger.
        seed: of the draw.
        usable: whether a sample can be trained on; asked of few.

    Returns:
        The share, and those training samples more whose symbols it would lack.
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
    """Samples with a symbol that no other sample, or none of another group, has.

    Attributes:
        n: these samples.
        n_train: how many of them are in the training split, where the symbol can be learned.
        n_all: all samples.
        n_symbols: symbols that only one sample or group has.
    """

    n: int
    n_train: int
    n_all: int
    n_symbols: int

    def describe(self) -> str:
        """Return what that means for the splits, in one line; empty if there are none."""
        if not self.n:
            return ""
        found = (
            f"{self.n} of {self.n_all} samples have a character that no other sample or group has "
            f"({self.n_symbols} such characters)"
        )
        if self.n_train == self.n:
            return (
                f"{found}; all are in the training split, so that it can be learned: validation "
                "and test are somewhat easier than all of the data"
            )
        n_out = self.n - self.n_train
        return f"{found}; {n_out} are in validation or test, where it cannot be read"


def count_rare(samples: Sequence[Sample]) -> RareSymbols:
    """Count samples, each with its split, of which a symbol stands in no other one or group."""
    n_having = Counter(symbol for group in _groups(samples) for symbol in group.symbols)
    single = {symbol for symbol, n in n_having.items() if n == 1}
    rare = [sample for sample in samples if not single.isdisjoint(sample.text)]
    n_train = sum(sample.split == "train" for sample in rare)
    return RareSymbols(len(rare), n_train, len(samples), len(single))


def by_split(samples: Sequence[Sample]) -> dict[Split, list[Sample]]:
    """Return the samples of each split, in their order."""
    return {split: [s for s in samples if s.split == split] for split in SPLITS}


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
    for split, share, n_after in plan:  # groups that the splits after it need at the least
        if not share or len(groups) < MIN_GROUPS:
            continue
        n_wanted = max(1, round(len(samples) * share))
        n_most = len(order) - n_after
        taken = _take(groups, order, n_wanted, n_most, n_having)
        if not keep_symbols and 2 * _size(groups, taken) < n_wanted:
            taken |= _take_more(groups, order, n_wanted, n_most, taken)
            n_having = Counter(
                symbol for i in order if i not in taken for symbol in groups[i].symbols
            )
        order = [i for i in order if i not in taken]
        held_out.update((i, split) for g in taken for i in groups[g].ids)
    return [replace(s, split=held_out.get(i, "train")) for i, s in enumerate(samples)]


def draw_folds(samples: Sequence[Sample], n_folds: int) -> list[int]:
    """Return the fold of each sample, from 1; 0 for those that are in training in every fold.

    Groups are not split, and each fold gets about the same number of samples. A symbol is never
    held out with all of its groups at once, unless that would keep more than half of the samples
    from validation. The same samples give the same folds.
    """
    groups = _groups(samples)
    fold_of = _fold_groups(groups, n_folds, cover=True)
    if 2 * _size(groups, (i for i, fold in enumerate(fold_of) if not fold)) > len(samples):
        fold_of = _fold_groups(groups, n_folds, cover=False)
    folds = {i: fold for group, fold in zip(groups, fold_of, strict=True) for i in group.ids}
    return [folds[i] for i in range(len(samples))]


def _fold_groups(groups: Sequence[_Group], n_folds: int, *, cover: bool) -> list[int]:
    """Return the fold of each group: the smallest fold that it may go to, large groups first."""
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


def _groups(samples: Sequence[Sample]) -> list[_Group]:
    groups: dict[GroupKey, _Group] = {}
    for i, sample in enumerate(samples):
        group = groups.setdefault(group_key(sample), _Group([], set()))
        group.ids.append(i)
        group.symbols.update(sample.text)
    return list(groups.values())


def _take(
    groups: Sequence[_Group],
    order: Sequence[int],
    n_wanted: int,
    n_most: int,
    n_having: Counter[str],
) -> set[int]:
    """Take groups in an order, as near to a number of samples as they allow, but at least one.

    Args:
        groups: all of them.
        order: numbers of those that are left.
        n_wanted: samples.
        n_most: groups.
        n_having: of each symbol, the groups left that have it; it never falls below one.
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
    if not taken:  # each is far larger than what is wanted
        free = filter(others_have, order)
        taken.update(sorted(free, key=lambda i: len(groups[i].ids))[:1])
        n_having.subtract(symbol for i in taken for symbol in groups[i].symbols)
    return taken


def _take_more(
    groups: Sequence[_Group], order: Sequence[int], n_wanted: int, n_most: int, taken: set[int]
) -> set[int]:
    """Take groups as ``_take`` does beside those taken, whatever symbols they alone have."""
    more: set[int] = set()
    n = _size(groups, taken)
    for i in order:
        size = len(groups[i].ids)
        fits = size <= 2 * (n_wanted - n) and len(taken) + len(more) < n_most
        if fits and i not in taken:
            more.add(i)
            n += size
    if not taken and not more:
        more.update(sorted(order, key=lambda i: len(groups[i].ids))[:1])
    return more


def _size(groups: Sequence[_Group], numbers: Iterable[int]) -> int:
    """Return how many samples some groups have."""
    return sum(len(groups[i].ids) for i in numbers)


COLUMNS = ("name", "split", "group")


def write_splits(samples: Sequence[Sample], path: Path) -> None:
    """Write the splits and groups of samples; the file appears whole or not at all.

    Raises:
        DataError: it cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows((_cell(s.name), s.split or "", _cell(s.group or "")) for s in samples)
    try:
        write_text_file(path, text.getvalue())
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None


def apply_splits(samples: Sequence[Sample], path: Path) -> list[Sample]:
    """Return the samples with the splits and groups of a file, without those it leaves out.

    Args:
        samples: of the data that the file is about.
        path: a table with commas; a sample with an empty split is left out. The column group
            may be missing, and what else it names is not looked at.

    Raises:
        DataError: the file cannot be read, or does not name a sample.
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
            f"{quoted(missing[0])}; write it anew with 'ocrsearch data split', or add them with an "
            "empty split to leave them out",
            "splits",
        )
    found = [(s, *rows[_key(s.name)]) for s in samples]
    return [replace(s, split=split, group=group or s.group) for s, split, group in found if split]


def is_splits_file(path: Path) -> bool:
    """Whether a file is a table with the columns that splits need."""
    try:
        return bool(read_rows(path, ("name", "split")))
    except DataError:
        return False


def _key(name: str) -> str:
    """Return a name, or a group found in one, as it can be written: it need not be Unicode."""
    return name.encode(errors="backslashreplace").decode().replace("\r", "\\r")


def _cell(name: str) -> str:
    return spreadsheet_cell(_key(name))
