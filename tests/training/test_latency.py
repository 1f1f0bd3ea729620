"""The time of a network, measured."""

from __future__ import annotations

import pytest
import torch

from ocrsearch.core.config import Config
from ocrsearch.training.device import measure_latency

CPU = torch.device("cpu")


def config_of(architecture: str, base: int = 8) -> Config:
    encoder = {"conv_depth": 3, "conv_base": base, "linear_width": 16}
    model = {"architecture": architecture, "encoder": encoder}
    return Config.model_validate({"images": {"height": 16}, "model": model})


@pytest.mark.parametrize("architecture", ["crnn", "seq2seq", "classifier"])
def test_every_architecture_takes_some_time(architecture: str) -> None:
    state = torch.get_rng_state()
    assert 0.0 < measure_latency(config_of(architecture), 10, 61, 5, CPU) < 1000.0
    assert torch.equal(torch.get_rng_state(), state)  # training draws as if nothing had been


def test_a_network_with_many_more_multiply_adds_takes_longer() -> None:
    small = measure_latency(config_of("crnn"), 10, 64, 5, CPU)
    assert measure_latency(config_of("crnn", 128), 10, 640, 5, CPU) > 3.0 * small


def test_location_aware_attention_takes_its_time() -> None:
    config = config_of("seq2seq").model_dump()
    config["model"]["decoder"]["attention"] = "location_aware"
    assert 0.0 < measure_latency(Config.model_validate(config), 10, 61, 5, CPU) < 1000.0


def test_a_decoder_takes_a_step_for_each_symbol() -> None:
    short = measure_latency(config_of("seq2seq"), 10, 400, 1, CPU)
    assert measure_latency(config_of("seq2seq"), 10, 400, 90, CPU) > 2.0 * short
