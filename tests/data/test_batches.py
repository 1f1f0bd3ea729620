"""Batches: padding, order, and that each line comes once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ocrsearch.core.config import FRAME_STRIDE, AugmentConfig
from ocrsearch.data.batches import Batch, collate, training_batches
from ocrsearch.data.images.lines import Line
from ocrsearch.data.padding import BUCKET_PX, standardize, width_sorted_batches

HEIGHT = 16


def lines_of(widths: Sequence[int]) -> list[Line]:
    """Return noisy lines of the given widths, each with its index as the label."""
    rng = np.random.default_rng(0)
    return [
        Line(rng.integers(0, 256, (HEIGHT, width), dtype=np.uint8), (i,))
        for i, width in enumerate(widths)
    ]


def epoch(
    lines: Sequence[Line], batch_size: int, seed: int, strength: float = 0.0, join: float = 0.0
) -> list[Batch]:
    """Return one epoch from a seed."""
    config = AugmentConfig(strength=strength, concat=join)
    return list(training_batches(lines, batch_size, config, np.random.default_rng(seed)))


@pytest.mark.parametrize("widths", [[4], [16], [17], [8, 16], [4, 48, 100], [20] * 5, [4096, 4]])
def test_padding_is_zero_and_to_a_multiple_where_widths_differ(widths: list[int]) -> None:
    lines = lines_of(widths)

    batch = collate([line.image for line in lines], [line.target for line in lines])

    assert batch.images.shape[:3] == (len(widths), 1, HEIGHT)
    assert batch.images.dtype == torch.float32
    assert batch.widths.tolist() == widths
    n_padded = batch.images.shape[3] - max(widths)
    if len(set(widths)) == 1:
        assert n_padded == 0
    else:
        assert batch.images.shape[3] % BUCKET_PX == 0
        assert 0 <= n_padded < BUCKET_PX
    for row, line, width in zip(batch.images, lines, widths, strict=True):
        assert row[..., width:].abs().sum() == 0
        np.testing.assert_array_equal(row[0, :, :width].numpy(), standardize(line.image))


def test_labels_are_padded_with_zero() -> None:
    images = [np.zeros((HEIGHT, 8), np.uint8)] * 4

    batch = collate(images, [(3, 1, 2), (), (5,), (1, 1)])

    assert batch.targets.tolist() == [[3, 1, 2], [0, 0, 0], [5, 0, 0], [1, 1, 0]]
    assert batch.target_lengths.tolist() == [3, 0, 1, 2]
    assert batch.targets.dtype == batch.target_lengths.dtype == batch.widths.dtype == torch.int64


def test_batch_without_any_label_has_no_columns() -> None:
    assert collate([np.zeros((HEIGHT, 8), np.uint8)] * 2, [(), ()]).targets.shape == (2, 0)


@pytest.mark.parametrize("shape", [(1, 1), (16, 1), (1, 16), (16, 64)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_blank_picture_is_standardized_to_zero(shape: tuple[int, int], value: int) -> None:
    standard = standardize(np.full(shape, value, np.uint8))

    assert standard.dtype == np.float32
    assert not standard.any()


def test_standardized_picture_has_mean_0_and_deviation_1() -> None:
    standard = standardize(np.random.default_rng(0).integers(0, 256, (16, 64), dtype=np.uint8))

    assert standard.mean() == pytest.approx(0, abs=1e-5)
    assert standard.std() == pytest.approx(1, abs=1e-5)


@given(
    widths=st.lists(st.integers(1, 30).map(lambda n: n * FRAME_STRIDE), max_size=80),
    batch_size=st.integers(1, 9),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=40)
def test_every_line_comes_once_an_epoch(widths: list[int], batch_size: int, seed: int) -> None:
    batches = epoch(lines_of(widths), batch_size, seed)

    indices = [index for batch in batches for index in batch.targets[:, 0].tolist()]
    assert sorted(indices) == list(range(len(widths)))
    assert all(len(batch.widths) <= batch_size for batch in batches)
    assert [w for batch in batches for w in batch.widths.tolist()] == [widths[i] for i in indices]


def test_number_of_batches() -> None:
    assert [len(b.widths) for b in epoch(lines_of([8] * 7), 7, seed=0)] == [7]
    assert sorted(len(b.widths) for b in epoch(lines_of([8] * 7), 3, seed=0)) == [1, 3, 3]


@pytest.mark.parametrize(("strength", "join"), [(0.0, 0.0), (0.8, 0.0), (0.0, 0.5), (0.8, 1.0)])
def test_same_seed_gives_the_same_batches(strength: float, join: float) -> None:
    lines = lines_of(list(range(8, 168, 4)))
    first, again = epoch(lines, 4, 7, strength, join), epoch(lines, 4, 7, strength, join)

    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.targets, b.targets)
    other = epoch(lines, 4, 8, strength, join)
    assert [b.targets.tolist() for b in first] != [b.targets.tolist() for b in other]


def test_epochs_of_one_generator_differ() -> None:
    lines, rng = lines_of([8] * 40), np.random.default_rng(0)
    config = AugmentConfig(strength=0.0)
    first, second = (
        [b.targets.tolist() for b in training_batches(lines, 4, config, rng)] for _ in range(2)
    )

    assert first != second


def test_lines_are_mixed_anew_each_epoch() -> None:
    lines = lines_of([8] * 40)

    def groups(seed: int) -> set[frozenset[int]]:
        return {frozenset(batch.targets[:, 0].tolist()) for batch in epoch(lines, 4, seed)}

    assert len(groups(0) & groups(1)) <= 1


def test_batches_hold_lines_of_similar_width() -> None:
    widths = [int(w) * 4 for w in np.random.default_rng(0).permutation(64) + 1]

    batches = epoch(lines_of(widths), 8, seed=0)

    assert max(int(b.widths.max() - b.widths.min()) for b in batches) <= 7 * 4


@given(
    widths=st.lists(st.integers(2, 30).map(lambda n: n * FRAME_STRIDE), max_size=40),
    join=st.floats(0.0, 1.0),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=40)
def test_joined_lines_keep_pictures_and_labels_together(
    widths: list[int], join: float, seed: int
) -> None:
    lines = lines_of(widths)

    batches = epoch(lines, 4, seed, join=join)

    first = []
    for batch in batches:
        for target, length, width in zip(
            batch.targets.tolist(), batch.target_lengths, batch.widths, strict=True
        ):
            ids = target[:length]
            first.append(ids[0])
            assert 1 <= len(ids) <= 1 + (join > 0)
            assert len(set(ids)) == len(ids)
            assert width == sum(widths[i] for i in ids)
    assert sorted(first) == list(range(len(widths)))


def test_joined_pictures_are_sorted_by_their_joined_width() -> None:
    widths = [int(w) * 4 for w in np.random.default_rng(0).permutation(64) + 1]

    batches = epoch(lines_of(widths), 8, seed=0, join=0.5)

    assert max(int(b.widths.max() - b.widths.min()) for b in batches) <= 30 * 4


@given(
    widths=st.lists(st.integers(4, 4096), max_size=100),
    max_batch_size=st.integers(1, 20),
    max_columns=st.integers(4096, 20_000),
)
def test_evaluation_batches_cover_every_index_once(
    widths: list[int], max_batch_size: int, max_columns: int
) -> None:
    batches = width_sorted_batches(widths, max_batch_size, max_columns)

    assert sorted(i for batch in batches for i in batch) == list(range(len(widths)))
    for batch in batches:
        assert 1 <= len(batch) <= max_batch_size
        assert max(widths[i] for i in batch) * len(batch) <= max_columns


@pytest.mark.parametrize(
    ("widths", "max_columns", "expected"),
    [
        ([], 100, []),
        ([500], 100, [[0]]),
        ([500, 500], 100, [[0], [1]]),
        ([30, 10, 20], 100, [[1, 2, 0]]),
        ([30, 10, 20], 60, [[1, 2], [0]]),
        ([10] * 5, 10_000, [[0, 1, 2], [3, 4]]),
    ],
)
def test_evaluation_batches(widths: list[int], max_columns: int, expected: list[list[int]]) -> None:
    assert width_sorted_batches(widths, 3, max_columns) == expected


def test_batch_on_the_cpu_is_itself() -> None:
    batch = collate([np.zeros((HEIGHT, 8), np.uint8)], [(1,)])

    assert batch.to(torch.device("cpu")) is batch


def test_two_views_of_each_line_stand_in_the_same_order() -> None:
    lines = lines_of([16, 24, 32, 40, 48])
    config = AugmentConfig(strength=1.0, mask=1.0)
    batches = list(training_batches(lines, 4, config, np.random.default_rng(0), n_views=2))
    assert [len(batch.images) for batch in batches] in ([4, 2], [2, 4])
    labels = []
    for batch in batches:
        half = len(batch.images) // 2
        assert (batch.targets[:half] == batch.targets[half:]).all()
        assert (batch.widths[:half] == batch.widths[half:]).all()
        labels += batch.targets[:half, 0].tolist()
    assert len(set(labels)) == 3  # of five lines


def test_two_views_in_batches_of_one() -> None:
    config = AugmentConfig(strength=0.0)
    batches = list(training_batches(lines_of([16]), 1, config, np.random.default_rng(0), n_views=2))
    assert [len(batch.images) for batch in batches] == [2]
