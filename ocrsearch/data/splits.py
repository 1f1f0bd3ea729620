"""Splits: those that a data set gives, or 80/10/10 by seed.

A symbol that only one part of the data has must be learned to be read: samples that hold
a symbol found nowhere else go to the training split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ocrsearch.data.samples import SPLITS, Sample, Split
from ocrsearch.errors import DataError

VAL_SHARE = 0.1
TEST_SHARE = 0.1


def assign_splits(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Return the samples, in their order, each with its split.

    Args:
        samples: either none has a split, or all have.
        seed: of the draw; the same samples and seed give the same splits.

    Returns:
        If no split was given, 80 % train, 10 % val, 10 % test. If train but no val was given,
        a tenth of train becomes val. Otherwise the splits as given.

    Raises:
        DataError: some samples have a split and others not.
    """
    given = {sample.split for sample in samples}
    if given == {None}:
        return _draw(samples, seed, VAL_SHARE, TEST_SHARE)
    if None in given:
        first = next(s.name for s in samples if s.split is None)
        raise DataError(f"{first}: has no split while others have; give all or none a split")
    if "train" in given and "val" not in given:
        train = iter(_draw([s for s in samples if s.split == "train"], seed, VAL_SHARE, 0.0))
        return [next(train) if s.split == "train" else s for s in samples]
    return list(samples)


def by_split(samples: Sequence[Sample]) -> dict[Split, list[Sample]]:
    """Return the samples of each split, in their order."""
    return {split: [s for s in samples if s.split == split] for split in SPLITS}


def _draw(
    samples: Sequence[Sample], seed: int, val_share: float, test_share: float
) -> list[Sample]:
    order = np.random.default_rng(seed).permutation(len(samples))
    n_val = _at_least_one(len(samples), val_share)
    n_test = _at_least_one(len(samples), test_share)
    held_out: dict[int, Split] = {int(i): "test" for i in order[:n_test]}
    held_out |= {int(i): "val" for i in order[n_test : n_test + n_val]}
    known = set().union(*(s.text for i, s in enumerate(samples) if i not in held_out))
    for i in sorted(held_out):
        if not known.issuperset(samples[i].text):
            known.update(samples[i].text)
            del held_out[i]
    return [replace(s, split=held_out.get(i, "train")) for i, s in enumerate(samples)]


def _at_least_one(n: int, share: float) -> int:
    return max(1, round(n * share)) if share and n >= 3 else 0
