"""The registry of architectures, and the one way from a configuration to a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ocrsearch.core import Config
from ocrsearch.models.classifier import Classifier
from ocrsearch.models.crnn import Crnn, CtcOutput
from ocrsearch.models.decoding import (
    BeamSearch,
    Hypothesis,
    classifier_greedy,
    classifier_rate,
    classifier_score,
    crnn_greedy,
    crnn_rate,
    crnn_score,
    ctc_beam_search,
    seq2seq_beam_search,
    seq2seq_greedy,
    seq2seq_rate,
    seq2seq_score,
    seq2seq_steps,
)
from ocrsearch.models.encoder import Encoded
from ocrsearch.models.layers import check_size
from ocrsearch.models.losses import (
    classifier_loss,
    crnn_loss,
    seq2seq_loss,
)
from ocrsearch.models.seq2seq import Seq2Seq


@dataclass(frozen=True)
class Architecture:
    """What the rest of the program needs of an architecture.

    Attributes:
        build: from its configuration class, picture height and number of symbols to a module.
        encode: from the module, images (B, 1, H, W) and widths (B,) to the output that loss and
            decoding both begin with.
        loss: from the module, its output, a batch, the number of batches trained before and
            ``flat``, whether this is still the flat start, to a scalar.
        ctc_head: from the module and its output to the (B, T, V) log probabilities by which the
            flat start is ended; None for an architecture that needs none.
        greedy: from the module and its output to what was read.
        beam: the same by beam search; None where there is nothing to search for.
        score: from the module, its output, a text for each picture and the weight of a CTC head
            beside a decoder to (B,) scores: log probabilities, as beam search adds them up;
            minus infinity for what it cannot write.
        rate: from the module, its output and a text for each picture to the texts with their
            confidences.
        write: takes the module, its output and a number of symbols, and does what decoding
            does for a picture with so many; to measure the time.
    """

    build: Callable[[Any, int, int], nn.Module]
    encode: Callable[[Any, Tensor, Tensor], Any]
    loss: Callable[..., Tensor]
    ctc_head: Callable[[Any, Any], Tensor] | None
    greedy: Callable[[Any, Any], list[Hypothesis]]
    beam: Callable[[Any, Any, BeamSearch], list[Hypothesis]] | None
    score: Callable[[Any, Any, Sequence[Sequence[int]], float], np.ndarray]
    rate: Callable[[Any, Any, Sequence[Sequence[int]]], list[Hypothesis]]
    write: Callable[[Any, Any, int], object]


def _whole(network: nn.Module, images: Tensor, widths: Tensor) -> Any:
    return network(images, widths)


def _crnn(network: Crnn, images: Tensor, widths: Tensor) -> CtcOutput | Encoded:
    """In training the loss computes the heads."""
    output: CtcOutput | Encoded = (network.encoder if network.training else network)(images, widths)
    return output


def _encoder(network: Seq2Seq, images: Tensor, widths: Tensor) -> Encoded:
    encoded: Encoded = network.encoder(images, widths)
    return encoded


def _write_at_once(greedy: Callable[[Any, Any], object]) -> Callable[[Any, Any, int], object]:
    """Return the ``write`` of an architecture whose decoding takes the same time for any label."""
    return lambda network, output, n_written: greedy(network, output)  # noqa: ARG005


def _crnn_beam(network: Crnn, output: CtcOutput, search: BeamSearch) -> list[Hypothesis]:
    return ctc_beam_search(output, network.blank_id, search)


ARCHITECTURES: dict[str, Architecture] = {
    "crnn": Architecture(
        Crnn,
        _crnn,
        crnn_loss,
        lambda network, encoded: network.read(encoded),
        crnn_greedy,
        _crnn_beam,
        crnn_score,
        crnn_rate,
        _write_at_once(crnn_greedy),
    ),
    "seq2seq": Architecture(
        Seq2Seq,
        _encoder,
        seq2seq_loss,
        lambda network, encoded: network.column_head(encoded.columns),
        seq2seq_greedy,
        seq2seq_beam_search,
        seq2seq_score,
        seq2seq_rate,
        seq2seq_steps,
    ),
    "classifier": Architecture(
        Classifier,
        _whole,
        classifier_loss,
        None,
        classifier_greedy,
        None,
        classifier_score,
        classifier_rate,
        _write_at_once(classifier_greedy),
    ),
}


def build_network(config: Config, n_symbols: int, seed: int) -> nn.Module:
    """Build the network of a configuration with weights drawn from a seed.

    Args:
        config: its model and picture height are used.
        n_symbols: size of the charset.
        seed: of the initial weights; the global random state is left as it was.

    Returns:
        A module in training mode, on the CPU, convolutions in channels-last layout.

    Raises:
        InfeasibleError: see ``check_size``.
    """
    check_size(config, n_symbols)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        architecture = ARCHITECTURES[config.model.architecture]
        network = architecture.build(config.model, config.images.height, n_symbols)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def outline(config: Config, n_symbols: int) -> dict[str, Tensor]:
    """Return the state of a configuration's network without numbers, on the meta device.

    It has the names, shapes and types of ``build_network(...).state_dict()``, and takes neither
    time nor memory.

    Raises:
        InfeasibleError: see ``check_size``.
    """
    check_size(config, n_symbols)
    architecture = ARCHITECTURES[config.model.architecture]
    with torch.device("meta"), _NormalsLeftOut():
        network = architecture.build(config.model, config.images.height, n_symbols)
    return network.state_dict()


class _NormalsLeftOut(TorchFunctionMode):
    """Draw no normal numbers: on the meta device PyTorch would load its compiler, in seconds."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        return kwargs["tensor"] if func is nn.init.normal_ else func(*args, **kwargs)


def n_parameters(network: nn.Module) -> int:
    """Return the number of weights that a network has."""
    return sum(p.numel() for p in network.parameters())


def symbol_rows(config: Config, n_symbols: int) -> dict[str, int]:
    """Return which tensors have a row for each symbol, and the rows behind those.

    They are found by their shapes: one symbol more, one row more. Behind the symbols are blank,
    begin or end, in the order that the architecture gives them.
    """
    smaller, larger = outline(config, n_symbols), outline(config, n_symbols + 1)
    return {
        name: len(tensor) - n_symbols
        for name, tensor in smaller.items()
        if tensor.shape != larger[name].shape
    }
