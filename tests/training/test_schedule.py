"""Learning rates batch by batch, and what the optimisers do with weight decay."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from ocrsearch.core.config import OptimizerName, TrainingConfig
from ocrsearch.training.trainer import (
    FINAL_SHARE,
    OPTIMIZERS,
    Schedule,
    build_optimizer,
    set_rate,
)

BASE = 0.1
STEPS = 10
NAMES: tuple[OptimizerName, ...] = get_args(OptimizerName)


@pytest.mark.parametrize(
    ("step", "share"),
    [
        (0, 0.2),  # warm-up of five batches
        (1, 0.4),
        (3, 0.8),
        (4, 1.0),
        (5, 1.0),
        (59, 1.0),
        (60, 1.0),  # the decay begins after six epochs and lasts two
        (61, 0.95),
        (70, 0.5),
        (79, 0.05),
        (80, FINAL_SHARE),
        (200, FINAL_SHARE),
    ],
)
def test_rate_warms_up_stays_and_falls(step: int, share: float) -> None:
    rate = Schedule(decay_start=6, decay_epochs=2).rate(BASE, step, STEPS, warmup_steps=5)
    assert rate == pytest.approx(BASE * share)


@pytest.mark.parametrize("step", [0, 1, 49, 50, 1000])
def test_rate_without_warmup_and_decay_is_constant(step: int) -> None:
    assert Schedule(5, 0).rate(BASE, step, STEPS, warmup_steps=0) == BASE


@pytest.mark.parametrize(
    ("epoch", "n_epochs", "expected"),
    [
        (2, 4, (2.0, 4.0, 6)),  # before the decay: it begins now
        (8, 1, (7.0, 2.0, 9)),  # half of the rate is left: it falls from there
        (9, 1, (6.0, 4.0, 10)),  # it would end then anyway
        (3, 7, (6.0, 4.0, 10)),
        (3, 100, (6.0, 4.0, 10)),
    ],
)
def test_a_schedule_can_end_sooner(
    epoch: int, n_epochs: int, expected: tuple[float, float, int]
) -> None:
    before = Schedule(6, 4)
    schedule = before.ending_within(n_epochs, epoch)
    assert (schedule.decay_start, schedule.decay_epochs, schedule.end) == expected
    step = epoch * STEPS
    rates = [s.rate(BASE, step, STEPS, warmup_steps=0) for s in (before, schedule)]
    assert rates[0] == pytest.approx(rates[1])


def test_rate_never_falls_below_the_final_share() -> None:
    schedule = Schedule(0, 3)
    rates = [schedule.rate(BASE, step, STEPS, warmup_steps=0) for step in range(40)]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == BASE
    assert min(rates) == pytest.approx(BASE * FINAL_SHARE)


@pytest.mark.parametrize("epochs", [20, 100, 10_000])
def test_rate_does_not_depend_on_the_number_of_epochs_before_the_decay(epochs: int) -> None:
    short = Schedule.from_config(TrainingConfig(epochs=10, decay_fraction=0.3))
    long = Schedule.from_config(TrainingConfig(epochs=epochs, decay_fraction=0.3))
    for step in range(7 * STEPS + 1):
        assert short.rate(BASE, step, STEPS, 20) == long.rate(BASE, step, STEPS, 20)
    assert short.rate(BASE, 8 * STEPS, STEPS, 20) < long.rate(BASE, 8 * STEPS, STEPS, 20)


@pytest.mark.parametrize(
    ("epochs", "decay_fraction", "expected"),
    [
        (20, 0.25, Schedule(15, 5)),
        (10, 0.0, Schedule(10, 0)),
        (10, 1.0, Schedule(0, 10)),
        (1, 0.25, Schedule(1, 0)),
        (1, 1.0, Schedule(0, 1)),
        (7, 0.5, Schedule(3, 4)),
    ],
)
def test_decay_fills_its_share_of_the_epochs(
    epochs: int, decay_fraction: float, expected: Schedule
) -> None:
    schedule = Schedule.from_config(TrainingConfig(epochs=epochs, decay_fraction=decay_fraction))
    assert schedule == expected
    assert schedule.end == epochs


def test_every_optimizer_name_has_a_builder() -> None:
    assert set(OPTIMIZERS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_norms_and_biases_get_no_weight_decay(name: OptimizerName) -> None:
    linear, norm = nn.Linear(3, 4), nn.BatchNorm1d(4)
    nn.init.ones_(linear.weight)
    nn.init.ones_(linear.bias)
    network = nn.Sequential(linear, norm)
    config = TrainingConfig(optimizer=name, learning_rate=0.1, weight_decay=0.5)
    before = {key: parameter.detach().clone() for key, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    build_optimizer(config, network).step()
    changed = {k for k, p in network.named_parameters() if not torch.equal(p, before[k])}
    assert changed == {"0.weight"}
    assert bool((linear.weight < before["0.weight"]).all())


@pytest.mark.parametrize("name", NAMES)
def test_optimizer_goes_downhill(name: OptimizerName) -> None:
    network = nn.Linear(2, 1)
    nn.init.zeros_(network.weight)
    inputs, wanted = torch.tensor([[1.0, 2.0], [3.0, -1.0]]), torch.tensor([[3.0], [1.0]])
    optimizer = build_optimizer(TrainingConfig(optimizer=name, learning_rate=0.01), network)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (network(inputs) - wanted).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_set_rate_reaches_all_groups() -> None:
    optimizer = build_optimizer(TrainingConfig(learning_rate=0.5), nn.Linear(2, 2))
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.5]
    set_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
