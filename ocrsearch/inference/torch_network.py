"""Recognition by PyTorch, of models in ``.pt`` files."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from typing_extensions import override

from ocrsearch.data import GrayImage, collate
from ocrsearch.inference.networks import Network
from ocrsearch.models import Recogniser
from ocrsearch.models.decoding import Readout
from ocrsearch.training import Bundle, Model, limit_threads, select_device


def open_torch(model: Model, device: str) -> list[Network]:
    """Return the networks of a bundle; see ``open_networks``."""
    assert isinstance(model, Bundle)
    limit_threads()
    place = select_device(device)
    return [TorchNetwork(member.build_network().to(place), place) for member in model.members]


class TorchNetwork(Network):
    """A network of PyTorch in evaluation mode."""

    def __init__(self, network: Recogniser, device: torch.device) -> None:
        self._network, self._device = network.eval(), device

    @override
    @torch.inference_mode()
    def read(self, images: Sequence[GrayImage]) -> Readout:
        batch = collate(images, [()] * len(images)).to(self._device)
        return self._network.readout(self._network.encode(batch.images, batch.widths))
