"""Flat start: which symbol each frame is taught, and when reading has begun."""

from __future__ import annotations

import pytest
import torch

from ocrsearch.core.config import DEFAULT_RECIPE, FRAME_STRIDE
from ocrsearch.data.batches import Batch
from ocrsearch.models.ctc_heads import (
    best_path_error,
    flat_start_loss,
    ink_span,
    spread_evenly,
    suppress_blank,
)

BLANK = 4
N_STEPS = DEFAULT_RECIPE.blank_offset_steps


def batch_of(labels: list[list[int]], n_frames: list[int]) -> Batch:
    """Return a batch of blank images, which count as ink all over."""
    targets = torch.zeros(len(labels), max(map(len, labels)), dtype=torch.int64)
    for row, label in zip(targets, labels, strict=True):
        row[: len(label)] = torch.tensor(label, dtype=torch.int64)
    lengths = torch.tensor([len(label) for label in labels])
    widths = FRAME_STRIDE * torch.tensor(n_frames)
    return Batch(torch.zeros(len(labels), 1, 16, int(widths.max())), widths, targets, lengths)


def paths(*rows: list[int]) -> torch.Tensor:
    """Return log probabilities of which these outputs are the likeliest."""
    return torch.nn.functional.one_hot(torch.tensor(rows), BLANK + 1).float().log_softmax(2)


@pytest.mark.parametrize(
    ("label", "n_frames", "expected"),
    [
        ([2], 4, [-1, 2, 2, -1, -1, -1]),  # behind the own frames of the line is nothing
        ([2, 1], 6, [2, 2, 2, 1, 1, 1]),
        ([3, 3], 2, [3, 3, -1, -1, -1, -1]),
        ([0, 1, 2], 6, [0, 0, 1, 1, 2, 2]),
        ([], 3, [-1] * 6),
    ],
)
def test_symbols_are_spread_over_the_frames_of_the_line(
    label: list[int], n_frames: int, expected: list[int]
) -> None:
    batch = batch_of([label, [1]], [n_frames, 6])

    assert spread_evenly(batch, 6)[0].tolist() == expected


def test_symbols_are_spread_over_the_ink() -> None:
    batch = batch_of([[2, 1], [3]], [8, 8])
    batch.images[0, 0, ::2, 8:24] = 1.0  # frames 2 to 5
    batch.images[0, 0, ::2, 28] = 0.2  # too faint
    batch.images[1, 0, ::2, 12:14] = 1.0

    assert spread_evenly(batch, 8).tolist() == [
        [-1, -1, 2, 2, 1, 1, -1, -1],
        [-1] * 3 + [3] + [-1] * 4,
    ]


def test_a_span_too_short_for_the_label_is_the_whole_line() -> None:
    batch = batch_of([[2, 1, 0], [1]], [6, 4])
    batch.images[:, 0, ::2, 8:16] = 1.0

    begins, ends = ink_span(batch)
    assert (begins.tolist(), ends.tolist()) == ([0, 2], [6, 4])


@pytest.mark.parametrize("step", [N_STEPS, N_STEPS + 1, 10**6])
def test_blank_is_left_alone_after_the_first_batches(step: int) -> None:
    log_probs = torch.randn(1, 4, BLANK + 1).log_softmax(2)
    assert torch.equal(suppress_blank(log_probs, BLANK, step), log_probs)


@pytest.mark.parametrize("step", [0, 1, N_STEPS // 2, N_STEPS - 1])
def test_blank_is_less_likely_in_the_first_batches(step: int) -> None:
    log_probs = torch.randn(1, 4, BLANK + 1).log_softmax(2)
    result = suppress_blank(log_probs, BLANK, step)
    torch.testing.assert_close(result.exp().sum(2), torch.ones(1, 4))
    lost = (log_probs - log_probs[..., :1]) - (result - result[..., :1])  # in odds with symbol 0
    expected = torch.zeros_like(lost)
    expected[..., BLANK] = DEFAULT_RECIPE.blank_offset * (N_STEPS - step) / N_STEPS
    torch.testing.assert_close(lost, expected, atol=1e-5, rtol=0)


def test_more_symbols_than_frames() -> None:
    batch = batch_of([[0, 1, 2, 3, 0, 1, 2]], [2])

    ids = spread_evenly(batch, 2)
    assert ids.shape == (1, 2)
    assert flat_start_loss(torch.zeros(1, 2, BLANK + 1), batch, BLANK).isfinite()


def test_loss_against_a_loop() -> None:
    torch.manual_seed(3)
    batch = batch_of([[0, 1], [2], [3, 3, 1]], [5, 8, 7])
    log_probs = torch.randn(3, 8, BLANK + 1).log_softmax(2)

    losses = []
    for line, row in zip(log_probs, spread_evenly(batch, 8).tolist(), strict=True):
        for frame, symbol in zip(line, row, strict=True):
            if symbol >= 0:
                losses.append(-frame[:BLANK].log_softmax(0)[symbol])
    expected = torch.stack(losses).mean()
    torch.testing.assert_close(flat_start_loss(log_probs, batch, BLANK), expected)


def test_blank_has_no_effect_on_the_loss() -> None:
    torch.manual_seed(4)
    batch, log_probs = batch_of([[0, 1]], [6]), torch.randn(1, 6, BLANK + 1)
    other = log_probs.clone()
    other[..., BLANK] += 5

    torch.testing.assert_close(
        flat_start_loss(log_probs.log_softmax(2), batch, BLANK),
        flat_start_loss(other.log_softmax(2), batch, BLANK),
    )


def test_loss_without_any_frame_to_teach_is_zero_and_has_a_gradient() -> None:
    batch = batch_of([[0, 1] * 4], [1])  # the middle of the frame is where two symbols meet
    log_probs = torch.zeros(1, 1, BLANK + 1, requires_grad=True)

    loss = flat_start_loss(log_probs, batch, BLANK)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0.0


@pytest.mark.parametrize(
    ("row", "error"),
    [
        ([0, 0, BLANK, 1, 1, 1], 0.0),
        ([BLANK] * 6, 1.0),
        ([0, 0, 0, 0, 0, 0], 0.5),
        ([0, BLANK, 0, BLANK, 1, 2], 1.0),
    ],
)
def test_error_of_the_best_path(row: list[int], error: float) -> None:
    assert best_path_error(paths(row), batch_of([[0, 1]], [6]), BLANK) == error


def test_error_of_the_best_path_leaves_the_padding_out() -> None:
    batch = batch_of([[0, 1], [2]], [6, 2])

    assert best_path_error(paths([0, 0, 0, 1, 1, 1], [2, 2, 3, 3, 3, 3]), batch, BLANK) == 0.0
