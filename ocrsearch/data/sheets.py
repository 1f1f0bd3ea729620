"""Contact sheets, previews and saved images: datasets to look at.

Contact sheets: pictures with their labels under them, as one picture.

Labels are drawn in OpenCV's built-in Unicode font, which has the accents of all Latin scripts,
Greek, Cyrillic, and the signs of East Asia.

Previews: a sheet of pictures before and after preparation, and as augmentation changes them.

Images of a dataset as files: PNG, named by their labels, with ``labels.csv`` beside them.
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
"""Of a label, below the picture."""

PAPER = 225
MAX_TEXT = 300
"""Symbols of a label that are tried; none has room for more."""


def contact_sheet(pictures: Sequence[tuple[GrayImage, str]]) -> GrayImage:
    """Draw pictures and their labels in rows.

    Args:
        pictures: (H, W) uint8 of any size, and the label of each; at least one.

    Returns:
        (rows, SHEET_WIDTH_PX) uint8. A picture is IMAGE_HEIGHT_PX high, or lower if it were
        too wide; a label that is too long ends in "…".
    """
    rows: list[GrayImage] = []
    x = SHEET_WIDTH_PX
    for cell in (_cell(image, text) for image, text in pictures):
        if x + cell.shape[1] + GAP_PX > SHEET_WIDTH_PX:
            rows.append(np.full((cell.shape[0] + GAP_PX, SHEET_WIDTH_PX), PAPER, np.uint8))
            x = GAP_PX
        rows[-1][GAP_PX:, x : x + cell.shape[1]] = cell
        x += cell.shape[1] + GAP_PX
    return np.concatenate(rows)


def draw_label(text: str, room: int) -> GrayImage:
    """Return (TEXT_HEIGHT_PX, W) uint8 with a label on one line, W at most so many pixels."""
    font = cv2.FontFace("uni")
    text = _fitting(text, font, room)
    strip = np.full((TEXT_HEIGHT_PX, min(room, _text_width(text, font))), PAPER, np.uint8)
    cv2.putText(strip, text, (0, BASELINE_PX), (0,), font, TEXT_SIZE_PX)
    return strip


def write_sheet(sheet: GrayImage, path: Path) -> None:
    """Write a picture as PNG, whole or not at all."""
    content = cv2.imencode(".png", sheet)[1].tobytes()
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _cell(image: GrayImage, text: str) -> GrayImage:
    room = SHEET_WIDTH_PX - 2 * GAP_PX
    height, width = image.shape
    scale = min(IMAGE_HEIGHT_PX / height, room / width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    label = draw_label(text, room)
    cell_width = max(size[0], label.shape[1])
    cell = np.full((IMAGE_HEIGHT_PX + TEXT_HEIGHT_PX, cell_width), PAPER, np.uint8)
    cell[: size[1], : size[0]] = cv2.resize(image, size, interpolation=method)
    cell[IMAGE_HEIGHT_PX:, : label.shape[1]] = label
    return cell


def _fitting(text: str, font: cv2.FontFace, room: int) -> str:
    """Return a label as one line of so many pixels, what cannot be drawn as a question mark."""
    kept = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text[:MAX_TEXT])
    shown = kept if len(text) <= MAX_TEXT else f"{kept}…"
    while _text_width(shown, font) > room:
        kept = kept[: len(kept) * 9 // 10]
        shown = f"{kept}…"
    return shown


def _text_width(text: str, font: cv2.FontFace) -> int:
    x, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), font, TEXT_SIZE_PX)
    return x + width + 1


N_AUGMENTED = 4
"""Augmented versions of each picture."""

PREVIEW_GAP_PX = 6
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


def _stacked(images: Sequence[GrayImage], gap: int = PREVIEW_GAP_PX) -> GrayImage:
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
        used = sum(b.shape[1] + 3 * PREVIEW_GAP_PX for b in rows[-1])
        if rows[-1] and used + block.shape[1] > SHEET_WIDTH_PX:
            rows.append([])
        rows[-1].append(block)
    sheet = _stacked([_side_by_side(row) for row in rows], gap=2 * PREVIEW_GAP_PX)
    return np.pad(sheet, PREVIEW_GAP_PX, constant_values=PAPER)


def _side_by_side(blocks: Sequence[GrayImage]) -> GrayImage:
    height = max(block.shape[0] for block in blocks)
    padded = [
        np.pad(
            block, ((0, height - block.shape[0]), (0, 3 * PREVIEW_GAP_PX)), constant_values=PAPER
        )
        for block in blocks
    ]
    return np.concatenate(padded, axis=1)


MAX_NAME = 40
"""Longest part of a label in a file's name, in characters."""

_NOT_IN_NAMES = re.compile(r"[^\w-]+")


def save_images(
    spec: str, samples: Iterable[Sample], folder: Path, n: int | None = None
) -> tuple[int, list[BadSample]]:
    """Write the images of samples to a folder, which appears whole or not at all.

    Args:
        spec: name of the dataset for messages.
        samples: samples with their split.
        folder: new or empty folder.
        n: number of images; None for all.

    Returns:
        The number of images written, and the samples that could not be used.

    Raises:
        OptionError: something is in the folder already.
        DataError: no sample can be used.
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
            picture = image_or_reason(sample)
            if isinstance(picture, str):
                bad.append(BadSample(sample.name, picture))
                continue
            name = _file_name(sample.text, taken)
            (temporary / name).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
            rows.append((name, sample.text, sample.split or ""))
        if not rows:
            why = f": {first_reasons(bad)}" if bad else ""
            raise DataError(f"{spec}: no images to save{why}")
        with (temporary / "labels.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("image", "text", "split"), *rows])
    return len(rows), bad


def _file_name(text: str, taken: Counter[str]) -> str:
    """Return a label as the name of a file, with a number if the name is taken."""
    stem = _NOT_IN_NAMES.sub("_", text)[:MAX_NAME] or "_"
    taken[stem] += 1
    name = stem if taken[stem] == 1 else f"{stem}.{taken[stem]}"
    if name != stem and name in taken:  # it is the label of another image
        return _file_name(text, taken)
    taken[name] += name != stem
    return f"{name}.png"
