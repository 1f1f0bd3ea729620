"""Device, precision and latency of a network.

Convolutions and LSTMs can run in bfloat16. Some processors only emulate the type and get slower,
and some builds of PyTorch have no LSTM in it, so the precision is chosen by measurement. GRUs stay
in float32, in which they were measured to be faster.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import torch
from torch import nn

from ocrsearch.core import (
    FRAME_STRIDE,
    Config,
    EncoderConfig,
    OptionError,
    n_cores,
    program_version,
)
from ocrsearch.models import BiRnn, ConvTower, Encoder, build_network


def select_device(name: str) -> torch.device:
    """Return the device of a name.

    Args:
        name: "cpu", "cuda", or "auto" for CUDA if there is a GPU.

    Raises:
        OptionError: the name is unknown, or there is no GPU for "cuda".
    """
    if name not in ("auto", "cpu", "cuda"):
        raise OptionError(f"must be 'auto', 'cpu' or 'cuda', got {name!r}", "device")
    has_cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "cpu")
    if name == "cuda" and not has_cuda:
        problem = "PyTorch finds no GPU here; use cpu or auto"
        raise OptionError(problem, "device")
    return torch.device(name)


@contextmanager
def training_threads() -> Iterator[None]:
    """Compute with one thread, as a worker of a search does, unless OMP_NUM_THREADS is set.

    These networks are small: threads wait for each other as soon as anything else runs.
    """
    if "OMP_NUM_THREADS" in os.environ:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def limit_threads() -> None:
    """Limit PyTorch's threads to the cores that this process may use.

    PyTorch does not know the CPU quota of a container.
    """
    if torch.get_num_threads() > n_cores():
        torch.set_num_threads(n_cores())


def free_memory_mb(device: torch.device) -> float | None:
    """Return the megabytes of a GPU that no process uses; None for a CPU."""
    return torch.cuda.mem_get_info(device)[0] / 1e6 if device.type == "cuda" else None


PACKAGES = ("torch", "optuna", "numpy")


def installed_versions(device: torch.device) -> dict[str, str]:
    """Return the versions of the libraries, and the kind of machine."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    own = {"ocrsearch": program_version(), "python": platform.python_version(), "machine": name}
    return {**versions, **own}


Precision = Literal["fp32", "bf16", "bf16-lstm"]
"""bf16: convolutions in bfloat16; bf16-lstm: convolutions and LSTMs."""

CANDIDATES: tuple[Precision, ...] = ("fp32", "bf16", "bf16-lstm")

REQUIRED_GAIN = 1.1
"""Speed-up over float32 that a reduced precision must reach to be chosen."""

N_ROUNDS = 4


def faster_precision(device: torch.device) -> Precision:
    """Return the fastest precision, measured on a small encoder, forward and backward.

    It takes well under a second. Processor time is compared, so that other work on the machine
    has little influence.
    """
    if device.type == "cuda":
        emulated = not torch.cuda.is_bf16_supported(including_emulation=False)
        return "fp32" if emulated else "bf16"
    seconds = time_precisions(device)
    fastest = min(seconds, key=lambda precision: seconds[precision])
    return fastest if seconds["fp32"] > REQUIRED_GAIN * seconds[fastest] else "fp32"


@cache
def computable_precision(precision: Precision, device: torch.device) -> Precision:
    """Return a precision if this machine can compute in it, else float32.

    A training that began on another machine may have a precision that this one lacks.
    """
    if precision == "fp32" or device.type == "cuda":
        return precision
    return precision if math.isfinite(time_precisions(device)[precision]) else "fp32"


def set_precision(network: nn.Module, precision: Precision) -> None:
    """Set the precision of convolutions and LSTMs; weights stay in float32."""
    for module in network.modules():
        if isinstance(module, ConvTower):
            module.compute_dtype = None if precision == "fp32" else torch.bfloat16
        if isinstance(module, BiRnn):
            in_bf16 = precision == "bf16-lstm" and isinstance(module.forwards[0], nn.LSTM)
            module.compute_dtype = torch.bfloat16 if in_bf16 else None


def time_precisions(device: torch.device) -> dict[Precision, float]:
    """Return the best time of several rounds in each precision, interleaved to reduce noise.

    The time is infinite if this build of PyTorch cannot compute in the precision.
    """
    config = EncoderConfig(
        conv_depth=3, conv_base=16, conv_growth=2.0, linear_width=64, hidden_size=128
    )
    with torch.random.fork_rng(devices=[]):  # keep the random state of the caller
        encoder = Encoder(config, height=32)
    encoder = encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    encoder.eval()  # without dropout, which draws from the random state
    images, widths = torch.zeros(16, 1, 32, 128, device=device), torch.full((16,), 128)
    seconds: dict[Precision, list[float]] = {precision: [] for precision in CANDIDATES}
    for _ in range(N_ROUNDS):
        for precision, measured in seconds.items():
            set_precision(encoder, precision)
            start = time.process_time()
            try:
                encoder(images, widths).features.sum().backward()
            except RuntimeError:
                measured.append(math.inf)
            measured.append(time.process_time() - start)
    return {p: math.inf if math.inf in values else min(values) for p, values in seconds.items()}


N_WARM_UP = 2
N_MEASURED = 7


@torch.inference_mode()
def measure_latency(
    config: Config, n_symbols: int, width: int, n_written: int, device: torch.device
) -> float:
    """Measure the latency of a configuration's network, with random weights.

    On a CPU the processor time of this thread is measured, so that other work on the machine has
    little influence.

    Args:
        config: configuration; its model and image height are used.
        n_symbols: size of the charset.
        width: width of the image as the network reads it, in pixels.
        n_written: number of symbols that a decoder writes.
        device: device to compute on, in fp32.

    Returns:
        The median of several measurements in milliseconds. Reading and scaling a file is not
        included.
    """
    network = build_network(config, n_symbols, seed=0).eval().to(device)
    width = -(-width // FRAME_STRIDE) * FRAME_STRIDE
    image = torch.zeros(1, 1, config.images.height, width, device=device)
    clock = time.perf_counter if device.type == "cuda" else time.thread_time
    times = []
    for _ in range(N_WARM_UP + N_MEASURED):
        start = clock()
        output = network.encode(image, torch.tensor([width]))
        network.write(output, n_written)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - start)
    return 1000.0 * statistics.median(times[N_WARM_UP:])
