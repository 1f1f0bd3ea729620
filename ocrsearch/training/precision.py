"""Mixed precision where the machine is faster with it, by measurement.

Only the convolutions run in bfloat16: they are most of the work, and not every build has a
recurrent layer in that type. Some processors only emulate it and get slower.
"""

from __future__ import annotations

import time
from typing import Literal

import torch

from ocrsearch.config import EncoderConfig
from ocrsearch.models.encoder import ConvTower

Precision = Literal["fp32", "bf16"]

REQUIRED_GAIN = 1.1
N_ROUNDS = 5


def faster_precision(device: torch.device) -> Precision:
    """Time a small conv tower, forward and backward, in both types; takes well under a second.

    What counts is processor time, so that other work on the machine does not decide.
    """
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return "fp32"
    if device.type == "cuda":
        return "bf16"
    seconds = {p: _seconds(p, device) for p in ("fp32", "bf16")}
    return "bf16" if seconds["fp32"] > REQUIRED_GAIN * seconds["bf16"] else "fp32"


def set_precision(network: torch.nn.Module, precision: Precision) -> None:
    """Let the conv towers of a network compute in a type; weights stay in float32."""
    for module in network.modules():
        if isinstance(module, ConvTower):
            module.compute_dtype = torch.bfloat16 if precision == "bf16" else None


def _seconds(precision: str, device: torch.device) -> float:
    with torch.random.fork_rng(devices=[]):  # its weights do not matter, the random state does
        tower = ConvTower(EncoderConfig(conv_depth=3, conv_base=16, conv_growth=2.0), height=32)
    tower = tower.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    set_precision(tower, "bf16" if precision == "bf16" else "fp32")
    images, widths = torch.zeros(8, 1, 32, 128, device=device), torch.full((8,), 128)
    best = float("inf")
    for _ in range(N_ROUNDS):
        start = time.process_time()
        tower(images, widths).float().sum().backward()
        best = min(best, time.process_time() - start)
    return best
