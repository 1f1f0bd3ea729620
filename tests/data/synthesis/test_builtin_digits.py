"""The built-in strings of digits."""

from __future__ import annotations

import numpy as np
import pytest

from ocrsearch.data.dataset import Dataset, load_dataset
from ocrsearch.data.samples import SPLITS, Split
from ocrsearch.data.synthesis.digits import RECIPE, Glyphs, sklearn_glyphs


@pytest.fixture(scope="module")
def glyphs() -> dict[Split, Glyphs]:
    return sklearn_glyphs(RECIPE.seed)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits")


def test_is_the_same_each_time(dataset: Dataset) -> None:
    assert load_dataset("digits").fingerprint == dataset.fingerprint


def test_dataset_has_the_digits_and_nothing_bad(dataset: Dataset) -> None:
    assert dataset.charset.symbols == tuple("0123456789")
    assert dataset.bad == []
    sizes = {split: len(part) for split, part in dataset.splits.items()}
    assert sizes == {"train": 1500, "val": 300, "test": 500}


@pytest.mark.parametrize(("a", "b"), [("train", "val"), ("train", "test"), ("val", "test")])
def test_no_source_digit_is_shared(glyphs: dict[Split, Glyphs], a: Split, b: Split) -> None:
    ink = {split: {ink.tobytes() for ink in glyphs[split].ink} for split in SPLITS}

    assert ink[a].isdisjoint(ink[b])


def test_all_source_digits_are_used(glyphs: dict[Split, Glyphs]) -> None:
    assert [len(glyphs[split].ink) for split in SPLITS] == [1437, 180, 180]
    for split in SPLITS:
        assert list(glyphs[split].by_symbol) == list("0123456789")


@pytest.mark.parametrize("split", SPLITS)
def test_pictures_and_labels(dataset: Dataset, split: Split) -> None:
    part = dataset.splits[split]

    assert len(set(part.names)) == len(part)
    assert all(name.startswith(f"{split}/") for name in part.names)
    assert {len(text) for text in part.texts} == set(range(1, 9))
    for image in part.images:
        assert image.dtype == np.uint8
        assert image.shape[0] == 40
        assert image.std() > 1
