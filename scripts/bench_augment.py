"""Print the microseconds per image of each augmentation and of each preprocessing step."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated

import cv2
import numpy as np
import typer

from ocrsearch.core import AugmentConfig, PreprocessConfig
from ocrsearch.data import GrayImage
from ocrsearch.data.images import augment, preprocess

SHAPES = ((32, 128), (40, 500))
KINDS = [name for name in AugmentConfig.model_fields if name not in ("strength", "concat")]
NOTHING: dict[str, float] = dict.fromkeys(KINDS, 0.0)
AUGMENTATIONS = {
    "default": AugmentConfig(),
    **{kind: AugmentConfig(**{**NOTHING, "strength": 1.0, kind: 1.0}) for kind in KINDS},
    "all at 1": AugmentConfig(strength=1.0, **dict.fromkeys(KINDS, 1.0)),
}
STEPS = {
    "normalize_polarity": PreprocessConfig(normalize_polarity=True),
    "remove_ruling": PreprocessConfig(remove_ruling=True),
    "crop": PreprocessConfig(crop=True),
    "contrast stretch": PreprocessConfig(contrast="stretch"),
    "contrast clahe": PreprocessConfig(contrast="clahe"),
    "threshold": PreprocessConfig(threshold=1.0),
    "margin": PreprocessConfig(margin=0.25),
}


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; the fastest counts.")] = 5,
    images: Annotated[int, typer.Option(min=1, help="Images per round.")] = 400,
) -> None:
    """Print the processor time on one thread, the fastest of several rounds."""
    cv2.setNumThreads(0)
    lines = [writing(shape) for shape in SHAPES]
    rng = np.random.default_rng(0)
    typer.echo(
        "".join(f"{text:>20}" for text in ("us per image", *(f"{h} x {w}" for h, w in SHAPES)))
    )
    for name, kinds in AUGMENTATIONS.items():
        _print_row(
            name, lambda image, kinds=kinds: augment(image, kinds, rng), lines, rounds, images
        )
    for name, steps in STEPS.items():
        _print_row(name, lambda image, steps=steps: preprocess(image, steps), lines, rounds, images)


def writing(shape: tuple[int, int]) -> GrayImage:
    """Return an image (H, W) of strokes on grey paper."""
    height, width = shape
    image = np.full(shape, 210, np.uint8)
    for x in range(4, width - 12, 14):
        cv2.putText(image, "3", (x, height * 3 // 4), cv2.FONT_HERSHEY_SIMPLEX, height / 50, 40, 2)
    return image


def _print_row(
    name: str,
    change: Callable[[GrayImage], GrayImage],
    lines: list[GrayImage],
    rounds: int,
    images: int,
) -> None:
    times = [min(_seconds(change, line, images) for _ in range(rounds)) for line in lines]
    typer.echo(f"{name:>20}" + "".join(f"{1e6 * t / images:>20.1f}" for t in times))


def _seconds(change: Callable[[GrayImage], GrayImage], line: GrayImage, images: int) -> float:
    start = time.process_time()
    for _ in range(images):
        change(line)
    return time.process_time() - start


if __name__ == "__main__":
    typer.run(main)
