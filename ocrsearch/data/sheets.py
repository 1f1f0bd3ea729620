"""Images for people: contact sheets, previews and saved images of a dataset.

Labels are drawn with OpenCV's built-in Unicode font, which covers accented Latin letters, Greek,
Cyrillic and East Asian characters.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np

from ocrsearch.core import Config, DataError, ImageConfig, OptionError, replacing, replacing_folder
from ocrsearch.data.checks import BadSample, first_reasons, image_or_reason
from ocrsearch.data.images import (
    Line,
    augment,
    join_at_random,
    prepare_image,
    scale_image,
    shrink_line,
    side_by_side,
)
from ocrsearch.data.samples import GrayImage, Sample

SHEET_WIDTH_PX = 1200
IMAGE_HEIGHT_PX = 48
GAP_PX = 10
TEXT_HEIGHT_PX = 26
TEXT_SIZE_PX = 16
BASELINE_PX = 18
"""Height of a label below the image."""

PAPER = 225
MAX_TEXT = 300
"""Maximum number of label characters to draw, above the width of any cell."""

N_AUGMENTED = 4
"""Number of augmented versions per image."""

PREVIEW_GAP_PX = 6

MIN_LABEL_PX = 100
"""Minimum room for a label above a narrow image."""

MAX_NAME = 40
"""Maximum number of label characters in a file name."""

_NOT_IN_NAMES = re.compile(r"[^\w-]+")


def contact_sheet(labelled: Sequence[tuple[GrayImage, str]]) -> GrayImage:
    """Draw images in rows with their labels.

    Args:
        labelled: At least one (H, W) uint8 image of any size with its label.

    Returns:
        (rows, SHEET_WIDTH_PX) uint8. Images are IMAGE_HEIGHT_PX high, or lower if they would
        be too wide. Labels that are too long end in "…".
    """
    room = SHEET_WIDTH_PX - 2 * GAP_PX
    row_height = IMAGE_HEIGHT_PX + TEXT_HEIGHT_PX
    rows: list[GrayImage] = []
    x = SHEET_WIDTH_PX
    for image, text in labelled:
        height, width = image.shape
        scale = min(IMAGE_HEIGHT_PX / height, room / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        label = draw_label(text, room)
        cell = np.full((row_height, max(size[0], label.shape[1])), PAPER, np.uint8)
        cell[: size[1], : size[0]] = cv2.resize(image, size, interpolation=method)
        cell[IMAGE_HEIGHT_PX:, : label.shape[1]] = label
        if x + cell.shape[1] + GAP_PX > SHEET_WIDTH_PX:
            rows.append(np.full((row_height + GAP_PX, SHEET_WIDTH_PX), PAPER, np.uint8))
            x = GAP_PX
        rows[-1][GAP_PX:, x : x + cell.shape[1]] = cell
        x += cell.shape[1] + GAP_PX
    return np.concatenate(rows)


def draw_label(text: str, room: int) -> GrayImage:
    """Return (TEXT_HEIGHT_PX, W) uint8 with a label on one line, W up to ``room`` pixels."""
    font = cv2.FontFace("uni")
    kept = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text[:MAX_TEXT])
    shown = kept if len(text) <= MAX_TEXT else f"{kept}…"
    while True:
        x, _, text_width, _ = cv2.getTextSize((0, 0), shown, (0, 0), font, TEXT_SIZE_PX)
        if x + text_width < room:
            break
        kept = kept[: len(kept) * 9 // 10]
        shown = f"{kept}…"
    strip = np.full((TEXT_HEIGHT_PX, x + text_width + 1), PAPER, np.uint8)
    cv2.putText(strip, shown, (0, BASELINE_PX), (0,), font, TEXT_SIZE_PX)
    return strip


def write_sheet(sheet: GrayImage, path: Path) -> None:
    """Write an image as PNG atomically."""
    content = cv2.imencode(".png", sheet)[1].tobytes()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def preview_sheet(
    labelled: Sequence[tuple[GrayImage, str]], config: Config, rng: np.random.Generator
) -> GrayImage:
    """Draw each image as read, as prepared for the network, and augmented.

    Args:
        labelled: At least one (H, W) uint8 image as read, with its label.
        config: Preparation and augmentation.
        rng: Source of randomness for augmentation.

    Returns:
        (H, W) uint8 with a block per image, in rows.
    """
    lines = [
        Line(prepare_image(image, config.images), tuple(map(ord, text))) for image, text in labelled
    ]
    as_read = ImageConfig(height=config.images.height)
    columns = [
        [_labelled(scale_image(shrink_line(image), as_read), text), line.image]
        for (image, text), line in zip(labelled, lines, strict=True)
    ]
    for _ in range(N_AUGMENTED):
        groups = join_at_random(lines, config.training.augment.concat, rng)
        for column, group in zip(columns, groups, strict=True):
            line = side_by_side(group)
            image = augment(line.image, config.training.augment, rng)
            label = "".join(map(chr, line.target))
            column.append(_labelled(image, label) if len(group) > 1 else image)
    return _in_rows([_stacked(column) for column in columns])


def _labelled(image: GrayImage, text: str) -> GrayImage:
    return _stacked([draw_label(text, max(MIN_LABEL_PX, image.shape[1])), image], gap=0)


def _stacked(images: Sequence[GrayImage], gap: int = PREVIEW_GAP_PX) -> GrayImage:
    """Stack images vertically, aligned left."""
    width = max(image.shape[1] for image in images)
    sizes = [((0, gap), (0, width - image.shape[1])) for image in images]
    padded = [
        np.pad(image, size, constant_values=PAPER)
        for image, size in zip(images, sizes, strict=True)
    ]
    return np.concatenate(padded)


def _in_rows(blocks: Sequence[GrayImage]) -> GrayImage:
    """Arrange images in rows of at most SHEET_WIDTH_PX."""
    gap = 3 * PREVIEW_GAP_PX
    rows: list[list[GrayImage]] = [[]]
    for block in blocks:
        used = sum(b.shape[1] + gap for b in rows[-1])
        if rows[-1] and used + block.shape[1] > SHEET_WIDTH_PX:
            rows.append([])
        rows[-1].append(block)
    strips = []
    for row in rows:
        height = max(block.shape[0] for block in row)
        sizes = [((0, height - block.shape[0]), (0, gap)) for block in row]
        padded = [
            np.pad(block, size, constant_values=PAPER)
            for block, size in zip(row, sizes, strict=True)
        ]
        strips.append(np.concatenate(padded, axis=1))
    sheet = _stacked(strips, gap=2 * PREVIEW_GAP_PX)
    return np.pad(sheet, PREVIEW_GAP_PX, constant_values=PAPER)


def save_images(
    spec: str, samples: Iterable[Sample], folder: Path, n: int | None = None
) -> tuple[int, list[BadSample]]:
    """Write the images of samples to a folder atomically, with ``labels.csv``.

    Files are PNG and named by their labels.

    Args:
        spec: Data specification, for messages.
        samples: Samples with splits.
        folder: New or empty folder.
        n: Maximum number of images, or None for all.

    Returns:
        Number of images written, and the samples that could not be used.

    Raises:
        OptionError: The folder is not empty.
        DataError: No sample can be used.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problem = f"{folder}: folder is not empty; give a new or empty folder"
        raise OptionError(problem, "output")
    rows: list[tuple[str, str, str]] = []
    bad: list[BadSample] = []
    taken: Counter[str] = Counter()
    with replacing_folder(folder) as temporary:
        for sample in samples:
            if n is not None and len(rows) == n:
                break
            image = image_or_reason(sample)
            if isinstance(image, str):
                bad.append(BadSample(sample.name, image))
                continue
            name = _file_name(sample.text, taken)
            (temporary / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
            rows.append((name, sample.text, sample.split or ""))
        if not rows:
            why = f": {first_reasons(bad)}" if bad else ""
            raise DataError(f"{spec}: no images to save{why}")
        with (temporary / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("image", "text", "split"), *rows])
    return len(rows), bad


def _file_name(text: str, taken: Counter[str]) -> str:
    """Return a file name for a label, with a number if the name is taken."""
    stem = _NOT_IN_NAMES.sub("_", text)[:MAX_NAME] or "_"
    taken[stem] += 1
    name = stem if taken[stem] == 1 else f"{stem}.{taken[stem]}"
    if name != stem and name in taken:  # equals the label of another image
        return _file_name(text, taken)
    taken[name] += name != stem
    return f"{name}.png"
