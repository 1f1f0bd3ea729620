"""Layers known without a network: by hand, and against the networks themselves."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ocrsearch.core.config import FRAME_STRIDE, Config
from ocrsearch.data.batches import collate
from ocrsearch.models.architecture import (
    ARCHITECTURES,
    build_network,
    n_parameters,
)
from ocrsearch.models.layers import (
    LAYERS,
    Layer,
    count_multiply_adds,
    count_parameters,
    list_layers,
    training_memory_mb,
)

TINY: dict[str, Any] = {"conv_depth": 2, "conv_base": 8, "conv_growth": 2.0, "linear_width": 8}
N_SYMBOLS, N_WRITTEN = 10, 5


def config_of(architecture: str = "crnn", height: int = 16, **model: Any) -> Config:
    rnn = {} if architecture == "classifier" else {"hidden_size": 8}
    encoder = {**TINY, **rnn, **model.pop("encoder", {})}
    content = {"architecture": architecture, "encoder": encoder, **model}
    return Config.model_validate({"images": {"height": height}, "model": content})


CASES = {
    "crnn": config_of(),
    "gru": config_of(encoder={"rnn_cell": "gru", "hidden_size": 24}),
    "deep": config_of(height=40, encoder={"conv_depth": 6, "conv_growth": 1.3, "rnn_layers": 3}),
    "spread": config_of(height=40, encoder={"conv_depth": 6, "conv_pooling": "spread"}),
    "normed": config_of(encoder={"rnn_layers": 2, "rnn_batch_norm": True}),
    "seq2seq": config_of("seq2seq"),
    "seq2seq gru": config_of("seq2seq", encoder={"rnn_cell": "gru", "rnn_layers": 2}),
    "classifier": config_of("classifier", height=24, encoder={"conv_depth": 3}),
    "location_aware": config_of("seq2seq", decoder={"attention": "location_aware"}),
    "no attention": config_of("seq2seq", decoder={"attention": "none"}),
}
every_case = pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())


def by_name(layers: list[Layer]) -> dict[str, Layer]:
    assert len({layer.name for layer in layers}) == len(layers)
    return {layer.name: layer for layer in layers}


def test_every_architecture_has_its_layers() -> None:
    assert LAYERS.keys() == ARCHITECTURES.keys()
    assert {config.model.architecture for config in CASES.values()} == ARCHITECTURES.keys()


def test_figures_worked_out_by_hand() -> None:
    layers = by_name(list_layers(config_of(), N_SYMBOLS, width=32, n_written=N_WRITTEN))
    expected = {
        # 3 x 3 kernels at each place before the pooling; a norm has two weights a channel
        "encoder.tower.convs.0": ((8, 8, 16), 9 * 1 * 8 + 16, 9 * 1 * 8 * 16 * 32),
        "encoder.tower.convs.1": ((16, 4, 8), 9 * 8 * 16 + 32, 9 * 8 * 16 * 8 * 16),
        "encoder.linear": ((8, 8), 16 * 4 * 8 + 16, 8 * 16 * 4 * 8),
        # two directions, four gates, inputs and state of 8 each, two biases a gate
        "encoder.rnn": ((8, 16), 2 * 4 * (8 * 16 + 16), 8 * 2 * 4 * 8 * 16),
        "head": ((8, 11), 16 * 11 + 11, 8 * 16 * 11),
        "column_head.conv": ((8, 11), 3 * 8 * 11 + 11, 8 * 3 * 8 * 11),
    }
    assert {n: (x.output, x.n_parameters, x.n_multiply_adds) for n, x in layers.items()} == expected
    assert [n for n, layer in layers.items() if layer.training_only] == ["column_head.conv"]
    used = [figures for name, figures in expected.items() if name != "column_head.conv"]
    assert count_parameters(layers.values()) == sum(n for _, n, _ in used)
    assert count_multiply_adds(layers.values()) == sum(n for _, _, n in used)


@every_case
def test_weights_are_those_of_the_network(config: Config) -> None:
    network = build_network(config, N_SYMBOLS, seed=0)
    layers = by_name(list_layers(config, N_SYMBOLS, 64, N_WRITTEN))
    counted = Counter[str]()
    for name, weights in network.named_parameters():
        name = name.replace(".pooled_norms.", ".convs.").replace("norm.", "linear.")
        owners = [layer for layer in layers if name.startswith(f"{layer}.")]
        assert len(owners) == 1, name
        counted[owners[0]] += weights.numel()
    assert counted == {name: layer.n_parameters for name, layer in layers.items()}
    assert sum(layer.n_parameters for layer in layers.values()) == n_parameters(network)


@every_case
@pytest.mark.parametrize("width", [FRAME_STRIDE, 64, 100])
def test_multiply_adds_are_those_that_pytorch_counts(config: Config, width: int) -> None:
    """PyTorch counts two operations for each, and sees an LSTM only without oneDNN."""
    network = build_network(config, N_SYMBOLS, seed=0).eval()
    images, widths = torch.zeros(1, 1, config.images.height, width), torch.tensor([width])
    targets = torch.zeros(1, N_WRITTEN, dtype=torch.long)
    inputs = (images, widths, targets)[: 3 if config.model.architecture == "seq2seq" else 2]
    with (
        warnings.catch_warnings(action="ignore"),  # of the switch itself
        torch.no_grad(),
        torch.backends.mkldnn.flags(enabled=False),
        FlopCounterMode(display=False) as counter,
    ):
        network(*inputs)
    layers = list_layers(config, N_SYMBOLS, width, N_WRITTEN)
    assert 2 * count_multiply_adds(layers) == counter.get_total_flops()


@every_case
def test_shapes_are_those_of_the_network(config: Config) -> None:
    network = build_network(config, N_SYMBOLS, seed=0)  # training: with the head on the columns
    found: dict[str, list[tuple[int, ...]]] = {}

    def note(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            value = output[0] if isinstance(output, tuple) else output
            found.setdefault(name, []).append(tuple(value.shape[1:]))

        return hook

    for name, module in network.named_modules():
        module.register_forward_hook(note(name))
    width = 64
    image = np.zeros((config.images.height, width), np.uint8)
    batch = collate([image] * 2, [(1,) * N_WRITTEN] * 2)
    output = network.encode(batch.images, batch.widths)
    network.loss(output, batch, 0)
    for layer in list_layers(config, N_SYMBOLS, width, N_WRITTEN):
        shapes = found[layer.name]
        if "convs" in layer.name:  # seen before the pooling, which is a function
            assert [shape[0] for shape in shapes] == [layer.output[0]]
        elif layer.name == "column_head.conv":  # channels before frames
            assert shapes == [layer.output[::-1]]
        elif len(shapes) > 1:  # a step of the decoder at a time
            assert (len(shapes), *shapes[0]) == layer.output
        else:
            assert shapes == [layer.output]


def test_takes_no_time() -> None:
    config = CASES["seq2seq"]
    start = time.process_time()
    for _ in range(100):
        list_layers(config, 200, 4096, 100)
    assert time.process_time() - start < 10  # a thousand times what it takes


@every_case
def test_memory_is_about_what_training_keeps(config: Config) -> None:
    batch_size, width, name = 4, 96, config.model.architecture
    network = build_network(config, N_SYMBOLS, seed=0)
    target = (1, 2, 3)[: 1 if name == "classifier" else 3]
    image = np.zeros((config.images.height, width), np.uint8)
    batch = collate([image] * batch_size, [target] * batch_size)
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = network.encode(batch.images, batch.widths)
        network.loss(output, batch, 0)
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}
    measured = sum(t.untyped_storage().nbytes() for i, t in kept.items() if i not in own) / 1e6
    layers = list_layers(config, N_SYMBOLS, width, len(target))
    weights = training_memory_mb(layers, 0)
    assert weights == pytest.approx(16 * sum(p.numel() for p in network.parameters()) / 1e6)
    assert 0.6 < (training_memory_mb(layers, batch_size) - weights) / measured < 1.4
