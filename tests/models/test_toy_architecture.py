"""A new architecture is a module, a configuration class and two entries; see CONTRIBUTING.md."""

from __future__ import annotations

from typing import ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn
from typing_extensions import override

from ocrsearch.core import (
    FRAME_STRIDE,
    ArchitectureConfig,
    AugmentConfig,
    Config,
    ImageConfig,
    Integer,
    TrainingConfig,
)
from ocrsearch.data import Batch, Dataset
from ocrsearch.data.images import scaled_lines
from ocrsearch.models import (
    ARCHITECTURES,
    LAYERS,
    CtcTensors,
    Layer,
    Recogniser,
    Work,
    aligning_loss,
    build_network,
    count_parameters,
    list_layers,
    n_parameters,
    read_lines,
    symbol_rows,
)
from ocrsearch.models.decoding import Readout
from ocrsearch.training import Trainer, measure_latency

CPU = torch.device("cpu")
KERNEL_PX = 3 * FRAME_STRIDE


# --- configuration: in core/config.py ---------------------------------------------------------


class ToyConfig(ArchitectureConfig):
    """One convolution over the full height, CTC."""

    separates_repeats: ClassVar[bool] = True

    architecture: Literal["toy"] = "toy"
    n_channels: Integer = 64


class TrialConfig(Config):
    """Stands for the entry in the ``ModelConfig`` union, which a test cannot extend."""

    model: ToyConfig = ToyConfig()


# --- network: a module of its own in models/ --------------------------------------------------


class Toy(Recogniser[CtcTensors]):
    """A convolution over the full height and three time steps, ReLU, linear, CTC."""

    has_flat_start = True

    def __init__(self, config: ToyConfig, height: int, n_symbols: int) -> None:
        super().__init__(config, height, n_symbols)
        self.conv = nn.Conv2d(
            1, config.n_channels, (height, KERNEL_PX), (1, FRAME_STRIDE), (0, FRAME_STRIDE)
        )
        self.head = nn.Linear(config.n_channels, n_symbols + 1)

    @override
    def encode(self, images: Tensor, widths: Tensor) -> CtcTensors:
        columns = self.conv(images).relu()[:, :, 0].transpose(1, 2)  # (B, T, C)
        return CtcTensors(self.head(columns).log_softmax(2), widths // FRAME_STRIDE)

    @override
    def loss(self, output: CtcTensors, batch: Batch, step: int, *, flat: bool = False) -> Tensor:
        return aligning_loss(output.log_probs, batch, step, flat=flat)

    @override
    def ctc_log_probs(self, output: CtcTensors) -> Tensor:
        return output.log_probs

    @override
    def readout(self, output: CtcTensors) -> Readout:
        return output.readout()


# --- its layers: in models/layers.py ----------------------------------------------------------


def toy_layers(config: ToyConfig, work: Work) -> list[Layer]:
    n, n_outputs = config.n_channels, work.n_symbols + 1
    n_weights = n * work.height * KERNEL_PX
    return [
        Layer("conv", "conv", (n, 1, work.n_frames), n_weights + n, n_weights * work.n_frames),
        Layer(
            "head",
            "linear",
            (work.n_frames, n_outputs),
            (n + 1) * n_outputs,
            n * n_outputs * work.n_frames,
        ),
    ]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "toy", Toy)
    monkeypatch.setitem(LAYERS, "toy", toy_layers)


CONFIG = TrialConfig(
    images=ImageConfig(height=16),
    training=TrainingConfig(
        batch_size=4,
        epochs=60,
        decay_patience=60,
        learning_rate=0.005,
        augment=AugmentConfig(strength=0.0),
    ),
)


def test_trains_and_reads(sixteen_lines: Dataset) -> None:
    trainer = Trainer(CONFIG, sixteen_lines, seed=0, device=CPU)
    reports = [trainer.run_epoch()]
    while not trainer.finished:
        reports.append(trainer.run_epoch())
    assert reports[-1].val_loss < 0.5 * reports[0].val_loss
    assert reports[-1].metrics.cer < 0.1

    train = sixteen_lines.splits["train"]
    lines = scaled_lines(train, sixteen_lines.charset, CONFIG.images)
    trainer.network.load_state_dict(trainer.weights())  # those that were validated
    reading = read_lines(trainer.network, lines, CPU, with_loss=True)
    assert [sixteen_lines.charset.decode(h.ids) for h in reading.hypotheses] == trainer.read_texts
    assert reading.loss == pytest.approx(reports[-1].val_loss)


def test_layers_and_rows_of_symbols_are_those_of_the_network() -> None:
    network = build_network(CONFIG, 10, seed=0)
    layers = list_layers(CONFIG, 10, width=64, n_written=3)
    assert count_parameters(layers) == n_parameters(network)
    assert symbol_rows(CONFIG, 10) == {"head.weight": 1, "head.bias": 1}


def test_latency_is_measured() -> None:
    assert measure_latency(CONFIG, 10, width=61, n_written=5, device=CPU) > 0.0
