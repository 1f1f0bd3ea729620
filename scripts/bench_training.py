"""Measure the training speed of a CRNN: ocrsearch, a bare PyTorch loop and the machine's limit.

All cores are in use, with one single-threaded process per core, as in a search. The bare loop has
the same layers, batch size and affine augmentation in the simplest code, with each norm before its
pooling, as is usual. The limit of each part is its number of multiply-adds, divided by the
multiply-adds per second of large convolutions or matrix products.
"""

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from torch import nn
from torch.profiler import ProfilerActivity, profile

from ocrsearch.core import (
    Config,
    CrnnConfig,
    EncoderConfig,
    ImageConfig,
    OcrSearchError,
    TrainingConfig,
)
from ocrsearch.data import Dataset, load_dataset, standardize
from ocrsearch.data.images import scaled_lines
from ocrsearch.models import conv_channels, list_layers, pool_sizes
from ocrsearch.training import Precision, Trainer, TrainerOptions, faster_precision

CONFIG = Config(
    images=ImageConfig(height=32),
    model=CrnnConfig(
        encoder=EncoderConfig(conv_depth=5, conv_base=24, linear_width=64, hidden_size=128)
    ),
    training=TrainingConfig(batch_size=16),
)
PASSES = 3
"""Cost of forward and backward pass in forward passes."""

PARTS = {
    "convolutions": ("convolution",),
    "norms, pooling, ReLU": ("batch_norm", "max_pool2d", "clamp_min", "threshold_backward"),
    "recurrent": ("mkldnn_rnn_layer",),
    "linear": ("aten::mm", "aten::addmm", "aten::bmm"),
    "loss": ("ctc_loss", "log_softmax"),
    "optimiser": ("adamw", "_foreach_norm", "linalg_vector_norm", "_foreach_mul"),
}
"""Parts of a training step, and substrings in the names of their operations."""

Job = tuple[str, Precision, int]


def main(
    data: Annotated[str, typer.Option(help="Dataset, as for 'ocrsearch run'.")] = "digits",
    rounds: Annotated[
        int, typer.Option(min=1, help="Number of epochs per loop; loops alternate.")
    ] = 5,
    processes: Annotated[
        int, typer.Option(min=0, help="Number of processes; 0 for all cores.")
    ] = 0,
) -> None:
    """Print the images per second of each loop, and how near each part is to its limit."""
    torch.set_num_threads(1)
    precision = faster_precision(torch.device("cpu"))
    n = processes or len(os.sched_getaffinity(0))
    try:
        dataset = load_dataset(data)
    except OcrSearchError as error:
        typer.echo(f"bench_training: {error}", err=True)
        raise typer.Exit(error.exit_code) from None
    typer.echo(f"{len(dataset.splits['train'])} images, {n} processes, {precision}")
    rates = _rates(data, precision, n, rounds)
    for name, values in rates.items():
        ratio = [a / b for a, b in zip(values, rates["bare loop"], strict=True)]
        typer.echo(
            f"{name:<16}{median(values):8.0f} images per second "
            f"({min(values):.0f} to {max(values):.0f}), {median(ratio):.2f} times the bare loop"
        )
    _print_parts(dataset, precision)


def _rates(data: str, precision: Precision, n: int, rounds: int) -> dict[str, list[float]]:
    """Return the images per second over all processes; loops alternate to reduce noise."""
    rates: dict[str, list[float]] = {name: [] for name in LOOPS}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n, mp_context=spawn, initializer=_open, initargs=(data,)) as pool:
        for i in range(rounds + 1):
            for name, values in rates.items():
                jobs: list[Job] = [(name, precision, seed) for seed in range(n)]
                done = sum(pool.map(_epoch, jobs))
                if i:  # round 0 is the warm-up
                    values.append(done)
    return rates


_loops: dict[str, Callable[[], int]] = {}
_data: list[Dataset] = []


def _open(data: str) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    _data.append(load_dataset(data))


def _epoch(job: Job) -> float:
    """Return the images per second of an epoch."""
    name, precision, seed = job
    if name not in _loops:
        _loops[name] = LOOPS[name](_data[0], precision, seed)
    start = time.perf_counter()
    n = _loops[name]()
    return n / (time.perf_counter() - start)


def _own_loop(dataset: Dataset, precision: Precision, seed: int) -> Callable[[], int]:
    """Return a function that trains an epoch without validation, as the bare loop does."""
    trainer = Trainer(CONFIG, dataset, seed, torch.device("cpu"), TrainerOptions(precision))

    def epoch() -> int:
        trainer._train_epoch()
        return len(dataset.splits["train"])

    return epoch


def _whole_epoch(dataset: Dataset, precision: Precision, seed: int) -> Callable[[], int]:
    """Return a function that trains and validates an epoch, as a search does."""
    trainer = Trainer(CONFIG, dataset, seed, torch.device("cpu"), TrainerOptions(precision))

    def epoch() -> int:
        trainer.run_epoch()
        return len(dataset.splits["train"])

    return epoch


class BareCrnn(nn.Module):
    """The layers of ``CONFIG``, written as in a tutorial."""

    def __init__(self, n_symbols: int) -> None:
        super().__init__()
        encoder = CONFIG.model.encoder
        channels, layers = conv_channels(encoder), []
        pools = pool_sizes(encoder, CONFIG.images.height)
        for c_in, c_out, pool in zip([1, *channels], channels, pools, strict=False):
            layers += [nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU()]
            layers += [nn.MaxPool2d(pool)] if pool != (1, 1) else []
        self.convs = nn.Sequential(*layers)
        rows = CONFIG.images.height
        for pool_rows, _ in pools:
            rows //= pool_rows
        self.linear = nn.Linear(channels[-1] * rows, encoder.linear_width)
        self.rnn = nn.LSTM(
            encoder.linear_width, encoder.hidden_size, batch_first=True, bidirectional=True
        )
        self.head = nn.Linear(2 * encoder.hidden_size, n_symbols + 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (T, B, V) for images (B, 1, H, W)."""
        columns = self.convs(images).float().permute(0, 3, 1, 2).flatten(2)
        return self.head(self.rnn(self.linear(columns))[0]).transpose(0, 1)


def bare_loop(dataset: Dataset, precision: Precision, seed: int) -> Callable[[], int]:
    """Return a function that trains an epoch on images scaled and padded beforehand."""
    torch.manual_seed(seed)
    lines = scaled_lines(dataset.splits["train"], dataset.charset, CONFIG.images)
    width = max(line.image.shape[1] for line in lines)
    images = torch.zeros(len(lines), 1, CONFIG.images.height, width)
    for image, line in zip(images, lines, strict=True):
        image[0, :, : line.image.shape[1]] = torch.from_numpy(standardize(line.image))
    targets = [torch.tensor(line.target) for line in lines]
    network, size = BareCrnn(len(dataset.charset)), CONFIG.training.batch_size
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    blank = len(dataset.charset)

    def epoch() -> int:
        for ids in torch.randperm(len(images)).split(size):
            batch = _affine(images[ids])
            with torch.autocast("cpu", torch.bfloat16, enabled=precision != "fp32"):
                logits = network(batch)
            lengths = torch.full((len(ids),), logits.shape[0])
            labels = [targets[i] for i in ids.tolist()]
            loss = nn.functional.ctc_loss(
                logits.float().log_softmax(2),
                torch.cat(labels),
                lengths,
                torch.tensor([len(label) for label in labels]),
                blank=blank,
                zero_infinity=True,
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
        return len(images)

    return epoch


def _affine(batch: torch.Tensor) -> torch.Tensor:
    change = 0.1 * (2 * torch.rand(len(batch), 2, 3) - 1)
    grid = nn.functional.affine_grid(torch.eye(2, 3) + change, list(batch.shape), False)
    return nn.functional.grid_sample(batch, grid, padding_mode="border", align_corners=False)


LOOPS = {"ocrsearch": _own_loop, "with validation": _whole_epoch, "bare loop": bare_loop}
"""Loops to measure, by name."""


def _print_parts(dataset: Dataset, precision: Precision) -> None:
    """Profile an epoch; print the time of each part as a fraction, and how near its limit is."""
    trainer = Trainer(CONFIG, dataset, 0, torch.device("cpu"), TrainerOptions(precision))
    trainer.run_epoch()
    start = time.process_time()
    trainer.run_epoch()
    whole = time.process_time() - start
    with profile(activities=[ProfilerActivity.CPU]) as record:
        trainer.run_epoch()
    seconds, other = dict.fromkeys(PARTS, 0.0), 0.0
    for event in record.key_averages():
        part = next((p for p, keys in PARTS.items() if any(k in event.key for k in keys)), None)
        if part:
            seconds[part] += event.self_cpu_time_total / 1e6
        else:
            other += event.self_cpu_time_total / 1e6
    conv, linear, recurrent = _multiply_adds(dataset)
    conv_peak, matrix_peak = _conv_peak(precision), _matrix_peak()
    limits = {
        "convolutions": conv / conv_peak,
        "recurrent": recurrent / matrix_peak,
        "linear": linear / matrix_peak,
    }
    typer.echo(
        f"\nconvolutions reach {2 * conv_peak / 1e9:.0f} GFLOP/s per core ({precision}), matrix "
        f"products {2 * matrix_peak / 1e9:.0f} (fp32)"
    )
    total = sum(seconds.values()) + other
    for part, value in {**seconds, "all else": other}.items():
        limit = f"  {limits[part] / value:6.1%} of its limit" if part in limits else ""
        typer.echo(f"  {part:<22}{value / total:6.1%} of the profiled time{limit}")
    typer.echo(
        f"  an epoch takes {whole:.2f} s of processor time, "
        f"of which the limits explain {sum(limits.values()) / whole:.1%}"
    )


def _multiply_adds(dataset: Dataset) -> tuple[float, float, float]:
    """Return the multiply-adds per epoch of convolutions, linear layers and recurrent layers."""
    sums = {"conv": 0.0, "linear": 0.0, "recurrent": 0.0}
    for line in scaled_lines(dataset.splits["train"], dataset.charset, CONFIG.images):
        for layer in list_layers(
            CONFIG, len(dataset.charset), line.image.shape[1], len(line.target)
        ):
            kind = "conv" if "conv" in layer.kind else "linear"
            kind = "recurrent" if "LSTM" in layer.kind else kind
            sums[kind] += PASSES * layer.n_multiply_adds
    return sums["conv"], sums["linear"], sums["recurrent"]


def _conv_peak(precision: Precision) -> float:
    """Return the multiply-adds per second of a large convolution, forward and backward."""
    conv = nn.Conv2d(64, 64, 3, padding=1, bias=False).to(memory_format=torch.channels_last)
    x = torch.randn(16, 64, 16, 64).contiguous(memory_format=torch.channels_last).requires_grad_()

    def both_passes() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision != "fp32"):
            y = conv(x)
        y.backward(torch.ones_like(y))

    return PASSES * 9 * 64 * 64 * 16 * 16 * 64 / _fastest(both_passes)


def _matrix_peak() -> float:
    a = torch.randn(1024, 1024)
    return 1024**3 / _fastest(lambda: a @ a)


def _fastest(work: Callable[[], object]) -> float:
    """Return the shortest processor time of ten runs, in seconds."""
    times = []
    for _ in range(10):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return float(np.min(times))


if __name__ == "__main__":
    typer.run(main)
