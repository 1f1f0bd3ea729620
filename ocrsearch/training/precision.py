"""Mixed precision where the machine is faster with it, by measurement.

Convolutions can run in bfloat16, and LSTMs with them: they are nearly all of the work. Some
processors only emulate the type and get slower, and some builds have no LSTM in it. GRUs stay in
float32, in which they were measured to be faster.
"""

from __future__ import annotations

import math
import time
from typing import Literal

import torch
from torch import nn

from ocrsearch.config import EncoderConfig
from ocrsearch.models.encoder import BiRnn, ConvTower, Encoder

Precision = Literal["fp32", "bf16", "bf16-lstm"]
"""bf16 is for the convolutions alone; bf16-lstm for both."""

CANDIDATES: tuple[Precision, ...] = ("fp32", "bf16", "bf16-lstm")

REQUIRED_GAIN = 1.1
"""Of a reduced precision over float32."""

N_ROUNDS = 4


def faster_precision(device: torch.device) -> Precision:
    """Time a small encoder, forward and backward, in all types; takes well under a second.

    What counts is processor time, so that other work on the machine does not decide.
    """
    if device.type == "cuda":
        emulated = not torch.cuda.is_bf16_supported(including_emulation=False)
        return "fp32" if emulated else "bf16"
    seconds = _seconds(device)
    fastest = min(seconds, key=lambda precision: seconds[precision])
    return fastest if seconds["fp32"] > REQUIRED_GAIN * seconds[fastest] else "fp32"


def set_precision(network: nn.Module, precision: Precision) -> None:
    """Let parts of a network compute in a type; weights stay in float32."""
    for module in network.modules():
        if isinstance(module, ConvTower):
            module.compute_dtype = None if precision == "fp32" else torch.bfloat16
        if isinstance(module, BiRnn):
            in_bf16 = precision == "bf16-lstm" and isinstance(module.forwards[0], nn.LSTM)
            module.compute_dtype = torch.bfloat16 if in_bf16 else None


def _seconds(device: torch.device) -> dict[Precision, float]:
    """Return the least time of some rounds in each type, in turns against noise.

    It is infinite where the build cannot compute in the type.
    """
    config = EncoderConfig(
        conv_depth=3, conv_base=16, conv_growth=2.0, linear_width=64, hidden_size=128
    )
    with torch.random.fork_rng(devices=[]):  # its weights do not matter, the random state does
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
