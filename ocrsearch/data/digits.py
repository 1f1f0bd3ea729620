"""The built-in data: strings of real handwritten digits.

Composed of the 8 x 8 digits that come with scikit-learn (UCI optical recognition of
handwritten digits). The source digits are split first, so that no digit in a test string was
ever trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ocrsearch.data.samples import GrayImage, Sample, Split

N_STRINGS: dict[Split, int] = {"train": 1500, "val": 300, "test": 500}
SOURCE_SHARES: dict[Split, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
MAX_LENGTH = 8
CANVAS_HEIGHT = 40
SEED = 20_240_101


@dataclass(frozen=True)
class SourceDigits:
    """Single digits: (N, 8, 8) float32 ink from 0 to 1, and the symbol of each."""

    ink: np.ndarray
    symbols: list[str]


def make_digits() -> list[Sample]:
    """Return the built-in set: always the same strings, with their splits."""
    samples = []
    for stream, (split, source) in enumerate(split_sources().items()):
        rng = np.random.default_rng([SEED, stream])
        for i in range(N_STRINGS[split]):
            image, text = compose(source, rng)
            samples.append(Sample(f"digits/{split}/{i:04d}", image, text, split))
    return samples


def split_sources() -> dict[Split, SourceDigits]:
    """Part scikit-learn's digits into those for training, validation and test strings."""
    from sklearn.datasets import load_digits  # takes two seconds to import

    bunch = load_digits()
    ink, symbols = bunch.images.astype(np.float32) / 16, [str(d) for d in bunch.target]
    order = np.random.default_rng(SEED).permutation(len(ink))
    sources: dict[Split, SourceDigits] = {}
    start = 0.0
    for split, share in SOURCE_SHARES.items():
        ids = order[round(start * len(ink)) : round((start + share) * len(ink))]
        sources[split] = SourceDigits(ink[ids], [symbols[i] for i in ids])
        start += share
    return sources


def compose(source: SourceDigits, rng: np.random.Generator) -> tuple[GrayImage, str]:
    """Write a string of 1 to MAX_LENGTH digits.

    One size, slant and spacing for the string, a little variation for each digit; paper,
    ink and noise vary.

    Args:
        source: the digits to draw from.
        rng: where the randomness comes from.

    Returns:
        (CANVAS_HEIGHT, W) uint8, dark on light, and the label.
    """
    ids = rng.integers(len(source.symbols), size=rng.integers(1, MAX_LENGTH + 1))
    size, slant, spacing = rng.uniform(20, 32), rng.uniform(-0.3, 0.3), rng.uniform(-2, 6)
    margin = int(rng.integers(4, 12))
    canvas = np.zeros((CANVAS_HEIGHT, 2 * margin + int(len(ids) * 46)), np.float32)
    x = float(margin)
    for i in ids:
        glyph = _render(source.ink[i], size * rng.uniform(0.92, 1.08), slant)
        top = (CANVAS_HEIGHT - glyph.shape[0]) / 2 + rng.uniform(-2, 2)
        _paste(canvas, glyph, round(min(max(top, 0), CANVAS_HEIGHT - glyph.shape[0])), round(x))
        x += glyph.shape[1] + spacing + rng.uniform(-1, 1)
    width = min(round(x - spacing) + margin, canvas.shape[1])
    return _to_paper(canvas[:, :width], rng), "".join(source.symbols[i] for i in ids)


def _render(ink: np.ndarray, size: float, slant: float) -> np.ndarray:
    side = round(size)
    large = np.clip(cv2.resize(ink, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)
    matrix = np.array([[1, -slant, slant * side / 2 + side / 4], [0, 1, 0]], np.float64)
    slanted = cv2.warpAffine(large, matrix, (side + side // 2, side))
    columns = np.flatnonzero(slanted.max(0) > 0.2)
    return np.asarray(slanted[:, columns[0] : columns[-1] + 1])


def _paste(canvas: np.ndarray, glyph: np.ndarray, top: int, left: int) -> None:
    part = canvas[top : top + glyph.shape[0], left : left + glyph.shape[1]]
    np.maximum(part, glyph[:, : part.shape[1]], out=part)


def _to_paper(ink: np.ndarray, rng: np.random.Generator) -> GrayImage:
    paper, contrast = rng.uniform(150, 255), rng.uniform(60, 140)
    gradient = np.linspace(-1, 1, ink.shape[1], dtype=np.float32) * rng.uniform(-20, 20)
    noise = rng.standard_normal(ink.shape, dtype=np.float32) * rng.uniform(0, 12)
    return np.clip(paper + gradient - contrast * ink + noise, 0, 255).astype(np.uint8)
