"""Splits drawn and given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrsearch.data.samples import SPLITS, Sample, Split
from ocrsearch.data.splits import assign_splits, by_split
from ocrsearch.errors import DataError

ALPHABET = "abcdefghij"


def samples_of(texts: Sequence[str], split: Split | None = None) -> list[Sample]:
    """Return samples that are told apart by their names."""
    return [Sample(f"{i}", Path(f"{i}.png"), text, split) for i, text in enumerate(texts)]


def sizes(samples: Sequence[Sample]) -> tuple[int, ...]:
    """Return the sizes of train, val and test."""
    return tuple(len(part) for part in by_split(samples).values())


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (0, (0, 0, 0)),
        (1, (1, 0, 0)),
        (2, (2, 0, 0)),
        (3, (1, 1, 1)),
        (10, (8, 1, 1)),
        (100, (80, 10, 10)),
        (1234, (988, 123, 123)),
    ],
)
def test_drawn_splits_are_80_10_10(n: int, expected: tuple[int, ...]) -> None:
    assert sizes(assign_splits(samples_of(["a"] * n), seed=0)) == expected


@given(n=st.integers(0, 80), seed=st.integers(0, 2**32))
def test_drawn_splits_are_disjoint_and_cover_all(n: int, seed: int) -> None:
    samples = samples_of([ALPHABET] * n)

    parts = by_split(assign_splits(samples, seed))

    names = Counter(sample.name for part in parts.values() for sample in part)
    assert names == Counter(sample.name for sample in samples)


@given(seed=st.integers(0, 2**32))
def test_same_seed_gives_the_same_splits(seed: int) -> None:
    samples = samples_of([ALPHABET] * 50)

    assert assign_splits(samples, seed) == assign_splits(samples, seed)


def test_another_seed_gives_other_splits() -> None:
    samples = samples_of([ALPHABET] * 50)

    assert assign_splits(samples, 0) != assign_splits(samples, 1)


def test_order_and_content_of_the_samples_are_kept() -> None:
    samples = samples_of(["a", "b", "ab"] * 10)

    assigned = assign_splits(samples, 0)

    assert [(s.name, s.image, s.text) for s in assigned] == [
        (s.name, s.image, s.text) for s in samples
    ]


@pytest.mark.parametrize("seed", range(30))
def test_symbol_of_one_sample_is_trained_on(seed: int) -> None:
    samples = samples_of(["ab"] * 19 + ["az"])

    assert assign_splits(samples, seed)[-1].split == "train"


@given(
    texts=st.lists(st.text(ALPHABET, max_size=4), max_size=30),
    seed=st.integers(0, 1000),
)
def test_training_split_has_all_symbols(texts: list[str], seed: int) -> None:
    train = by_split(assign_splits(samples_of(texts), seed))["train"]

    assert set().union(*(s.text for s in train)) == set().union(*texts)


def test_given_splits_are_kept() -> None:
    samples = [*samples_of("ab", "train"), *samples_of("c", "val"), *samples_of("d", "test")]

    assert assign_splits(samples, 0) == samples


@pytest.mark.parametrize(("n", "expected"), [(1, (1, 0, 2)), (3, (2, 1, 2)), (20, (18, 2, 2))])
def test_val_is_drawn_from_train_where_it_is_missing(n: int, expected: tuple[int, ...]) -> None:
    samples = [*samples_of(["a"] * n, "train"), *samples_of("ab", "test")]

    assigned = assign_splits(samples, 0)

    assert sizes(assigned) == expected
    assert [s.split for s in assigned[n:]] == ["test", "test"]


def test_split_given_for_some_only_is_refused() -> None:
    samples = [*samples_of("ab", "train"), Sample("odd one", Path("c.png"), "c")]
    with pytest.raises(DataError, match="odd one: has no split"):
        assign_splits(samples, 0)


def test_by_split_has_all_splits() -> None:
    assert by_split([]) == {split: [] for split in SPLITS}
