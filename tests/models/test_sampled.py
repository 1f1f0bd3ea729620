"""Training on some characters of a large charset: which they are, and that they stand for all."""

from __future__ import annotations

import math

import pytest
import torch

from ocrsearch.core.config import (
    Config,
    CrnnConfig,
    EncoderConfig,
    ImageConfig,
    Seq2SeqConfig,
)
from ocrsearch.data.batches import Batch
from ocrsearch.models import ctc_heads as sampled
from ocrsearch.models.architecture import build_network
from ocrsearch.models.ctc_heads import (
    Outputs,
    rows_of,
    sample_outputs,
)

N_SYMBOLS = 40
SMALL = EncoderConfig(conv_depth=2, conv_base=8, linear_width=8, hidden_size=8, dropout=0.0)
MODELS = [CrnnConfig(encoder=SMALL), Seq2SeqConfig(encoder=SMALL)]


@pytest.fixture(autouse=True)
def large_from_twenty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampled, "MAX_EXACT", 20)
    monkeypatch.setattr(sampled, "MIN_OTHERS", 10)


def batch_of(labels: list[list[int]]) -> Batch:
    targets = torch.zeros(len(labels), max(map(len, labels)), dtype=torch.int64)
    for row, label in zip(targets, labels, strict=True):
        row[: len(label)] = torch.tensor(label)
    images = torch.randn(len(labels), 1, 16, 48, generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([len(label) for label in labels])
    return Batch(images, torch.full((len(labels),), 48), targets, lengths)


@pytest.mark.parametrize(
    ("labels", "n_outputs"),
    [
        ([[7, 3], [39]], 20),  # 3 symbols, the blank, and 16 others
        ([[7, 3], []], 20),
        ([[]], 20),
        ([list(range(1, 20)), [5]], 30),  # 19 symbols, the blank, and 10 others
        ([list(range(35))], 41),  # the blank and all others
        ([list(range(40))], 41),
    ],
)
def test_symbols_of_the_labels_and_the_blank_are_always_chosen(
    labels: list[list[int]], n_outputs: int
) -> None:
    batch, outputs = sample_outputs(batch_of(labels), N_SYMBOLS)
    assert outputs is not None
    ids = outputs.ids.tolist()
    assert ids == sorted(set(ids))
    assert ids[-1] == N_SYMBOLS
    assert len(ids) == n_outputs
    found = zip(batch.targets, batch.target_lengths.tolist(), strict=True)
    assert [outputs.ids[row[:n]].tolist() for row, n in found] == labels


def test_small_charsets_are_computed_whole_and_draw_nothing() -> None:
    batch, before = batch_of([[1, 2]]), torch.get_rng_state()
    assert sample_outputs(batch, 20) == (batch, None)
    assert torch.equal(torch.get_rng_state(), before)


def test_what_stands_behind_a_label_is_not_chosen() -> None:
    batch = batch_of([[30, 31], [32]])
    batch.targets[1, 1] = 33
    torch.manual_seed(0)
    first = sample_outputs(batch, N_SYMBOLS)[1]
    batch.targets[1, 1] = 0
    torch.manual_seed(0)
    second = sample_outputs(batch, N_SYMBOLS)[1]
    assert first is not None
    assert second is not None
    assert torch.equal(first.ids, second.ids)


def test_the_sum_over_all_is_right_on_average() -> None:
    """Mean of many draws against the sum of all, within four standard errors."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(N_SYMBOLS + 1, generator=generator, dtype=torch.float64)
    batch = batch_of([[7, 3], [39]])
    torch.manual_seed(2)
    sums = []
    for _ in range(1000):
        outputs = sample_outputs(batch, N_SYMBOLS)[1]
        assert outputs is not None
        sums.append((logits[outputs.ids] + outputs.shifts).exp().sum())
    found = torch.stack(sums)
    error = found.std().item() / math.sqrt(len(found))
    assert error < 0.01 * found.mean().item()
    assert found.mean().item() == pytest.approx(logits.exp().sum().item(), abs=4 * error)


def test_rows_are_those_of_the_outputs() -> None:
    layer = torch.nn.Linear(3, 6)
    outputs = Outputs(torch.tensor([1, 5]), torch.tensor([0.5, 0.0]))
    weight, bias = rows_of(layer, outputs)
    torch.testing.assert_close(weight, layer.weight[[1, 5]])
    torch.testing.assert_close(bias, layer.bias[[1, 5]] + torch.tensor([0.5, 0.0]))


@pytest.mark.parametrize("model", MODELS)
def test_a_charset_that_is_wholly_chosen_has_the_loss_of_all_symbols(
    model: CrnnConfig | Seq2SeqConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = build_network(Config(images=ImageConfig(height=16), model=model), N_SYMBOLS, 0)
    batch = batch_of([list(range(5, 10)), [2, 3, 39]])
    output = network.encode(batch.images, batch.widths)
    monkeypatch.setattr(sampled, "MIN_OTHERS", N_SYMBOLS)
    found = [network.loss(output, batch, 30, flat=flat) for flat in (True, False)]
    monkeypatch.setattr(sampled, "MAX_EXACT", N_SYMBOLS)
    expected = [network.loss(output, batch, 30, flat=flat) for flat in (True, False)]
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("model", MODELS)
def test_a_step_changes_the_rows_of_the_chosen_symbols_alone(
    model: CrnnConfig | Seq2SeqConfig,
) -> None:
    network = build_network(Config(images=ImageConfig(height=16), model=model), N_SYMBOLS, 0)
    batch = batch_of([[7, 3], [39]])
    output = network.encode(batch.images, batch.widths)
    network.loss(output, batch, 0).backward()
    grad = network.column_head.conv.weight.grad
    assert isinstance(grad, torch.Tensor)
    changed = set(grad.abs().sum((1, 2)).nonzero().flatten().tolist())
    assert {3, 7, 39, N_SYMBOLS} <= changed
    assert len(changed) == 20
