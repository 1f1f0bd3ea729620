"""Reading many lines: order, batches and loss."""

from __future__ import annotations

import math

import pytest
import torch

from ocrsearch.core.config import (
    ClassifierConfig,
    Config,
    CrnnConfig,
    EncoderConfig,
    ImageConfig,
    ModelConfig,
    Seq2SeqConfig,
    TowerConfig,
)
from ocrsearch.data.batches import collate
from ocrsearch.data.dataset import Dataset
from ocrsearch.data.images.lines import Line, scaled_lines
from ocrsearch.models import recogniser as recogniser_module
from ocrsearch.models.architecture import build_network
from ocrsearch.models.recogniser import Reading, Recogniser, read_lines

CPU = torch.device("cpu")
IMAGES = ImageConfig(height=16)
ENCODER = EncoderConfig(conv_depth=2, conv_base=8, linear_width=16, hidden_size=16, dropout=0.5)
TOWER = TowerConfig(conv_depth=2, conv_base=8, linear_width=16)
MODELS: list[ModelConfig] = [
    CrnnConfig(encoder=ENCODER),
    Seq2SeqConfig(encoder=ENCODER),
    ClassifierConfig(encoder=TOWER),
]
every_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.architecture)


@pytest.fixture
def lines(sixteen_lines: Dataset) -> list[Line]:
    return scaled_lines(sixteen_lines.splits["train"], sixteen_lines.charset, IMAGES)


def untrained(model: ModelConfig) -> Recogniser:
    """Weights so large that the pictures are read differently."""
    network = build_network(Config(images=IMAGES, model=model), 10, seed=1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.5)
    return network


def read(model: ModelConfig, lines: list[Line], *, with_loss: bool) -> Reading:
    return read_lines(untrained(model), lines, CPU, with_loss=with_loss)


@every_model
def test_readings_are_in_the_order_of_the_lines(model: ModelConfig, lines: list[Line]) -> None:
    together = read(model, lines, with_loss=False).hypotheses
    different = {(h.ids, tuple(round(c, 2) for c in h.symbol_confidences)) for h in together}
    assert len(different) > 4  # by more than the tolerance
    for line, found in zip(lines, together, strict=True):
        (alone,) = read(model, [line], with_loss=False).hypotheses
        assert found.ids == alone.ids
        assert found.symbol_confidences == pytest.approx(alone.symbol_confidences, abs=1e-3)


@every_model
@pytest.mark.parametrize("max_batch_size", [1, 3, 16])
def test_readings_do_not_depend_on_the_batches(
    model: ModelConfig,
    max_batch_size: int,
    lines: list[Line],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = [h.ids for h in read(model, lines, with_loss=False).hypotheses]
    monkeypatch.setattr(recogniser_module, "MAX_BATCH_SIZE", max_batch_size)
    assert [h.ids for h in read(model, lines, with_loss=False).hypotheses] == expected


@every_model
def test_loss_is_that_of_the_batch(model: ModelConfig, lines: list[Line]) -> None:
    batch = collate([line.image for line in lines], [line.target for line in lines])
    network = untrained(model).eval()
    with torch.no_grad():
        output = network.encode(batch.images, batch.widths)
        expected = network.loss(output, batch, 0)
    found = read(model, lines, with_loss=True).loss
    assert found == pytest.approx(expected.item(), rel=1e-4)


def test_loss_weighs_batches_by_their_lines(
    lines: list[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(MODELS[0], lines, with_loss=True).loss
    monkeypatch.setattr(recogniser_module, "MAX_BATCH_SIZE", 15)  # and a last one of 1
    assert read(MODELS[0], lines, with_loss=True).loss == pytest.approx(expected, rel=1e-4)


@every_model
def test_lines_without_labels_are_read_without_loss(model: ModelConfig, lines: list[Line]) -> None:
    reading = read(model, [Line(line.image) for line in lines], with_loss=False)
    assert len(reading.hypotheses) == len(lines)
    assert math.isnan(reading.loss)


@pytest.mark.parametrize("with_loss", [True, False])
def test_reading_nothing_gives_nothing(with_loss: bool) -> None:
    reading = read(MODELS[0], [], with_loss=with_loss)
    assert reading.hypotheses == []
    assert math.isnan(reading.loss)


@every_model
def test_reading_leaves_the_network_as_it_was_but_in_evaluation_mode(
    model: ModelConfig, lines: list[Line]
) -> None:
    network = untrained(model)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    read_lines(network, lines, CPU, with_loss=True)
    assert not network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@every_model
def test_each_picture_is_encoded_once(
    model: ModelConfig, lines: list[Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    network, widths = untrained(model), list[int]()
    encode = network.encode

    def noting(images: torch.Tensor, of: torch.Tensor) -> object:
        widths.extend(of.tolist())
        return encode(images, of)

    monkeypatch.setattr(network, "encode", noting)
    read_lines(network, lines, CPU, with_loss=True)
    assert sorted(widths) == sorted(line.image.shape[1] for line in lines)
