"""The interface of the networks that recognise text, whatever computes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ocrsearch.data import GrayImage
from ocrsearch.training import Model

if TYPE_CHECKING:
    from ocrsearch.models.decoding import Readout


class Network(ABC):
    """A network on its device, ready for images."""

    @abstractmethod
    def read(self, images: Sequence[GrayImage]) -> Readout:
        """Compute the output for a batch.

        Args:
            images: (H, W) uint8 each, prepared by ``prepare_image``.
        """


def open_networks(model: Model, device: str) -> list[Network]:
    """Return the networks of a recogniser, one for each member.

    Args:
        model: recogniser from a model file.
        device: "auto", "cpu" or "cuda".

    Raises:
        OptionError: the device does not exist, or cannot compute the model.
        BundleError: the model is damaged.
    """
    from ocrsearch.inference.onnx_file import OnnxModel

    if isinstance(model, OnnxModel):
        from ocrsearch.inference.onnx_network import open_onnx

        return open_onnx(model, device)
    from ocrsearch.inference.torch_network import open_torch

    return open_torch(model, device)
