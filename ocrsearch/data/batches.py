"""Batches: pictures of similar width side by side, as tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ocrsearch.config import AugmentConfig
from ocrsearch.data.augment import augment
from ocrsearch.data.lines import Line, join_at_random, side_by_side
from ocrsearch.data.samples import GrayImage

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
