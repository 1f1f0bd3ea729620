"""Epochs: the same lines each time, or new ones that only seed, epoch and index decide."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ocrsearch.core.config import ImageConfig
from ocrsearch.data.batches import Epochs, training_epochs
from ocrsearch.data.dataset import Dataset, load_dataset
from ocrsearch.data.images.lines import Line, scaled_lines

IMAGES = ImageConfig(height=24)
N = 25


@pytest.fixture
def fresh(tmp_path: Path) -> Dataset:
    path = tmp_path / "recipe.yaml"
    path.write_text(f"{{kind: digits, max_length: 3, counts: {{train: {N}, val: 2, test: 0}}}}")
    return load_dataset(f"synth:{path}")


def lines_of(epochs: Epochs, epoch: int, size: int = 8) -> list[Line]:
    return [line for part in epochs.parts(epoch, size) for line in part]


def are_equal(first: list[Line], second: list[Line]) -> bool:
    return all(
        a.target == b.target and np.array_equal(a.image, b.image)
        for a, b in zip(first, second, strict=True)
    )


def test_fixed_lines_are_those_of_the_split(fresh: Dataset) -> None:
    fixed = replace(fresh, fresh=None)
    expected = scaled_lines(fixed.splits["train"], fixed.charset, IMAGES)

    epochs = training_epochs(fixed, IMAGES)

    assert len(epochs) == N
    for epoch in (0, 3):
        assert are_equal(lines_of(epochs, epoch), expected)


def test_epoch_0_is_the_training_split(fresh: Dataset) -> None:
    expected = scaled_lines(fresh.splits["train"], fresh.charset, IMAGES)

    assert are_equal(lines_of(training_epochs(fresh, IMAGES), 0), expected)


def test_each_epoch_has_other_lines_of_the_same_symbols(fresh: Dataset) -> None:
    epochs = training_epochs(fresh, IMAGES)
    assert len(epochs) == N

    drawn = [lines_of(epochs, epoch) for epoch in range(4)]

    assert {len(lines) for lines in drawn} == {N}
    seen = {line.image.tobytes() for lines in drawn for line in lines}
    assert len(seen) == 4 * N
    for lines in drawn:
        assert {i for line in lines for i in line.target} == set(range(10))


@pytest.mark.parametrize("size", [1, 7, N, 1000])
def test_parts_and_order_of_epochs_change_nothing(size: int, fresh: Dataset) -> None:
    expected = lines_of(training_epochs(fresh, IMAGES), 2, 8)
    epochs = training_epochs(fresh, IMAGES)
    lines_of(epochs, 5, size)

    parts = list(epochs.parts(2, size))

    assert [len(part) for part in parts[:-1]] == [size] * (len(parts) - 1)
    assert are_equal([line for part in parts for line in part], expected)
