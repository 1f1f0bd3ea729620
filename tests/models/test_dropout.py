"""Dropout: how much it drops, that the mean stays, and where its randomness comes from."""

from __future__ import annotations

import pytest
import torch

from ocrsearch.models.encoder import STEPS, Dropout


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9, 0.9999])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_drops_its_share_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    y = Dropout(p)(torch.ones(301, 7, 157, dtype=dtype))
    n, dropped = y.numel(), float((y == 0).double().mean())
    share = min(round(p * STEPS), STEPS - 1) / STEPS
    assert y.dtype == dtype
    assert abs(dropped - share) < 5 * (share * (1 - share) / n) ** 0.5
    assert len(y.unique()) == 2
    assert abs(float(y.max()) * (1 - share) - 1) < (1e-6 if dtype == torch.float32 else 4e-3)


def test_values_are_dropped_independently() -> None:
    """Each of the eight bytes of a draw alike, and none with its neighbours."""
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(80_000)) > 0).double().view(-1, 8)
    assert (kept.mean(0) - 0.5).abs().max() < 0.025  # five deviations of 10,000
    assert (torch.corrcoef(kept.T) - torch.eye(8)).abs().max() < 0.05
    rows = kept.flatten()
    assert abs(float(torch.corrcoef(torch.stack([rows[:-8], rows[8:]]))[0, 1])) < 0.018


def test_what_is_dropped_gets_no_gradient() -> None:
    x = torch.ones(1000, requires_grad=True)
    y = Dropout(0.5)(x)
    y.sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize(("p", "training"), [(0.5, False), (0.0, True), (0.001, True)])
def test_evaluation_and_nothing_to_drop_leave_all_as_it_is(p: float, training: bool) -> None:
    x = torch.randn(10, 10)
    assert torch.equal(Dropout(p).train(training)(x), x)


def test_randomness_is_that_of_the_global_state() -> None:
    """So a training that was stopped goes on as if it had not been."""
    torch.manual_seed(1)
    state, dropout, x = torch.get_rng_state(), Dropout(0.3), torch.ones(999)
    first, second = dropout(x), dropout(x)
    torch.set_rng_state(state)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)
