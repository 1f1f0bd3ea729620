"""Epochs: the same lines each time, or new ones that only seed, epoch and index decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ocrsearch.config import ImageConfig
from ocrsearch.data.dataset import Dataset, load_dataset, open_dataset, save_dataset
from ocrsearch.data.epochs import Epochs, training_epochs
from ocrsearch.data.lines import Line, scaled_lines
from ocrsearch.data.options import DataOptions
from ocrsearch.errors import DataError, OptionError

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


# --- beside labelled ones ---------------------------------------------------------------------


@pytest.fixture
def mixed(number_folder: Path, tmp_path: Path) -> Callable[[str], Dataset]:
    """Labelled pictures with a recipe's beside them."""

    def load(recipe: str) -> Dataset:
        path = tmp_path / "recipe.yaml"
        path.write_text(recipe)
        return load_dataset(str(number_folder), DataOptions(synthetic=str(path)))

    return load


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_all_labelled_lines_and_new_ones_are_in_each_epoch(
    size: int, mixed: Callable[[str], Dataset]
) -> None:
    dataset = mixed("{kind: digits, max_length: 3}")
    labelled = scaled_lines(dataset.splits["train"], dataset.charset, IMAGES)
    own = Counter(line.image.tobytes() for line in labelled)
    epochs = training_epochs(dataset, IMAGES)

    drawn = [lines_of(epochs, epoch, size) for epoch in (0, 1)]

    assert len(epochs) == 2 * len(labelled)
    made = [Counter(line.image.tobytes() for line in lines) - own for lines in drawn]
    for lines, others in zip(drawn, made, strict=True):
        assert len(lines) == len(epochs)
        assert others.total() == len(labelled)
    assert not made[0] & made[1]
    assert are_equal(lines_of(epochs, 1, size), drawn[1])


def test_each_part_has_its_share_of_both(mixed: Callable[[str], Dataset]) -> None:
    dataset = mixed("{kind: digits, max_length: 3, counts: {train: 60}}")
    n, size = len(dataset.splits["train"]), 8
    own = {
        line.image.tobytes()
        for line in scaled_lines(dataset.splits["train"], dataset.charset, IMAGES)
    }
    parts = list(training_epochs(dataset, IMAGES).parts(0, size))
    assert sum(map(len, parts)) == n + 60
    for part in parts[:-1]:
        assert abs(len(part) - size) <= 2
        n_own = sum(line.image.tobytes() in own for line in part)
        assert abs(n_own / len(part) - n / (n + 60)) < 0.25


def test_what_is_added_changes_training_alone(
    number_folder: Path, mixed: Callable[[str], Dataset], tmp_path: Path
) -> None:
    plain = load_dataset(str(number_folder))
    dataset = mixed("{kind: digits, max_length: 3}")
    assert {s: part.texts for s, part in dataset.splits.items()} == {
        s: part.texts for s, part in plain.splits.items()
    }
    assert set(dataset.charset.symbols) == set(plain.charset.symbols) | set("0123456789")
    assert dataset.fingerprint != plain.fingerprint
    assert dataset.fingerprint != mixed("{kind: digits, max_length: 4}").fingerprint
    save_dataset(dataset, tmp_path / "saved")
    assert open_dataset(tmp_path / "saved").added == dataset.added


def test_a_recipe_is_not_added_to_a_recipe(fresh: Dataset) -> None:
    path = fresh.spec.removeprefix("synth:")
    with pytest.raises(OptionError, match=r"--synthetic .*: synth:.* draws all its pictures"):
        load_dataset(fresh.spec, DataOptions(synthetic=path))


def test_a_recipe_that_is_missing_is_said(number_folder: Path) -> None:
    with pytest.raises(DataError, match=r"none\.yaml: no such file"):
        load_dataset(str(number_folder), DataOptions(synthetic="none.yaml"))
