"""Folds: every sample is validated once, groups and rare characters stay together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrsearch.core.errors import SpaceError
from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import Dataset
from ocrsearch.data.prepared import (
    count_folds,
    fold_dataset,
    open_dataset,
    save_dataset,
    without_validation,
)
from ocrsearch.data.samples import LabelledImages, PackedImages, Sample
from ocrsearch.data.splits import draw_folds


def part(texts: Sequence[str], first: int = 0, groups: Sequence[str | None] = ()) -> LabelledImages:
    """Return samples whose images are as grey as their number, named by it."""
    numbers = range(first, first + len(texts))
    images = [np.full((2, 3), number % 256, np.uint8) for number in numbers]
    return LabelledImages(
        [str(i) for i in numbers], list(texts), PackedImages.pack(images), groups=groups
    )


def dataset(n_train: int, n_val: int, text: str = "ab", n_added: int = 0) -> Dataset:
    train = replace(part([text] * n_train), n_added=n_added)
    splits = {"train": train, "val": part([text] * n_val, n_train), "test": part([text], 900)}
    return Dataset("made", splits, Charset.from_texts([text]), "f", [])  # type: ignore[arg-type]


def samples(texts: Sequence[str], groups: Sequence[str | None] | None = None) -> list[Sample]:
    return [
        Sample(str(i), Path(str(i)), text, group=groups[i] if groups else None)
        for i, text in enumerate(texts)
    ]


def test_each_sample_is_validated_once_and_trained_on_otherwise() -> None:
    whole = dataset(20, 5)
    seen: list[str] = []
    for fold in range(1, 6):
        splits = fold_dataset(whole, 5, fold).splits
        assert len(splits["val"]) == 5
        assert sorted([*splits["train"].names, *splits["val"].names], key=int) == [
            str(i) for i in range(25)
        ]
        for split in ("train", "val"):
            images = splits[split].images  # type: ignore[index]
            assert [str(image[0, 0]) for image in images] == splits[split].names  # type: ignore[index]
        assert splits["test"].names == ["900"]
        seen += splits["val"].names
    assert sorted(seen, key=int) == [str(i) for i in range(25)]


def test_one_fold_is_the_dataset_itself() -> None:
    whole = dataset(20, 5)
    assert fold_dataset(whole, 1, 1) is whole


def test_added_samples_are_never_validated() -> None:
    whole = dataset(24, 6, n_added=4)
    for fold in (1, 2, 3):
        splits = fold_dataset(whole, 3, fold).splits
        assert splits["train"].names[-4:] == ["20", "21", "22", "23"]
        assert splits["train"].n_added == 4
    pooled = without_validation(whole).splits
    assert (len(pooled["train"]), pooled["train"].n_added, len(pooled["val"])) == (30, 4, 0)
    assert pooled["train"].names[-4:] == ["20", "21", "22", "23"]


@pytest.mark.parametrize(
    ("n_train", "n_val", "expected"),
    [(40, 5, 5), (36, 4, 5), (35, 4, 4), (21, 3, 3), (20, 3, 1), (270, 30, 5), (271, 30, 1)],
)
def test_the_number_of_folds_follows_from_that_of_samples(
    n_train: int, n_val: int, expected: int
) -> None:
    assert count_folds(dataset(n_train, n_val), None) == expected


def test_added_samples_do_not_count() -> None:
    assert count_folds(dataset(1040, 5, n_added=1000), None) == 5


def test_new_images_in_each_epoch_have_no_folds() -> None:
    fresh = replace(dataset(40, 5), fresh={"kind": "text"})
    assert count_folds(fresh, None) == 1
    with pytest.raises(SpaceError, match="new images in each epoch"):
        count_folds(fresh, 5)


def test_the_number_wanted_is_taken_or_refused() -> None:
    assert count_folds(dataset(900, 100), 4) == 4
    assert count_folds(dataset(900, 100), 1) == 1
    with pytest.raises(SpaceError, match="found 7, but 6 training and validation samples"):
        count_folds(dataset(5, 1), 7)


def test_few_large_groups_have_fewer_folds_or_none() -> None:
    def grouped(n_groups: int) -> Dataset:
        whole = dataset(50, 10)
        train = replace(whole.splits["train"], groups=[f"w{i % n_groups}" for i in range(50)])
        val = replace(whole.splits["val"], groups=[f"w{i % n_groups}" for i in range(10)])
        return replace(whole, splits={**whole.splits, "train": train, "val": val})

    assert count_folds(grouped(4), None) == 4
    assert count_folds(grouped(2), None) == 1
    folds = [fold_dataset(grouped(4), 4, fold).splits for fold in range(1, 5)]
    for splits in folds:
        assert not set(splits["val"].groups) & set(splits["train"].groups)


def test_groups_travel_with_the_files(tmp_path: Path) -> None:
    whole = dataset(20, 5)
    train = replace(whole.splits["train"], groups=["a", None] * 10)
    whole = replace(whole, splits={**whole.splits, "train": train})
    save_dataset(whole, tmp_path / "data")
    opened = open_dataset(tmp_path / "data")
    for fold in (1, 2):
        names = [fold_dataset(d, 2, fold).splits["val"].names for d in (whole, opened)]
        assert names[0] == names[1]


def test_a_character_of_one_sample_stays_in_training() -> None:
    folds = draw_folds(samples(["ab"] * 11 + ["abx"]), 3)
    assert folds[-1] == 0
    assert sorted(Counter(folds[:-1]).items()) == [(1, 4), (2, 4), (3, 3)]


def test_a_character_of_two_samples_is_learned_in_every_fold() -> None:
    folds = draw_folds(samples(["abx"] * 2 + ["ab"] * 10), 3)
    assert folds[0] != folds[1]
    assert 0 not in folds


def test_if_nearly_all_are_rare_they_are_validated_nevertheless() -> None:
    folds = draw_folds(samples([chr(200 + i) for i in range(12)]), 3)
    assert Counter(folds) == {1: 4, 2: 4, 3: 4}


@given(st.lists(st.sampled_from(["ab", "bc", "cd", "x", "yz"]), min_size=3, max_size=40))
def test_no_fold_holds_out_all_of_a_character(texts: list[str]) -> None:
    folds = draw_folds(samples(texts), 3)
    rare = sum(folds[i] == 0 for i in range(len(texts)))
    assert 2 * rare <= len(texts)
    assert draw_folds(samples(texts), 3) == folds
    n_having = Counter(symbol for text in texts for symbol in set(text))
    forced = any(n_having[s] == 1 and fold for t, fold in zip(texts, folds, strict=True) for s in t)
    for fold in (1, 2, 3):
        trained = {s for t, f in zip(texts, folds, strict=True) if f != fold for s in t}
        held_out = {s for t, f in zip(texts, folds, strict=True) if f == fold for s in t}
        assert forced or held_out <= trained
