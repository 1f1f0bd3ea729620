"""Batches: the lines of an epoch as tensors, images of similar width together.

Epochs: the lines that a network sees in each, the same ones or newly made ones.

Batches: pictures of similar width side by side, as tensors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ocrsearch.core import AugmentConfig, ImageConfig
from ocrsearch.data.charset import Charset
from ocrsearch.data.dataset import Dataset, LabelledImages, PackedImages
from ocrsearch.data.images import Line, augment, join_at_random, scaled_lines, side_by_side
from ocrsearch.data.samples import GrayImage
from ocrsearch.data.synthesis import Synthesizer, open_synthesizer, parse_recipe


class Epochs(Protocol):
    """The training lines of each epoch; ``len`` is how many an epoch has."""

    def __len__(self) -> int: ...

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:
        """Yield the lines of an epoch, from 0, in parts.

        Args:
            epoch: the same one has the same lines, whatever came before.
            size: lines in a part, if they are made in parts; the last may have fewer.
        """
        ...


def training_epochs(dataset: Dataset, config: ImageConfig) -> Epochs:
    """Return the lines to train on, as the data set says."""
    train, charset = dataset.splits["train"], dataset.charset
    if dataset.fresh is None:
        return FixedEpochs(scaled_lines(train, charset, config))
    synthesizer = _opened(dataset.spec, json.dumps(dataset.fresh, sort_keys=True))
    if not train.n_added:
        return FreshEpochs(synthesizer, charset, config)
    own = train.first(len(train) - train.n_added)
    fresh = FreshEpochs(synthesizer, charset, config)
    return MixedEpochs(scaled_lines(own, charset, config), fresh)


@dataclass(frozen=True)
class FixedEpochs:
    """The same lines in each epoch."""

    lines: list[Line]

    def __len__(self) -> int:
        return len(self.lines)

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:  # noqa: ARG002
        """Yield them all at once."""
        yield self.lines


@dataclass(frozen=True)
class FreshEpochs:
    """New lines in each epoch, made just before they are needed."""

    synthesizer: Synthesizer
    charset: Charset
    config: ImageConfig

    def __len__(self) -> int:
        return self.synthesizer.recipe.counts.train

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:
        """Make the lines of an epoch; in epoch 0 they are those of the training split."""
        for start in range(0, len(self), size):
            yield self.lines(epoch, start, min(start + size, len(self)))

    def lines(self, epoch: int, start: int, end: int) -> list[Line]:
        """Make some of the lines of an epoch, from one to before another."""
        made = [self.synthesizer.image("train", i, epoch) for i in range(start, end)]
        images = PackedImages.pack([image for image, _ in made])
        texts = [text for _, text in made]
        return scaled_lines(LabelledImages(texts, texts, images), self.charset, self.config)


@dataclass(frozen=True)
class MixedEpochs:
    """The same lines in each epoch, and new ones among them."""

    own: list[Line]
    fresh: FreshEpochs

    def __len__(self) -> int:
        return len(self.own) + len(self.fresh)

    def parts(self, epoch: int, size: int) -> Iterator[list[Line]]:
        """Yield parts of that size, each with its share of both; the last may be smaller."""
        order = np.random.default_rng(epoch).permutation(len(self.own))
        n = len(self)
        ends = [min(start + size, n) for start in range(0, n, size)]
        own_start = start = 0
        for end in ends:
            own_end = round(end * len(self.own) / n)
            own = [self.own[i] for i in order[own_start:own_end]]
            yield [*own, *self.fresh.lines(epoch, start - own_start, end - own_end)]
            own_start, start = own_end, end


@lru_cache(maxsize=1)
def _opened(spec: str, recipe: str) -> Synthesizer:
    """Open a recipe once a process, not once a training."""
    return open_synthesizer(parse_recipe(json.loads(recipe), spec))


BUCKET_PX = 16
"""Batches of unequal widths are padded to multiples of this, so that few shapes occur."""

MAX_COLUMNS = 16_384
"""Pixel columns of an evaluation batch, so that long lines do not fill the memory."""

BATCHES_A_POOL = 16
"""Pictures are sorted by width among those of so many batches."""


@dataclass(frozen=True)
class Batch:
    """Pictures and labels as tensors.

    Attributes:
        images: (B, 1, H, W) float32, each of mean 0 and deviation 1, 0 right of its width.
        widths: (B,) int64 in pixels, multiples of FRAME_STRIDE, always on the CPU.
        targets: (B, L) int64 ids, 0 behind each label.
        target_lengths: (B,) int64.
    """

    images: Tensor
    widths: Tensor
    targets: Tensor
    target_lengths: Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch with its tensors on a device; the widths stay on the CPU."""
        if device.type == "cpu":
            return self
        return Batch(
            self.images.to(device, non_blocking=True),
            self.widths,
            self.targets.to(device, non_blocking=True),
            self.target_lengths.to(device, non_blocking=True),
        )


def training_batches(
    lines: Sequence[Line], batch_size: int, config: AugmentConfig, rng: np.random.Generator
) -> Iterator[Batch]:
    """Yield one epoch of augmented batches in random order.

    Args:
        lines: the training split.
        batch_size: pictures in a batch; the last of an epoch may have fewer.
        config: how pictures are changed, and which share of them is joined with another.
        rng: order and augmentation come from it.
    """
    groups = join_at_random(lines, config.join, rng)
    widths = np.array([sum(line.image.shape[1] for line in group) for group in groups])
    for ids in _shuffled_batches(widths, batch_size, rng):
        batch = [side_by_side(groups[i]) for i in ids]
        images = [augment(line.image, config, rng) for line in batch]
        yield collate(images, [line.target for line in batch])


def width_sorted_batches(
    widths: Sequence[int], max_batch_size: int, max_columns: int = MAX_COLUMNS
) -> list[list[int]]:
    """Cut indices into batches of similar width, for evaluation.

    Args:
        widths: of each picture, in pixels.
        max_batch_size: most pictures in a batch.
        max_columns: most pixel columns in a batch.
    """
    batches: list[list[int]] = []
    for i in sorted(range(len(widths)), key=lambda i: widths[i]):
        fits = batches and len(batches[-1]) < max_batch_size
        if fits and widths[i] * (len(batches[-1]) + 1) <= max_columns:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches


def collate(images: Sequence[GrayImage], targets: Sequence[Sequence[int]]) -> Batch:
    """Put scaled pictures of one height and their label ids into a batch."""
    widths = [image.shape[1] for image in images]
    padded_width = max(widths)
    if min(widths) < padded_width:  # padding costs time: pictures of one width need none
        padded_width = -(-padded_width // BUCKET_PX) * BUCKET_PX
    values = np.zeros((len(images), 1, images[0].shape[0], padded_width), dtype=np.float32)
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


def standardize(image: GrayImage) -> np.ndarray:
    """Return a picture as float32 of mean 0 and deviation 1; a blank one is all 0."""
    mean, deviation = image.mean(dtype=np.float64), image.std(dtype=np.float64)
    return (image.astype(np.float32) - np.float32(mean)) / np.float32(max(deviation, 1.0))


def _shuffled_batches(
    widths: np.ndarray, batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    order = rng.permutation(len(widths))
    pool = batch_size * BATCHES_A_POOL
    batches: list[np.ndarray] = []
    for start in range(0, len(order), pool):
        ids = order[start : start + pool]
        ids = ids[np.argsort(widths[ids], kind="stable")]
        batches += [ids[i : i + batch_size] for i in range(0, len(ids), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]
