"""Mixed precision: chosen by measurement, close to full precision."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import nn

from ocrsearch.core.config import (
    Config,
    CrnnConfig,
    EncoderConfig,
    ImageConfig,
)
from ocrsearch.models.architecture import build_network
from ocrsearch.models.ctc_heads import CtcTensors
from ocrsearch.training import device as precision_module
from ocrsearch.training.device import (
    Precision,
    computable_precision,
    faster_precision,
    set_precision,
)

CPU = torch.device("cpu")
ENCODER = EncoderConfig(conv_depth=3, conv_base=8, linear_width=16, hidden_size=16, dropout=0.0)


@pytest.fixture
def network() -> nn.Module:
    config = Config(images=ImageConfig(height=16), model=CrnnConfig(encoder=ENCODER))
    return build_network(config, 5, seed=0).eval()


def read(network: nn.Module) -> CtcTensors:
    images = torch.randn(2, 1, 16, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        output = network(images, torch.tensor([32, 32]))
    assert isinstance(output, CtcTensors)
    return output


def test_faster_precision_measures_and_takes_one() -> None:
    state = torch.get_rng_state()
    assert faster_precision(CPU) in get_args(Precision)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("fp32_s", "bf16_s", "lstm_s", "expected"),
    [
        (1.0, 1.0, 1.0, "fp32"),
        (1.0, 5.0, 5.0, "fp32"),
        (1.05, 1.0, 1.0, "fp32"),  # not worth it
        (1.2, 1.0, 1.0, "bf16"),
        (5.0, 1.0, math.inf, "bf16"),  # the build has no such LSTM
        (5.0, 1.0, 1.05, "bf16"),
        (5.0, 1.0, 0.8, "bf16-lstm"),
        (1.0, 1.0, 0.8, "bf16-lstm"),
    ],
)
def test_bf16_must_be_clearly_faster(
    monkeypatch: pytest.MonkeyPatch,
    fp32_s: float,
    bf16_s: float,
    lstm_s: float,
    expected: Precision,
) -> None:
    seconds = {"fp32": fp32_s, "bf16": bf16_s, "bf16-lstm": lstm_s}
    monkeypatch.setattr(precision_module, "time_precisions", lambda _: seconds)
    assert faster_precision(CPU) == expected


def lacks_bf16_lstm() -> bool:
    return precision_module.time_precisions(CPU)["bf16-lstm"] == math.inf


def test_a_build_without_an_lstm_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    def lstm(*_: object, **__: object) -> None:
        raise RuntimeError("could not create a primitive")

    monkeypatch.setattr(nn.LSTM, "forward", lstm)
    assert precision_module.time_precisions(CPU)["bf16-lstm"] == math.inf


reduced = pytest.mark.parametrize("precision", ["bf16", "bf16-lstm"])


@reduced
def test_bf16_is_close_to_fp32(network: nn.Module, precision: Precision) -> None:
    if precision == "bf16-lstm" and lacks_bf16_lstm():
        pytest.skip("this build of PyTorch has no LSTM in bf16")
    expected = read(network).log_probs
    set_precision(network, precision)
    found = read(network).log_probs
    assert found.dtype == torch.float32
    assert not torch.equal(found, expected)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
    if precision == "bf16-lstm":
        set_precision(network, "bf16")
        assert not torch.equal(found, read(network).log_probs)


def test_a_gru_stays_in_fp32() -> None:
    config = Config(
        images=ImageConfig(height=16),
        model=CrnnConfig(encoder=ENCODER.model_copy(update={"rnn_cell": "gru"})),
    )
    network = build_network(config, 5, seed=0).eval()
    readings = []
    for precision in ("bf16", "bf16-lstm"):
        set_precision(network, precision)
        readings.append(read(network).log_probs)
    assert torch.equal(*readings)


@reduced
def test_weights_and_gradients_stay_in_fp32(network: nn.Module, precision: Precision) -> None:
    if precision == "bf16-lstm" and lacks_bf16_lstm():
        pytest.skip("this build of PyTorch has no LSTM in bf16")
    set_precision(network.train(), precision)
    images = torch.randn(2, 1, 16, 32, generator=torch.Generator().manual_seed(1))
    network(images, torch.tensor([32, 16])).log_probs.mean().backward()
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert {gradient.dtype for gradient in gradients} == {torch.float32}
    assert all(bool(gradient.isfinite().all()) for gradient in gradients)


def test_fp32_can_be_had_back(network: nn.Module) -> None:
    expected = read(network).log_probs
    set_precision(network, "bf16-lstm")
    set_precision(network, "fp32")
    assert torch.equal(read(network).log_probs, expected)


def test_a_precision_that_this_machine_lacks_becomes_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a study that began on a processor with other instructions."""
    times = {"fp32": 1.0, "bf16": 0.5, "bf16-lstm": math.inf}
    monkeypatch.setattr(precision_module, "time_precisions", lambda _: times)
    computable_precision.cache_clear()
    try:
        found = [computable_precision(p, CPU) for p in get_args(Precision)]
        assert found == ["fp32", "bf16", "fp32"]
        assert computable_precision("bf16", torch.device("cuda")) == "bf16"
    finally:
        computable_precision.cache_clear()
