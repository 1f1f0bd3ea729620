"""Training epochs as lines, and batches as tensors.

An epoch has the same lines every time, newly rendered lines, or a mixture. Batches group images
of similar width to limit padding.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ocrsearch.core import AugmentConfig, ImageConfig
from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import Dataset
from ocrsearch.data.images import Line, augmented_views, join_at_random, scaled_lines, side_by_side
from ocrsearch.data.padding import padded_width, standardize
from ocrsearch.data.samples import GrayImage, LabelledImages, PackedImages
from ocrsearch.data.synthesis import Synthesizer, open_synthesizer, parse_recipe

BATCHES_A_POOL = 16
"""Number of batches within which images are sorted by width."""


class Epochs(Protocol):
    """Training lines by epoch. ``len`` is the number of lines per epoch."""

    def __len__(self) -> int: ...

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:
        """Yield the lines of an epoch in parts.

        Args:
            epoch: Epoch number from 0. The lines depend only on this number.
            size: Number of lines per part if they are rendered in parts; the last may be smaller.
        """
        ...


def training_epochs(dataset: Dataset, config: ImageConfig) -> Epochs:
    """Return the training epochs of a dataset."""
    train, charset = dataset.splits["train"], dataset.charset
    if dataset.fresh is None:
        return FixedEpochs(scaled_lines(train, charset, config))
    synthesizer = _opened(dataset.spec, json.dumps(dataset.fresh, sort_keys=True))
    if not train.n_added:
        return FreshEpochs(synthesizer, charset, config)
    own = train.own()
    fresh = FreshEpochs(synthesizer, charset, config)
    return MixedEpochs(scaled_lines(own, charset, config), fresh)


@lru_cache(maxsize=1)
def _opened(spec: str, recipe: str) -> Synthesizer:
    """Open a recipe once per process instead of once per training run."""
    return open_synthesizer(parse_recipe(json.loads(recipe), spec))


@dataclass(frozen=True)
class FixedEpochs:
    """The same lines in each epoch."""

    lines: list[Line]

    def __len__(self) -> int:
        return len(self.lines)

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:  # noqa: ARG002
        """Yield all lines as a single part."""
        yield self.lines


@dataclass(frozen=True)
class FreshEpochs:
    """New lines in each epoch, rendered shortly before they are needed."""

    synthesizer: Synthesizer
    charset: Charset
    config: ImageConfig

    def __len__(self) -> int:
        return self.synthesizer.recipe.counts.train

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:
        """Render the lines of an epoch. Epoch 0 has those of the training split."""
        for start in range(0, len(self), size):
            yield self.lines(epoch, start, min(start + size, len(self)))

    def lines(self, epoch: int, start: int, end: int) -> list[Line]:
        """Render the lines from index ``start`` up to ``end`` of an epoch."""
        made = [self.synthesizer.image("train", i, epoch) for i in range(start, end)]
        images = PackedImages.pack([image for image, _ in made])
        texts = [text for _, text in made]
        return scaled_lines(LabelledImages(texts, texts, images), self.charset, self.config)


@dataclass(frozen=True)
class MixedEpochs:
    """The same lines in each epoch, mixed with new lines."""

    own: list[Line]
    fresh: FreshEpochs

    def __len__(self) -> int:
        return len(self.own) + len(self.fresh)

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:
        """Yield parts of this size with a proportional mixture; the last may be smaller."""
        order = np.random.default_rng(epoch).permutation(len(self.own))
        n = len(self)
        ends = [min(start + size, n) for start in range(0, n, size)]
        own_start = start = 0
        for end in ends:
            own_end = round(end * len(self.own) / n)
            own = [self.own[i] for i in order[own_start:own_end]]
            yield [*own, *self.fresh.lines(epoch, start - own_start, end - own_end)]
            own_start, start = own_end, end


@dataclass(frozen=True)
class Batch:
    """Images and labels as tensors.

    Attributes:
        images: (B, 1, H, W) float32 with mean 0 and deviation 1 per image, zero-padded.
        widths: (B,) int64 in pixels, multiples of FRAME_STRIDE, always on the CPU.
        targets: (B, L) int64 ids, zero-padded.
        target_lengths: (B,) int64.
    """

    images: Tensor
    widths: Tensor
    targets: Tensor
    target_lengths: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device. The widths stay on the CPU."""
        if device.type == "cpu":
            return self
        return Batch(
            self.images.to(device, non_blocking=True),
            self.widths,
            self.targets.to(device, non_blocking=True),
            self.target_lengths.to(device, non_blocking=True),
        )


def training_batches(
    lines: Sequence[Line],
    batch_size: int,
    config: AugmentConfig,
    rng: np.random.Generator,
    n_views: int = 1,
) -> Iterator[Batch]:
    """Yield the augmented batches of an epoch in random order.

    Args:
        lines: Lines of the training split.
        batch_size: Images per batch; the last batch may be smaller.
        config: Augmentation, including the probability of concatenation.
        rng: Source of randomness for order and augmentation.
        n_views: Views of each image in its batch: all images in a first view, then all in the
            next. With n views an epoch has one nth of the lines.
    """
    groups = join_at_random(lines, config.concat, rng)
    widths = np.array([sum(line.image.shape[1] for line in group) for group in groups])
    order = rng.permutation(len(groups))[: math.ceil(len(groups) / n_views)]
    batch_size = max(1, batch_size // n_views)
    # sorting all lines by width would always put the same lines into a batch
    pool = batch_size * BATCHES_A_POOL
    batches: list[np.ndarray] = []
    for start in range(0, len(order), pool):
        ids = order[start : start + pool]
        ids = ids[np.argsort(widths[ids], kind="stable")]
        batches += [ids[i : i + batch_size] for i in range(0, len(ids), batch_size)]
    for number in rng.permutation(len(batches)):
        batch = [side_by_side(groups[i]) for i in batches[number]]
        views = [augmented_views(line.image, config, rng, n_views) for line in batch]
        images = [image for view in zip(*views, strict=True) for image in view]
        yield collate(images, [line.target for line in batch] * n_views)


def collate(images: Sequence[GrayImage], targets: Sequence[Sequence[int]]) -> Batch:
    """Combine scaled images of equal height and their label ids into a batch."""
    widths = [image.shape[1] for image in images]
    values = np.zeros((len(images), 1, images[0].shape[0], padded_width(widths)), np.float32)
    for row, image in zip(values, images, strict=True):
        row[0, :, : image.shape[1]] = standardize(image)
    lengths = [len(target) for target in targets]
    ids = np.zeros((len(targets), max(lengths, default=0)), dtype=np.int64)
    for id_row, target in zip(ids, targets, strict=True):
        id_row[: len(target)] = target
    return Batch(
        torch.from_numpy(values),
        torch.tensor(widths),
        torch.from_numpy(ids),
        torch.tensor(lengths),
    )
