"""Splits drawn and given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrsearch.core.errors import DataError
from ocrsearch.data.samples import (
    SPLITS,
    Sample,
    Split,
)
from ocrsearch.data.splits import (
    RareSymbols,
    assign_splits,
    by_split,
    count_rare,
    cover_symbols,
    group_by_pattern,
    group_key,
    take_share,
)

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
    train = by_split(assign_splits(samples_of(texts), seed, keep_symbols=True))["train"]

    assert set().union(*(s.text for s in train)) == set().union(*texts)


def own_symbols(n: int, n_each: int = 3) -> list[str]:
    """Return texts of which each has symbols that no other has."""
    return ["".join(chr(0x4E00 + n_each * i + k) for k in range(n_each)) for i in range(n)]


@pytest.mark.parametrize(
    ("texts", "n_held_out"),
    [
        (own_symbols(100), (10, 10)),
        (own_symbols(10), (1, 1)),
        (own_symbols(3), (1, 1)),
        (own_symbols(2), (0, 0)),
        ([*own_symbols(96), *["a"] * 4], (10, 10)),
        ([*own_symbols(50), *["a"] * 50], (10, 10)),
    ],
)
def test_symbols_of_their_own_starve_no_split(
    texts: list[str], n_held_out: tuple[int, int]
) -> None:
    given = samples_of(texts)
    samples = cover_symbols(assign_splits(given, 0), given, lambda sample: True)
    parts = by_split(samples)

    assert (len(parts["val"]), len(parts["test"])) == n_held_out
    strict = by_split(assign_splits(given, 0, keep_symbols=True))
    assert len(strict["train"]) >= len(parts["train"])


@pytest.mark.parametrize("seed", range(5))
def test_splits_are_drawn_as_ever_where_enough_is_left(seed: int) -> None:
    given = samples_of([*own_symbols(60), *["a"] * 40])

    assert assign_splits(given, seed) == assign_splits(given, seed, keep_symbols=True)


def test_groups_with_symbols_of_their_own_starve_no_split() -> None:
    given = [
        replace(sample, group=f"g{i // 5}") for i, sample in enumerate(samples_of(own_symbols(100)))
    ]
    parts = by_split(assign_splits(given, 0))

    assert {split: len(part) for split, part in parts.items()} == {
        "train": 80,
        "val": 10,
        "test": 10,
    }
    groups = [{s.group for s in part} for part in parts.values()]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 20


@pytest.mark.parametrize(
    ("texts", "splits", "counts"),
    [
        (["a", "a"], ["train", "val"], (0, 0, 2, 0)),
        (["ab", "a", "ac"], ["train", "val", "test"], (2, 1, 3, 2)),
        (["ab", "ab", "xyz"], ["train", "val", "train"], (1, 1, 3, 3)),
        ([], [], (0, 0, 0, 0)),
    ],
)
def test_rare_symbols_are_counted(
    texts: list[str], splits: list[Split], counts: tuple[int, int, int, int]
) -> None:
    samples = [replace(s, split=p) for s, p in zip(samples_of(texts), splits, strict=True)]
    rare = count_rare(samples)

    assert rare == RareSymbols(*counts)
    assert ("slightly easier" in rare.describe()) == (0 < rare.n == rare.n_train)
    assert ("cannot be recognised" in rare.describe()) == (rare.n_train < rare.n)


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


def grouped(sizes_of_groups: Sequence[int], text: str = "a") -> list[Sample]:
    """Return samples of groups of the given sizes, those of a group not side by side."""
    samples = [
        Sample(f"{g}/{i}", Path("x.png"), text, group=f"{g}")
        for g, size in enumerate(sizes_of_groups)
        for i in range(size)
    ]
    return sorted(samples, key=lambda s: s.name.partition("/")[2])


def groups_apart(samples: Sequence[Sample]) -> bool:
    """Whether no group is in two splits."""
    splits = {(group_key(s), s.split) for s in samples}
    return len(splits) == len({key for key, _ in splits})


@given(
    sizes_of_groups=st.lists(st.integers(1, 9), max_size=30),
    seed=st.integers(0, 1000),
)
def test_groups_stay_together(sizes_of_groups: list[int], seed: int) -> None:
    assigned = assign_splits(grouped(sizes_of_groups), seed)

    assert groups_apart(assigned)
    assert all(sizes(assigned)) == (len(sizes_of_groups) >= 3)


@pytest.mark.parametrize(
    ("sizes_of_groups", "expected"),
    [
        ([27] * 80, (1728, 216, 216)),
        ([1] * 100, (80, 10, 10)),
        ([5] * 3, (5, 5, 5)),
        ([50, 50], (100, 0, 0)),
        ([1000, 5, 5], (1000, 5, 5)),
        ([40] * 5, (120, 40, 40)),
    ],
)
def test_sizes_of_splits_by_group(sizes_of_groups: list[int], expected: tuple[int, ...]) -> None:
    assert sizes(assign_splits(grouped(sizes_of_groups), seed=0)) == expected


@given(seed=st.integers(0, 1000))
def test_sizes_by_uneven_groups_are_near_the_target(seed: int) -> None:
    samples = grouped([1, 2, 3, 5, 8, 13] * 10)

    _, n_val, n_test = sizes(assign_splits(samples, seed))

    assert abs(n_val - 32) <= 7
    assert abs(n_test - 32) <= 7


@pytest.mark.parametrize("seed", range(20))
def test_group_with_a_symbol_of_its_own_is_trained_on_whole(seed: int) -> None:
    samples = grouped([4] * 10)
    samples = [replace(s, text="az") if s.name == "7/2" else s for s in samples]

    assigned = assign_splits(samples, seed)

    assert {s.split for s in assigned if s.group == "7"} == {"train"}
    assert sizes(assigned) == (32, 4, 4)


def test_samples_of_one_name_stay_together() -> None:
    samples = [Sample(f"{i % 10}.png", Path("x.png"), "a") for i in range(30)]

    assert groups_apart(assign_splits(samples, 0))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (r"^[^_]+", ["ann", "ann", "bob"]),
        (r"_(\d)", ["1", "2", "1"]),
        (r"(?P<book>\w)\.", ["1", "2", "1"]),
    ],
)
def test_group_by_pattern(pattern: str, expected: list[str]) -> None:
    samples = [Sample(name, Path(name), "x") for name in ("ann_1.png", "ann_2.png", "bob_1.png")]

    assert [s.group for s in group_by_pattern(samples, pattern)] == expected


@pytest.mark.parametrize("pattern", ["ann", "(z)?", "bob_(.*?)"])
def test_pattern_that_misses_a_name_is_refused(pattern: str) -> None:
    samples = [Sample(name, Path(name), "x") for name in ("ann_1.png", "bob_1.png")]
    with pytest.raises(DataError, match=r"finds nothing in [12] of 2 names, first"):
        group_by_pattern(samples, pattern)


def test_symbols_that_no_usable_training_sample_has_are_moved_there() -> None:
    given_ = samples_of(["ab", "az", "az", "z", "ba", "b"])
    splits: list[Split] = ["train", "train", "val", "test", "val", "test"]
    assigned = [replace(s, split=split) for s, split in zip(given_, splits, strict=True)]

    covered = cover_symbols(assigned, given_, lambda s: s.name not in ("1", "2"))

    assert [s.split for s in covered] == ["train", "train", "val", "train", "val", "test"]
    assert cover_symbols(assigned, given_, lambda s: True) == assigned
    assert cover_symbols(assigned, assigned, lambda s: s.name != "1") == assigned


def test_whole_groups_are_moved() -> None:
    given_ = [Sample(f"{i}", Path("x"), text, group=text[-1]) for i, text in enumerate("abzzb")]
    splits: list[Split] = ["train", "val", "val", "val", "val"]
    assigned = [replace(s, split=split) for s, split in zip(given_, splits, strict=True)]
    assigned[1] = replace(assigned[1], text="a")
    assigned[4] = replace(assigned[4], text="a")

    covered = cover_symbols(assigned, given_, lambda s: True)

    assert [s.split for s in covered] == ["train", "val", "train", "train", "val"]


def test_few_samples_are_looked_at() -> None:
    given_ = samples_of([ALPHABET] * 500)
    assigned = assign_splits(given_, 0)
    asked: list[Sample] = []

    cover_symbols(assigned, given_, lambda s: bool(asked.append(s)) or True)

    assert len(asked) == 1


@pytest.mark.parametrize(("share", "n"), [(1.0, 80), (0.5, 40), (0.1, 8), (0.001, 1), (0.02, 2)])
def test_share_of_the_training_split(share: float, n: int) -> None:
    samples = assign_splits(samples_of(["a"] * 100), 0)

    kept = take_share(samples, share, 0, lambda s: True)

    assert sizes(kept) == (n, 10, 10)
    assert [s for s in kept if s.split != "train"] == [s for s in samples if s.split != "train"]
    assert kept == [s for s in samples if s in kept]


@given(seed=st.integers(0, 100))
def test_smaller_share_is_part_of_a_larger_one(seed: int) -> None:
    samples = assign_splits(samples_of(["a", "b", "c", "d"] * 20), 0)

    shares = [take_share(samples, share, seed, lambda s: True) for share in (0.05, 0.2, 0.6)]

    names = [{s.name for s in share} for share in shares]
    assert names[0] < names[1] < names[2]


def test_share_has_all_symbols_of_usable_samples() -> None:
    samples = samples_of(["ab"] * 50 + ["x", "x", "y"], "train")

    kept = take_share(samples, 0.02, 3, lambda s: s.name != "50")

    assert {s.text for s in kept} >= {"ab", "y"}
    assert "51" in {s.name for s in kept}
    assert len(kept) <= 4


def test_by_split_has_all_splits() -> None:
    assert by_split([]) == {split: [] for split in SPLITS}


@pytest.mark.parametrize("seed", range(2))
def test_a_large_charset_with_a_long_tail_is_in_training_whole(seed: int) -> None:
    """3,000 characters as frequent as words are (Zipf); many stand in one sample alone."""
    rng = np.random.default_rng(seed)
    shares = 1.0 / np.arange(1, 3001)
    drawn = rng.choice(3000, (2000, 10), p=shares / shares.sum())
    samples = samples_of(["".join(chr(0x4E00 + i) for i in row) for row in drawn])
    split = cover_symbols(assign_splits(samples, seed), samples, lambda _: True)
    symbols = {part: set("".join(s.text for s in of)) for part, of in by_split(split).items()}
    assert symbols["val"] | symbols["test"] <= symbols["train"]
    assert sizes(split) == (1600, 200, 200)
    rare = count_rare(split)
    assert rare.n == rare.n_train > 100


def test_ten_thousand_characters_of_one_sample_each() -> None:
    samples = samples_of([chr(0x20000 + i) for i in range(10_000)])
    split = cover_symbols(assign_splits(samples, 0), samples, lambda _: True)
    assert sizes(split) == (8000, 1000, 1000)
    assert (
        count_rare(split)
        .describe()
        .endswith("2000 are in validation or test and cannot be recognised")
    )
