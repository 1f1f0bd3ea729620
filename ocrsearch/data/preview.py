"""Previews: a sheet of pictures before and after preparation, and as augmentation changes them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ocrsearch.config import Config, ImageConfig
from ocrsearch.data.augment import augment
from ocrsearch.data.images import scale_image, shrink_line
from ocrsearch.data.lines import Line, join_at_random, side_by_side
from ocrsearch.data.preprocess import prepare_image
from ocrsearch.data.samples import GrayImage
from ocrsearch.data.sheet import PAPER, SHEET_WIDTH_PX, draw_label

N_AUGMENTED = 4
"""Augmented versions of each picture."""

GAP_PX = 6
MIN_LABEL_PX = 100
"""Room of a label above a picture that is narrower."""


def preview_sheet(
    pictures: Sequence[tuple[GrayImage, str]], config: Config, rng: np.random.Generator
) -> GrayImage:
    """Draw each picture as it is read, as the network sees it, and augmented, under each other.

    Args:
        pictures: (H, W) uint8 as read, and the label of each; at least one.
        config: preparation and augmentation.
        rng: augmentation comes from it.

    Returns:
        (H, W) uint8; a block for each picture, side by side as far as there is room.
    """
    lines = [
        Line(prepare_image(image, config.images), tuple(map(ord, text))) for image, text in pictures
    ]
    as_read = ImageConfig(height=config.images.height)
    columns = [
        [_labelled(scale_image(shrink_line(image), as_read), text), line.image]
        for (image, text), line in zip(pictures, lines, strict=True)
    ]
    for _ in range(N_AUGMENTED):
        groups = join_at_random(lines, config.training.augment.join, rng)
        for column, group in zip(columns, groups, strict=True):
            line = side_by_side(group)
            image = augment(line.image, config.training.augment, rng)
            label = "".join(map(chr, line.target))
            column.append(_labelled(image, label) if len(group) > 1 else image)
    return _in_rows([_stacked(column) for column in columns])


def _labelled(image: GrayImage, text: str) -> GrayImage:
    return _stacked([draw_label(text, max(MIN_LABEL_PX, image.shape[1])), image], gap=0)


def _stacked(images: Sequence[GrayImage], gap: int = GAP_PX) -> GrayImage:
    """Put pictures under each other, flush left."""
    width = max(image.shape[1] for image in images)
    sizes = [((0, gap), (0, width - image.shape[1])) for image in images]
    padded = [
        np.pad(image, size, constant_values=PAPER)
        for image, size in zip(images, sizes, strict=True)
    ]
    return np.concatenate(padded)


def _in_rows(blocks: Sequence[GrayImage]) -> GrayImage:
    """Put pictures side by side, and what is beyond SHEET_WIDTH_PX into a new row."""
    rows: list[list[GrayImage]] = [[]]
    for block in blocks:
        used = sum(b.shape[1] + 3 * GAP_PX for b in rows[-1])
        if rows[-1] and used + block.shape[1] > SHEET_WIDTH_PX:
            rows.append([])
        rows[-1].append(block)
    sheet = _stacked([_side_by_side(row) for row in rows], gap=2 * GAP_PX)
    return np.pad(sheet, GAP_PX, constant_values=PAPER)


def _side_by_side(blocks: Sequence[GrayImage]) -> GrayImage:
    height = max(block.shape[0] for block in blocks)
    padded = [
        np.pad(block, ((0, height - block.shape[0]), (0, 3 * GAP_PX)), constant_values=PAPER)
        for block in blocks
    ]
    return np.concatenate(padded, axis=1)
