"""What every architecture promises, whatever its settings."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ocrsearch.core.config import (
    ARCHITECTURE_NAMES,
    FRAME_STRIDE,
    AugmentConfig,
    ClassifierConfig,
    Config,
    CrnnConfig,
    DecoderConfig,
    EncoderConfig,
    ImageConfig,
    ModelConfig,
    Seq2SeqConfig,
    TowerConfig,
    TrainingConfig,
)
from ocrsearch.data.batches import Batch, collate
from ocrsearch.data.dataset import Dataset
from ocrsearch.data.images.lines import Line, scaled_lines
from ocrsearch.models import encoder as encoder_module
from ocrsearch.models.architecture import (
    ARCHITECTURES,
    build_network,
    n_parameters,
)
from ocrsearch.models.classifier import Classifier
from ocrsearch.models.decoding.ctc import Hypothesis
from ocrsearch.models.recogniser import Recogniser
from ocrsearch.training.trainer import Trainer
from tests.rounding import double_precision

Cell = Literal["lstm", "gru"]

N_SYMBOLS = 10
MOST_EPOCHS = 100
IMAGES = ImageConfig(height=16)
NARROW = 0
"""Where the narrowest picture is in ``batch``."""
TRAINING = TrainingConfig(
    learning_rate=5e-3,
    batch_size=8,
    epochs=MOST_EPOCHS,
    warmup_steps=10,
    decay_fraction=0.0,
    decay_patience=MOST_EPOCHS,
    augment=AugmentConfig(strength=0.0),
)


def _config(model: ModelConfig) -> Config:
    return Config(images=IMAGES, model=model, training=TRAINING)


def _cases() -> dict[str, Config]:
    cases = {}
    cells: tuple[Cell, ...] = ("lstm", "gru")
    for cell, n_layers in itertools.product(cells, (1, 2)):
        encoder = EncoderConfig(
            conv_depth=3,
            conv_base=8,
            linear_width=32,
            rnn_cell=cell,
            rnn_layers=n_layers,
            hidden_size=32,
            dropout=0.0,
        )
        plain = DecoderConfig(attention="none")
        name = f"{cell}-{n_layers}"
        cases[f"crnn-{name}"] = _config(CrnnConfig(encoder=encoder))
        cases[f"seq2seq-additive-{name}"] = _config(Seq2SeqConfig(encoder=encoder))
        if (cell == "lstm") == (n_layers == 1):
            located = DecoderConfig(attention="location_aware", scheduled_sampling=0.3)
            model = Seq2SeqConfig(encoder=encoder, decoder=located)
            cases[f"seq2seq-location-{name}"] = _config(model)
        cases[f"seq2seq-none-{name}"] = _config(Seq2SeqConfig(encoder=encoder, decoder=plain))
    for depth in (2, 4):
        tower = TowerConfig(conv_depth=depth, conv_base=8, linear_width=32, dropout=0.0)
        cases[f"classifier-{depth}"] = _config(ClassifierConfig(encoder=tower))
    return cases


CASES = _cases()
every_case = pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())


@dataclass(frozen=True)
class Learned:
    """A network that has learned the sixteen lines by heart, in evaluation mode."""

    network: Recogniser
    first_loss: float
    last_loss: float
    texts: list[str]


@pytest.fixture(scope="module")
def dataset(sixteen_lines: Dataset, sixteen_symbols: Dataset) -> Callable[[Config], Dataset]:
    """What a configuration learns: lines, or single symbols if it reads no more."""
    return lambda config: sixteen_symbols if _reads_one(config) else sixteen_lines


def _reads_one(config: Config) -> bool:
    return config.model.architecture == "classifier"


@pytest.fixture(scope="module")
def learn(dataset: Callable[[Config], Dataset]) -> Callable[[Config], Learned]:
    """Train to the end of the schedule; each configuration once."""
    done: dict[str, Learned] = {}

    def learned(config: Config) -> Learned:
        if config.identity() not in done:
            done[config.identity()] = _learn(config, dataset(config))
        return done[config.identity()]

    return learned


@torch.enable_grad()  # whichever test asks first
def _learn(config: Config, dataset: Dataset) -> Learned:
    trainer = Trainer(config, dataset, seed=0, device=torch.device("cpu"))
    reports = [trainer.run_epoch()]
    while not trainer.finished:
        reports.append(trainer.run_epoch())
    network = trainer.network.eval()
    (lines,) = trainer.epochs.parts(0, 16)
    batch = collate([line.image for line in lines], [line.target for line in lines])
    with torch.no_grad():
        read = _read(network, batch)
    return Learned(
        network,
        reports[0].val_loss,
        reports[-1].val_loss,
        [dataset.charset.decode(hypothesis.ids) for hypothesis in read],
    )


@pytest.fixture
def batch(config: Config, dataset: Callable[[Config], Dataset]) -> Batch:
    """Pictures of unequal widths, from the narrowest there is to one that is two."""
    data = dataset(config)
    lines = scaled_lines(data.splits["train"], data.charset, IMAGES)
    first, second, third, fourth = lines[:4]
    narrow = Line(first.image[:, 4:12], first.target[:1])
    both = second.target if _reads_one(config) else second.target + third.target
    wide = Line(np.hstack([second.image, third.image]), both)
    chosen = [narrow, first, wide, second, fourth]
    return collate([line.image for line in chosen], [line.target for line in chosen])


def _alone(batch: Batch, i: int) -> Batch:
    """One picture of a batch, without any padding."""
    width, length = int(batch.widths[i]), int(batch.target_lengths[i])
    row = slice(i, i + 1)
    return Batch(
        batch.images[row, :, :, :width],
        batch.widths[row],
        batch.targets[row, :length],
        batch.target_lengths[row],
    )


def _padded(batch: Batch, n_px: int) -> Batch:
    images = nn.functional.pad(batch.images, (0, n_px))
    return Batch(images, batch.widths, batch.targets, batch.target_lengths)


def _loss(network: Recogniser, batch: Batch) -> Tensor:
    output = network.encode(batch.images, batch.widths)
    return network.loss(output, batch, 0)


def _read(network: Recogniser, batch: Batch) -> list[Hypothesis]:
    output = network.encode(batch.images, batch.widths)
    return network.readout(output).greedy()


def _log_probs(network: Recogniser, batch: Batch) -> list[Tensor]:
    """Return the log probabilities of each picture, without what stands for the padding."""
    if isinstance(network, Classifier):
        return list(network(batch.images, batch.widths))
    if hasattr(network, "start"):  # a decoder, which is told the labels
        log_probs = network(batch.images, batch.widths, batch.targets).log_probs
        lengths = batch.target_lengths + 1
    else:
        log_probs = network(batch.images, batch.widths).log_probs
        lengths = batch.widths // FRAME_STRIDE
    return [rows[:n] for rows, n in zip(log_probs, lengths.tolist(), strict=True)]


def _in_double_precision(learned: Learned, batch: Batch) -> tuple[Recogniser, Batch]:
    images = batch.images.double()
    double = Batch(images, batch.widths, batch.targets, batch.target_lengths)
    return deepcopy(learned.network).double(), double


def _assert_same_reading(found: Hypothesis, expected: Hypothesis) -> None:
    assert found.ids == expected.ids
    assert found.confidence == pytest.approx(expected.confidence, abs=1e-9)
    assert found.symbol_confidences == pytest.approx(expected.symbol_confidences, abs=1e-9)


def test_every_architecture_has_a_configuration_and_is_tested() -> None:
    assert set(ARCHITECTURES) == set(ARCHITECTURE_NAMES)
    assert {config.model.architecture for config in CASES.values()} == set(ARCHITECTURE_NAMES)


@every_case
@torch.no_grad()
def test_builds_and_gives_a_loss_and_readings(config: Config, batch: Batch) -> None:
    network = build_network(config, N_SYMBOLS, seed=0)
    loss = _loss(network, batch)
    assert network.training
    assert loss.shape == ()
    assert 0.0 < loss.item() < 100.0
    read = _read(network.eval(), batch)
    assert len(read) == len(batch.widths)
    assert all(0 <= symbol < N_SYMBOLS for hypothesis in read for symbol in hypothesis.ids)


def test_parameters_are_counted_without_buffers() -> None:
    assert n_parameters(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))) == 3 * 4 + 4 + 4 + 4


@every_case
def test_weights_follow_from_the_seed_alone(config: Config) -> None:
    torch.manual_seed(1)
    first = build_network(config, N_SYMBOLS, seed=5).state_dict()
    torch.manual_seed(2)
    second = build_network(config, N_SYMBOLS, seed=5).state_dict()
    other = build_network(config, N_SYMBOLS, seed=6).state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


@every_case
def test_building_leaves_the_global_randomness_alone(config: Config) -> None:
    before = torch.get_rng_state()
    build_network(config, N_SYMBOLS, seed=5)
    assert torch.equal(torch.get_rng_state(), before)


@every_case
def test_gradient_reaches_every_parameter(config: Config, batch: Batch) -> None:
    network = build_network(config, N_SYMBOLS, seed=0)
    _loss(network, batch).backward()
    without = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or not bool(parameter.grad.abs().max() > 0)
    ]
    assert without == []
    assert all(bool(p.grad.isfinite().all()) for p in network.parameters() if p.grad is not None)


@every_case
def test_learns_sixteen_lines_by_heart(
    config: Config, learn: Callable[[Config], Learned], dataset: Callable[[Config], Dataset]
) -> None:
    learned = learn(config)
    assert learned.texts == dataset(config).splits["train"].texts
    assert learned.last_loss < 0.5 * learned.first_loss


@every_case
@torch.no_grad()
def test_a_picture_is_read_alike_alone_and_among_others(
    config: Config, batch: Batch, learn: Callable[[Config], Learned]
) -> None:
    network, batch = _in_double_precision(learn(config), batch)
    with double_precision():
        together = _log_probs(network, batch)
        read = _read(network, batch)
        assert len({hypothesis.ids for hypothesis in read}) > 2
        for i in range(len(batch.widths)):
            alone = _alone(batch, i)
            (expected,) = _log_probs(network, alone)
            torch.testing.assert_close(together[i], expected, atol=1e-9, rtol=1e-9)
            (reading,) = _read(network, alone)
            _assert_same_reading(read[i], reading)


@every_case
@pytest.mark.parametrize("n_px", [4, 32])
@torch.no_grad()
def test_padding_changes_nothing(
    config: Config, n_px: int, batch: Batch, learn: Callable[[Config], Learned]
) -> None:
    network, batch = _in_double_precision(learn(config), batch)
    padded = _padded(batch, n_px)
    with double_precision():
        pairs = zip(_log_probs(network, padded), _log_probs(network, batch), strict=True)
        for found, expected in pairs:
            torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
        loss, expected_loss = (_loss(network, b) for b in (padded, batch))
        torch.testing.assert_close(loss, expected_loss, atol=1e-9, rtol=1e-9)
        pairs_read = (_read(network, b) for b in (padded, batch))
        for hypothesis, reading in zip(*pairs_read, strict=True):
            _assert_same_reading(hypothesis, reading)


@every_case
@torch.no_grad()
def test_the_zeros_in_the_padding_are_what_keeps_it_out(
    config: Config,
    batch: Batch,
    learn: Callable[[Config], Learned],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learned = learn(config)
    (expected,) = _log_probs(learned.network, _alone(batch, NARROW))
    monkeypatch.setattr(encoder_module, "zero_padding", lambda values, *_, **__: values)
    assert bool((_log_probs(learned.network, batch)[NARROW] - expected).abs().max() > 1e-3)
