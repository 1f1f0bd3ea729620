"""Readers: a network ready to read pictures, and several that read together.

Each member of an ensemble reads by itself. Where their texts differ, each says how probable it
finds every one of them, and the text of the highest mean log probability is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

import torch

from ocrsearch.data.lines import Line
from ocrsearch.data.preprocess import prepare_image
from ocrsearch.data.samples import GrayImage
from ocrsearch.data.usable import Progress
from ocrsearch.deploy.bundle import Bundle
from ocrsearch.models.beam import BeamSearch
from ocrsearch.models.decoding import Hypothesis
from ocrsearch.models.factory import ARCHITECTURES
from ocrsearch.training.evaluation import Decode, rate_labels, read_lines

LEAST_PROBABILITY = 1e-300
"""Stands for zero, whose logarithm is no number."""

Text = tuple[int, ...]


class Reader:
    """A network on its device, with its own size of pictures and its own way to decode."""

    def __init__(self, member: Bundle, device: torch.device, search: BeamSearch | None) -> None:
        """Build the network; it decodes greedily if there is no search."""
        self._device, self._search = device, search
        self._config = member.config.images
        self._network = member.build_network().to(device)
        self._architecture = ARCHITECTURES[member.config.model.architecture]

    def read(
        self, images: Sequence[GrayImage], progress: Progress | None = None
    ) -> list[Hypothesis]:
        """Read pictures, (H, W) uint8 each; told how many are read."""
        lines = [Line(prepare_image(image, self._config)) for image in images]
        decode, network = self._decode(), self._network
        return read_lines(
            network, self._architecture, lines, self._device, decode=decode, progress=progress
        ).hypotheses

    def rate(self, images: Sequence[GrayImage], texts: Sequence[Text]) -> list[Hypothesis]:
        """Return a text for each picture with the confidences that it has."""
        lines = [
            Line(prepare_image(image, self._config), text)
            for image, text in zip(images, texts, strict=True)
        ]
        return rate_labels(self._network, self._architecture, lines, self._device)

    def score(self, hypothesis: Hypothesis) -> float:
        """Return the log probability of a text, with what a language model or lexicon adds."""
        own = math.log(max(hypothesis.confidence, LEAST_PROBABILITY))
        return own + (self._search.fusion.score(hypothesis.ids) if self._search else 0.0)

    def _decode(self) -> Decode | None:
        beam, search = self._architecture.beam, self._search
        if search is None or beam is None:
            return None
        return lambda network, output: beam(network, output, search)


def read_together(
    readers: Sequence[Reader], images: Sequence[GrayImage], progress: Progress | None = None
) -> list[Hypothesis]:
    """Read pictures with all readers; confidences are means over them.

    Args:
        readers: one or more, of one charset.
        images: (H, W) uint8 each.
        progress: told how many pictures are read, as a share of the readers has read them.
    """
    readings = [
        reader.read(images, _share(progress, i, len(readers))) for i, reader in enumerate(readers)
    ]
    of_lines = list(zip(*readings, strict=True))
    texts = [sorted({h.ids for h in read}) for read in of_lines]
    pairs = [
        (i, text) for i, differing in enumerate(texts) if len(differing) > 1 for text in differing
    ]
    ratings = iter(_rate(readers, [(images[i], text) for i, text in pairs]))
    found = []
    for read, differing in zip(of_lines, texts, strict=True):
        rated = [next(ratings) for _ in differing] if len(differing) > 1 else [read]
        found.append(_joined(max(rated, key=lambda of_text: _score(readers, of_text))))
    return found


def _rate(
    readers: Sequence[Reader], pairs: Sequence[tuple[GrayImage, Text]]
) -> Iterator[tuple[Hypothesis, ...]]:
    """Yield what each reader thinks of each picture and text."""
    images, texts = [image for image, _ in pairs], [text for _, text in pairs]
    yield from zip(*(reader.rate(images, texts) for reader in readers), strict=True)


def _score(readers: Sequence[Reader], ratings: Sequence[Hypothesis]) -> float:
    return fmean(r.score(h) for r, h in zip(readers, ratings, strict=True))


def _joined(ratings: Sequence[Hypothesis]) -> Hypothesis:
    """Return a text with the means of the confidences that it has."""
    symbols = zip(*(h.symbol_confidences for h in ratings), strict=True)
    return Hypothesis(
        ratings[0].ids, fmean(h.confidence for h in ratings), tuple(map(fmean, symbols))
    )


def _share(progress: Progress | None, i: int, n: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, total: progress((i * total + done) // n, total)
