"""The built-in strings of digits."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from ocrsearch.data.dataset import Dataset, load_dataset
from ocrsearch.data.digits import (
    CANVAS_HEIGHT,
    MAX_LENGTH,
    N_STRINGS,
    SourceDigits,
    compose,
    make_digits,
    split_sources,
)
from ocrsearch.data.samples import SPLITS, Sample, Split


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return make_digits()


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


def test_pictures_and_labels(samples: list[Sample]) -> None:
    assert len({sample.name for sample in samples}) == len(samples)
    assert {len(sample.text) for sample in samples} == set(range(1, MAX_LENGTH + 1))
    assert Counter(sample.split for sample in samples) == N_STRINGS
    for sample in samples:
        assert isinstance(sample.image, np.ndarray)
        assert sample.image.dtype == np.uint8
        assert sample.image.shape[0] == CANVAS_HEIGHT
        assert sample.image.std() > 1


def test_label_names_the_digits_drawn() -> None:
    ink = np.zeros((2, 8, 8), np.float32)
    ink[0, :, 3:5] = 1
    ink[1, 2:6, 1:7] = 1
    rng = np.random.default_rng(0)

    drawn = [compose(SourceDigits(ink[:1], ["1"]), rng) for _ in range(20)]

    assert {text for _, text in drawn} <= {"1" * n for n in range(1, MAX_LENGTH + 1)}
    widths = {len(text): image.shape[1] for image, text in drawn}
    assert widths[max(widths)] > widths[min(widths)]
