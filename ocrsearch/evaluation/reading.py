"""Reading many lines with a network, in the same batches for validation and for recognition."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ocrsearch.data import Batch, collate, width_sorted_batches
from ocrsearch.data.images import Line
from ocrsearch.models import NetworkOutput, Recogniser
from ocrsearch.models.decoding import Hypothesis

MAX_BATCH_SIZE = 64


@dataclass(frozen=True)
class Reading:
    """The texts read in some lines.

    Attributes:
        hypotheses: text of each line, in the order of the lines.
        loss: mean loss over the lines; NaN if it was not computed.
    """

    hypotheses: list[Hypothesis]
    loss: float


@torch.inference_mode()
def read_lines(
    network: Recogniser, lines: Sequence[Line], device: torch.device, *, with_loss: bool = False
) -> Reading:
    """Read lines greedily in batches of similar width.

    Args:
        network: network on the device; left in evaluation mode.
        lines: images, with labels if the loss is computed.
        device: device to compute on.
        with_loss: whether to compute the loss of the labels.
    """
    hypotheses: list[Hypothesis | None] = [None] * len(lines)
    total = 0.0
    for ids, batch, output in encode_lines(network, lines, device):
        for i, hypothesis in zip(ids, network.greedy(output), strict=True):
            hypotheses[i] = hypothesis
        if with_loss:
            total += float(network.loss(output, batch, 0)) * len(ids)
    loss = total / len(lines) if with_loss and lines else float("nan")
    return Reading([h for h in hypotheses if h is not None], loss)


def encode_lines(
    network: Recogniser, lines: Sequence[Line], device: torch.device
) -> Iterator[tuple[list[int], Batch, NetworkOutput]]:
    """Yield batches of lines of similar width: the indices of the lines, the batch, its output.

    The arguments are those of ``read_lines``.
    """
    network.eval()
    for ids in width_sorted_batches([line.image.shape[1] for line in lines], MAX_BATCH_SIZE):
        batch = collate([lines[i].image for i in ids], [lines[i].target for i in ids]).to(device)
        yield ids, batch, network.encode(batch.images, batch.widths)
