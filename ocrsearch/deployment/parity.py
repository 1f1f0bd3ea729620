"""Comparison of an exported recogniser with the original: the same texts for the same images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ocrsearch.core import FRAME_STRIDE
from ocrsearch.data import GrayImage, LabelledImages, Progress, width_sorted_batches
from ocrsearch.data.images import prepare_image
from ocrsearch.evaluation import compute_metrics
from ocrsearch.inference import Network, Predictor, open_networks
from ocrsearch.models.decoding import (
    CtcReadout,
    DecoderReadout,
    Readout,
    SymbolReadout,
    decoder_scores,
)
from ocrsearch.training import Model

BATCH_SIZES = (1, 8)

N_COMPARED = 64
"""Number of images whose outputs are compared number by number; texts are compared for all."""

MIN_IMAGES = 32
"""Least number of images to compare; random images fill up."""

RANDOM_WIDTHS = (16, 256)
"""Least and largest width of a random image in pixels."""


@dataclass(frozen=True)
class ComparisonImages:
    """Images to compare two recognisers on.

    Attributes:
        labelled: validation images; None for random images only.
        source: description of the images.
    """

    labelled: LabelledImages | None
    source: str

    def __len__(self) -> int:
        return len(self.labelled) if self.labelled is not None else 0


class Compared(NamedTuple):
    """Result of a comparison.

    Attributes:
        n_images: number of images compared.
        n_random: number of random images among them.
        n_different: number of texts that differ.
        example: first image whose texts differ, and both texts; empty if none does.
        max_difference: largest difference of two log probabilities.
        cer_before: character error rate of the original; None without labels.
        cer_after: that of the exported recogniser.
    """

    n_images: int
    n_random: int
    n_different: int
    example: str
    max_difference: float
    cer_before: float | None
    cer_after: float | None


def random_images(height: int, n: int) -> list[GrayImage]:
    """Return images of noise and strokes, of the height of a network's input."""
    rng = np.random.default_rng(0)
    low, high = (edge // FRAME_STRIDE for edge in RANDOM_WIDTHS)
    images = []
    for columns in rng.integers(low, high + 1, n):
        image = rng.integers(150, 256, (height, int(columns) * FRAME_STRIDE), np.uint8)
        for left in range(0, image.shape[1], 12):
            top, bottom = sorted(rng.integers(0, height + 1, 2).tolist())
            image[top:bottom, left : left + int(rng.integers(2, 9))] = rng.integers(0, 100)
        images.append(image)
    return images


def compare(
    before: Model, after: Model, images: ComparisonImages, progress: Progress | None = None
) -> Compared:
    """Compare a recogniser with its export, on the CPU.

    Each network of an ensemble is compared on its own, in batches of 1 and of 8, and then the
    texts of the whole recognisers.

    Args:
        before: original.
        after: export, read from its file.
        images: images; random ones are added up to MIN_IMAGES.
        progress: called with the number of images that were read, and the total.
    """
    chosen = images.labelled.first(N_COMPARED).images if images.labelled is not None else []
    n_random = max(0, MIN_IMAGES - len(chosen))
    n_each = len(chosen) + n_random
    total = len(BATCH_SIZES) * n_each * len(before.members) + 2 * len(images)
    count = _Counter(total, progress)
    found = _Differences()
    pairs = (open_networks(model, "cpu") for model in (before, after))
    for member, first, second in zip(before.members, *pairs, strict=True):
        config = member.config.images
        prepared = [prepare_image(image, config) for image in chosen]
        prepared += random_images(config.height, n_random)
        for size in BATCH_SIZES:
            for ids in width_sorted_batches([i.shape[1] for i in prepared], size):
                found.add(first, second, [prepared[i] for i in ids], member.charset.decode)
                count(len(ids))
    cers: list[float | None] = [None, None]
    if images.labelled is not None:
        texts = [_texts(model, images.labelled, count) for model in (before, after)]
        for pair in zip(*texts, strict=True):
            found.add_texts(*pair)
        cers = [compute_metrics(images.labelled.texts, read).cer for read in texts]
    n_images = max(n_each, len(images))
    return Compared(
        n_images, n_random, found.n_different, found.example, found.max_difference, *cers
    )


class _Counter:
    """Adds up the images that were read."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self._done, self._total, self._progress = 0, total, progress

    def __call__(self, n: int) -> None:
        self._done += n
        if self._progress:
            self._progress(self._done, self._total)


class _Differences:
    """Collects the differences of two networks."""

    def __init__(self) -> None:
        self.n_different, self.example, self.max_difference = 0, "", 0.0

    def add(
        self,
        first: Network,
        second: Network,
        images: Sequence[GrayImage],
        decode: Callable[[Sequence[int]], str],
    ) -> None:
        """Read a batch with both networks."""
        outputs = first.read(images), second.read(images)
        read = [output.greedy() for output in outputs]
        for pair in zip(*read, strict=True):
            self.add_texts(*(decode(hypothesis.ids) for hypothesis in pair))
        for values in _differences(*outputs):
            self.max_difference = float(np.maximum(self.max_difference, values))  # keeps NaN

    def add_texts(self, first: str, second: str) -> None:
        """Compare two texts of an image."""
        if first != second:
            self.n_different += 1
            self.example = self.example or f"{first!r} became {second!r}"


def _differences(first: Readout, second: Readout) -> Iterator[float]:
    """Yield the largest difference of log probabilities for each image."""
    if isinstance(first, CtcReadout) and isinstance(second, CtcReadout):
        rows = zip(*(r.output.log_probs for r in (first, second)), strict=True)
        for (a, b), n in zip(rows, first.output.frame_lengths, strict=True):
            yield float(np.abs(a[:n] - b[:n]).max())
    elif isinstance(first, SymbolReadout) and isinstance(second, SymbolReadout):
        yield float(np.abs(first.log_probs - second.log_probs).max())
    elif isinstance(first, DecoderReadout) and isinstance(second, DecoderReadout):
        texts = [hypothesis.ids for hypothesis in first.greedy()]
        scores = (decoder_scores(readout.decoder, texts) for readout in (first, second))
        for a, b in zip(*scores, strict=True):
            yield float(np.abs(a - b).max())
    else:
        yield float("nan")


def _texts(model: Model, images: LabelledImages, count: _Counter) -> list[str]:
    """Return the texts that a recogniser reads, as it does for users."""
    done = 0

    def progress(n_read: int, _: int) -> None:
        nonlocal done
        count(n_read - done)
        done = n_read

    evaluation = Predictor(model, "cpu").evaluate(images, progress)
    return [prediction.text for prediction in evaluation.predictions]
