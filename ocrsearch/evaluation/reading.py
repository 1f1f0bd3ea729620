"""Reading many lines with a network: the same batches for validation and for recognition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ocrsearch.data import Batch, collate, width_sorted_batches
from ocrsearch.data.images import Line
from ocrsearch.models import Architecture
from ocrsearch.models.decoding import Hypothesis

MAX_BATCH_SIZE = 64


@dataclass(frozen=True)
class Reading:
    """What was read in each line, in their order, and the mean loss over batches."""

    hypotheses: list[Hypothesis]
    loss: float


@torch.inference_mode()
def read_lines(
    network: nn.Module,
    architecture: Architecture,
    lines: Sequence[Line],
    device: torch.device,
    *,
    with_loss: bool = False,
) -> Reading:
    """Read lines greedily in batches of similar width; the module is left in evaluation mode.

    Args:
        network: built for this architecture, on the device.
        architecture: how its output is decoded and its loss computed.
        lines: pictures, and labels if the loss is wanted.
        device: where to compute.
        with_loss: whether the labels are compared with the output; otherwise loss is NaN.
    """
    hypotheses: list[Hypothesis | None] = [None] * len(lines)
    total = 0.0
    for ids, batch, output in encode_lines(network, architecture, lines, device):
        for i, hypothesis in zip(ids, architecture.greedy(network, output), strict=True):
            hypotheses[i] = hypothesis
        if with_loss:
            total += float(architecture.loss(network, output, batch, 0)) * len(ids)
    loss = total / len(lines) if with_loss and lines else float("nan")
    return Reading([h for h in hypotheses if h is not None], loss)


def encode_lines(
    network: nn.Module, architecture: Architecture, lines: Sequence[Line], device: torch.device
) -> Iterator[tuple[list[int], Batch, Any]]:
    """Yield batches of lines of similar width: their numbers, the batch, and what came of it.

    The arguments are those of ``read_lines``.
    """
    network.eval()
    for ids in width_sorted_batches([line.image.shape[1] for line in lines], MAX_BATCH_SIZE):
        batch = collate([lines[i].image for i in ids], [lines[i].target for i in ids]).to(device)
        yield ids, batch, architecture.encode(network, batch.images, batch.widths)
