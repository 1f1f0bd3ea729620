"""The interface of the networks that recognise text, whatever computes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ocrsearch.data import GrayImage

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
