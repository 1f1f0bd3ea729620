"""The registry of architectures: from a configuration to its network.

``ocrsearch/models/layers.py`` describes the layers under the same keys, without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ocrsearch.core import Config
from ocrsearch.models.classifier import Classifier
from ocrsearch.models.crnn import Crnn
from ocrsearch.models.layers import check_size
from ocrsearch.models.recogniser import Recogniser
from ocrsearch.models.seq2seq import Seq2Seq

ARCHITECTURES: dict[str, type[Recogniser]] = {
    "crnn": Crnn,
    "seq2seq": Seq2Seq,
    "classifier": Classifier,
}
"""Classes by ``config.model.architecture``."""


def build_network(config: Config, n_symbols: int, seed: int) -> Recogniser:
    """Build the network of a configuration with random weights.

    Args:
        config: configuration; its model and image height are used.
        n_symbols: size of the charset.
        seed: seed for the weights; the global random state does not change.

    Returns:
        A network in training mode, on the CPU, with convolutions in channels-last layout.

    Raises:
        InfeasibleError: see ``check_size``.
    """
    check_size(config, n_symbols)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = _build(config, n_symbols)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _build(config: Config, n_symbols: int) -> Recogniser:
    return ARCHITECTURES[config.model.architecture](config.model, config.images.height, n_symbols)


def outline(config: Config, n_symbols: int) -> dict[str, Tensor]:
    """Return the state of a configuration's network without values, on the meta device.

    It has the names, shapes and types of ``build_network(...).state_dict()``, and takes neither
    time nor memory.

    Raises:
        InfeasibleError: see ``check_size``.
    """
    check_size(config, n_symbols)
    with torch.device("meta"), _WithoutNormals():
        return _build(config, n_symbols).state_dict()


class _WithoutNormals(TorchFunctionMode):
    """Skips drawing normal numbers: on the meta device PyTorch would load its compiler for it."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        return kwargs["tensor"] if func is nn.init.normal_ else func(*args, **kwargs)


def n_parameters(network: nn.Module) -> int:
    """Return the number of weights of a network."""
    return sum(p.numel() for p in network.parameters())


def symbol_rows(config: Config, n_symbols: int) -> dict[str, int]:
    """Return the names of the tensors with a row for each symbol, and the number of other rows.

    The tensors are found by their shapes, which depend on the number of symbols. The other rows
    follow the symbols: blank, end and begin, in the order of the architecture's ids.
    """
    smaller, larger = outline(config, n_symbols), outline(config, n_symbols + 1)
    return {
        name: len(tensor) - n_symbols
        for name, tensor in smaller.items()
        if tensor.shape != larger[name].shape
    }
