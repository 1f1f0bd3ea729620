"""How long a network takes to read one picture."""

from __future__ import annotations

import statistics
import time

import torch

from ocrsearch.config import FRAME_STRIDE, Config
from ocrsearch.models.factory import ARCHITECTURES, build_network

N_WARM_UP = 2
N_MEASURED = 7


@torch.inference_mode()
def measure_latency(
    config: Config, n_symbols: int, width: int, n_written: int, device: torch.device
) -> float:
    """Measure a network with random weights; those change nothing.

    On a CPU the time is that of this thread, so that other work on the machine counts little.

    Args:
        config: its model and picture height are used.
        n_symbols: size of the charset.
        width: of the picture as the network reads it, in pixels.
        n_written: symbols that a decoder writes.
        device: where to compute, in fp32.

    Returns:
        The median of some measurements, in milliseconds, without reading and scaling a file.
    """
    architecture = ARCHITECTURES[config.model.architecture]
    network = build_network(config, n_symbols, seed=0).eval().to(device)
    width = -(-width // FRAME_STRIDE) * FRAME_STRIDE
    image = torch.zeros(1, 1, config.images.height, width, device=device)
    clock = time.perf_counter if device.type == "cuda" else time.thread_time
    times = []
    for _ in range(N_WARM_UP + N_MEASURED):
        start = clock()
        output = architecture.encode(network, image, torch.tensor([width]))
        architecture.write(network, output, n_written)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(clock() - start)
    return 1000.0 * statistics.median(times[N_WARM_UP:])
