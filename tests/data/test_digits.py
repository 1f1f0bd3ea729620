"""The built-in strings of digits."""

from __future__ import annotations

import numpy as np
import pytest

from ocrsearch.data.dataset import Dataset, load_dataset
from ocrsearch.data.digits import (
    CANVAS_HEIGHT,
    MAX_LENGTH,
    N_STRINGS,
    SourceDigits,
    compose,
    split_sources,
)
from ocrsearch.data.samples import SPLITS, Split


@pytest.fixture(scope="module")
def sources() -> dict[Split, SourceDigits]:
    return split_sources()


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("digits")


def test_is_the_same_each_time(dataset: Dataset) -> None:
    assert load_dataset("digits").fingerprint == dataset.fingerprint


def test_dataset_has_the_digits_and_nothing_bad(dataset: Dataset) -> None:
    assert dataset.charset.symbols == tuple("0123456789")
    assert dataset.bad == []
    assert {split: len(part) for split, part in dataset.splits.items()} == N_STRINGS


@pytest.mark.parametrize(("a", "b"), [("train", "val"), ("train", "test"), ("val", "test")])
def test_no_source_digit_is_shared(sources: dict[Split, SourceDigits], a: Split, b: Split) -> None:
    rows = {split: {row.tobytes() for row in sources[split].ink} for split in SPLITS}

    assert rows[a].isdisjoint(rows[b])


def test_all_source_digits_are_used(sources: dict[Split, SourceDigits]) -> None:
    assert [len(sources[split].ink) for split in SPLITS] == [1438, 179, 180]
    assert [len(sources[split].symbols) for split in SPLITS] == [1438, 179, 180]


@pytest.mark.parametrize("split", SPLITS)
def test_pictures_and_labels(dataset: Dataset, split: Split) -> None:
    part = dataset.splits[split]

    assert len(set(part.names)) == len(part)
    assert all(name.startswith(f"digits/{split}/") for name in part.names)
    assert {len(text) for text in part.texts} == set(range(1, MAX_LENGTH + 1))
    for image in part.images:
        assert image.dtype == np.uint8
        assert image.shape[0] == CANVAS_HEIGHT
        assert image.std() > 1


def test_label_names_the_digits_drawn() -> None:
    ink = np.zeros((2, 8, 8), np.float32)
    ink[0, :, 3:5] = 1
    ink[1, 2:6, 1:7] = 1
    rng = np.random.default_rng(0)

    drawn = [compose(SourceDigits(ink[:1], ["1"]), rng) for _ in range(20)]

    assert {text for _, text in drawn} <= {"1" * n for n in range(1, MAX_LENGTH + 1)}
    widths = {len(text): image.shape[1] for image, text in drawn}
    assert widths[max(widths)] > widths[min(widths)]
