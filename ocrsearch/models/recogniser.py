"""The interface of all architectures, and reading many lines with one of them.

An architecture is a subclass of ``Recogniser`` in a module of its own, and a configuration class
in ``ocrsearch/core/config.py``. ``architecture.py`` lists the classes and builds networks.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from ocrsearch.core import DEFAULT_RECIPE, ModelConfig, RecipeConfig
from ocrsearch.data import MAX_BATCH_SIZE, Batch, collate, width_sorted_batches
from ocrsearch.data.images import Line
from ocrsearch.models.decoding import Hypothesis, Readout

NetworkOutput = Tensor | tuple[Tensor, ...]
"""A tensor, or a named tuple of tensors; the first dimension of each is the batch."""

Output = TypeVar("Output", bound=NetworkOutput)


class Recogniser(nn.Module, ABC, Generic[Output]):
    """A network that reads text in images, with its loss and its decoding.

    ``encode`` computes an output of the architecture's own type. All other methods begin with
    that output, so a batch is encoded once for its loss and its text. ``readout`` turns it into
    arrays, which are decoded without torch; it needs evaluation mode. Symbols have the ids 0 to
    n_symbols - 1; blank, end and begin follow. In tensors with a row for each symbol, these rows
    come first, in the order of the ids: transferring weights to another charset relies on it.

    Attributes:
        has_flat_start: whether ``loss`` has a flat start, which ends when ``ctc_log_probs``
            reads a training batch.
        recipe: constants of the loss; a trainer sets its own.
    """

    has_flat_start: ClassVar[bool] = False
    recipe: RecipeConfig = DEFAULT_RECIPE

    @abstractmethod
    def __init__(self, config: ModelConfig, height: int, n_symbols: int) -> None:
        """Build the layers with random weights, drawn from the global random state.

        Args:
            config: configuration of the architecture.
            height: height of the images in pixels.
            n_symbols: size of the charset.
        """
        super().__init__()

    @abstractmethod
    def encode(self, images: Tensor, widths: Tensor) -> Output:
        """Return the output that loss and decoding begin with.

        Args:
            images: (B, 1, H, W) float32 in [0, 1], zero to the right of each image.
            widths: (B,) int64, on the CPU: widths in pixels, multiples of FRAME_STRIDE.
        """

    @abstractmethod
    def loss(self, output: Output, batch: Batch, step: int, *, flat: bool = False) -> Tensor:
        """Return the scalar loss; in training mode with auxiliary losses.

        Args:
            output: output for the batch.
            batch: labels and widths.
            step: number of batches trained before.
            flat: whether this is the flat start.
        """

    def ctc_log_probs(self, output: Output) -> Tensor:
        """Return (B, T, V) log probabilities of a CTC head, the blank last.

        Needed for the flat start only.
        """
        raise NotImplementedError(f"{type(self).__name__} has no CTC head")

    @abstractmethod
    def readout(self, output: Output) -> Readout:
        """Return the output as arrays, ready to be decoded."""

    def write(self, output: Output, n_written: int) -> None:
        """Do the work of decoding a text of a given length, to measure its time.

        The default decodes greedily, for networks whose time does not depend on the text.

        Args:
            output: output for the images.
            n_written: number of symbols to write.
        """
        del n_written
        self.readout(output).greedy()


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
        for i, hypothesis in zip(ids, network.readout(output).greedy(), strict=True):
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
