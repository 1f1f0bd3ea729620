"""Lines of text, drawn with fonts.

Words are drawn once by Pillow and kept; a line of them is scaled, slanted and bent in one go.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from ocrsearch.data.bidi import has_rtl
from ocrsearch.data.samples import GrayImage, Split
from ocrsearch.data.synthesis.corpus import covering, in_cases, part_entries, read_entries
from ocrsearch.data.synthesis.fonts import Font, Word, draw_word, read_fonts
from ocrsearch.data.synthesis.paper import Ink
from ocrsearch.data.synthesis.recipe import TextRecipe
from ocrsearch.errors import DataError

MAX_TRIES = 200

MAX_DRAWN_PX = 32_000
"""Widest line that OpenCV bends."""

PEN_BLUR = 0.018
"""Deviation of the blur before a line is cut at its level of ink; share of the height."""

PEN_SLOPE = 2.2
"""Of the ink over the blurred drawing: higher is a harder edge."""


class TextLine(NamedTuple):
    """A line to draw, and the font that has its symbols."""

    text: str
    font: Font


class TextArtist:
    """Draws lines of a corpus; a line of one split occurs in no other."""

    def __init__(self, recipe: TextRecipe) -> None:
        """Read fonts and corpus, and part the corpus.

        Raises:
            DataError: fonts or corpus that cannot be used, or too few entries for the splits.
        """
        self.recipe = recipe
        self.notes: list[str] = []
        fonts = self._fonts_for_joining(read_fonts(Path(recipe.fonts)))
        entries = read_entries(Path(recipe.corpus))
        self._say_what_fonts_lack(fonts, entries)
        variants = {entry: self._usable(entry, fonts) for entry in entries}
        variants = {entry: texts for entry, texts in variants.items() if texts}
        if len(variants) < len(entries):
            self.notes.append(
                f"{len(entries) - len(variants)} of {len(entries)} entries of the corpus are "
                "left out: no font has all their symbols, or their length is outside the limits"
            )
        self.texts = part_entries(variants, recipe.seed)
        self.covering = covering(self.texts["train"])
        known = set("".join(self.covering))
        joiners = recipe.joiners if recipe.max_entries > 1 else ()
        self.other_joiners = [j for j in joiners if not known.issuperset(j)]
        self.lines = {
            split: {font: [t for t in texts if font.has(t)] for font in fonts}
            for split, texts in self.texts.items()
        }
        self._check_counts()
        self.taken: dict[Split, set[str]] = {"test": set(), "val": set(), "train": set()}
        self.taken["val"] = self._made("test")
        self.taken["train"] = self.taken["val"] | self._made("val")

    def choose(self, split: Split, index: int, rng: np.random.Generator) -> tuple[str, TextLine]:
        """Choose what to write. The first lines of train together have all symbols.

        Raises:
            DataError: no line within the limits that is not one of another split, or none with
                a joiner that must be shown.
        """
        recipe, texts = self.recipe, self.texts[split]
        i, joiner = index - len(self.covering), ""
        if split == "train" and 0 <= i < len(self.other_joiners):
            joiner = self.other_joiners[i]
        for _ in range(MAX_TRIES):
            must = split == "train" and index < len(self.covering)
            text = self.covering[index] if must else texts[rng.integers(len(texts))]
            fonts = [font for font in self.lines[split] if font.has(text)]
            font = fonts[rng.integers(len(fonts))]
            text = self._joined(text, self.lines[split][font], rng)
            if len(text) >= recipe.min_length and joiner in text and text not in self.taken[split]:
                return text, TextLine(text, font)
        if joiner:
            raise DataError(
                f"{recipe.corpus}: finds no line of {recipe.min_length} to {recipe.max_length} "
                f"symbols with the joiner {joiner!r}; leave it out, or give a larger max_length"
            )
        raise DataError(
            f"{recipe.corpus}: finds no {split} line of {recipe.min_length} to "
            f"{recipe.max_length} symbols that no other split has; give a larger corpus, "
            "a smaller min_length, or a larger max_entries"
        )

    def draw(self, split: Split, line: TextLine, rng: np.random.Generator) -> Ink:  # noqa: ARG002
        """Draw a line.

        Returns:
            (recipe.height, W) float32 ink from 0 to 1.
        """
        parts = [line.text] if has_rtl(line.text) else line.text.split(" ")  # words change places
        words = [draw_word(line.font.path, self.recipe.height, part) for part in parts]
        return self._inked(_trimmed(self._bend(self._written(words, rng), rng)), rng)

    def _written(self, words: list[Word], rng: np.random.Generator) -> GrayImage:
        """Put words beside each other on a canvas twice as high as they are."""
        recipe, height = self.recipe, self.recipe.height
        spaces = rng.uniform(*recipe.word_space) * height * rng.uniform(0.8, 1.2, len(words))
        steps = np.array([word.advance for word in words]) + spaces
        lefts = np.concatenate([[0.0], np.cumsum(steps)]).round().astype(int) + height
        shifts = rng.uniform(-1, 1, len(words)) * recipe.word_shift * height
        tops = shifts.round().astype(int) + height // 2
        canvas = np.zeros((2 * height, lefts[-1] + height), np.uint8)
        for word, left, top in zip(words, lefts, tops, strict=False):
            rows, columns = word.ink.shape
            y, x = max(0, top + word.top), max(0, left + word.left)
            part = canvas[y : y + rows, x : x + columns]
            np.maximum(part, word.ink[: part.shape[0], : part.shape[1]], out=part)
        return canvas

    def _bend(self, drawn: GrayImage, rng: np.random.Generator) -> GrayImage:
        """Scale and slant a line, let its baseline wave and its letters swing."""
        recipe, height = self.recipe, self.recipe.height
        scale, slant = rng.uniform(*recipe.scale), rng.uniform(*recipe.slant)
        scale_x = scale * rng.uniform(*recipe.stretch)
        n_columns = math.ceil(drawn.shape[1] * scale_x)
        if max(n_columns, drawn.shape[1]) > MAX_DRAWN_PX:
            raise DataError(
                f"{recipe.corpus}: a line is over {MAX_DRAWN_PX} pixels wide at height {height}; "
                "give a smaller max_length or height"
            )
        x = np.arange(n_columns, dtype=np.float32)
        y = np.arange(height, dtype=np.float32)[:, None] - np.float32(height / 2)
        warp = rng.uniform(*recipe.warp) * height
        swing_x, swing_y = (_swing(x, warp, (0.5, 1.5), height, rng) for _ in range(2))
        wave = _swing(x, rng.uniform(*recipe.wave) * height, (2, 12), height, rng)
        across = np.cos(y * np.float32(rng.uniform(2, 5) / height))  # letters are not blocks
        source_x = x / np.float32(scale_x) + np.float32(slant / scale) * y + across * swing_x
        source_y = y / np.float32(scale) + wave + across * swing_y + np.float32(height)
        return np.asarray(cv2.remap(drawn, source_x, source_y, cv2.INTER_LINEAR), dtype=np.uint8)

    def _inked(self, drawn: GrayImage, rng: np.random.Generator) -> Ink:
        """Draw a line again with another pen, whose ink flows unevenly, and give it margins.

        Cutting a blurred drawing at another level makes its strokes thinner or thicker, for a
        fraction of the time that an outline of the letters takes.
        """
        recipe, (height, width) = self.recipe, drawn.shape
        left, right = (rng.uniform(*recipe.margin, 2) * height).astype(int)
        ink = np.zeros((height, left + width + right), np.float32)
        ink[:, left : left + width] = drawn
        ink = np.asarray(cv2.GaussianBlur(ink, (0, 0), height * PEN_BLUR), dtype=np.float32)
        ink *= np.float32(PEN_SLOPE / 255)
        ink += np.float32(0.5 - PEN_SLOPE * (0.45 - 0.25 * rng.uniform(*recipe.stroke)))
        flow = rng.uniform(*recipe.brightness, max(2, ink.shape[1] // height))
        at = np.linspace(0, 1, ink.shape[1])
        brightness = np.interp(at, np.linspace(0, 1, len(flow)), flow).astype(np.float32)
        return np.asarray(np.clip(ink, 0, 1) * brightness, dtype=np.float32)

    def _joined(self, text: str, others: list[str], rng: np.random.Generator) -> str:
        recipe = self.recipe
        for _ in range(rng.integers(recipe.max_entries)):
            joiner = recipe.joiners[rng.integers(len(recipe.joiners))]
            longer = text + joiner + others[rng.integers(len(others))]
            if len(longer) > recipe.max_length:
                break
            text = longer
        return text

    def _usable(self, entry: str, fonts: list[Font]) -> list[str]:
        shortest = self.recipe.min_length if self.recipe.max_entries == 1 else 1
        return [
            text
            for text in in_cases(entry, self.recipe.cases)
            if shortest <= len(text) <= self.recipe.max_length
            and any(font.has(text) for font in fonts)
        ]

    def _fonts_for_joining(self, fonts: list[Font]) -> list[Font]:
        if self.recipe.max_entries == 1:
            return fonts
        usable = [font for font in fonts if all(map(font.has, self.recipe.joiners))]
        if not usable:
            raise DataError(f"{self.recipe.fonts}: no font has the joiners {self.recipe.joiners}")
        return usable

    def _say_what_fonts_lack(self, fonts: list[Font], entries: list[str]) -> None:
        texts = [text for entry in entries for text in in_cases(entry, self.recipe.cases)]
        symbols = set().union(*texts)
        for font in fonts:
            lacking = sorted(symbols - font.symbols)
            if lacking:
                n = sum(not font.has(text) for text in texts)
                self.notes.append(
                    f"{font.path.name} lacks {' '.join(lacking)} and is not used for the "
                    f"{n} of {len(texts)} texts of the corpus with such symbols"
                )

    def _check_counts(self) -> None:
        recipe = self.recipe
        for split, texts in self.texts.items():
            if recipe.counts.of(split) and not texts:
                raise DataError(
                    f"{recipe.corpus}: no entry is left for the {split} split "
                    f"(train {len(self.texts['train'])}); give a larger corpus or other limits"
                )
        n_first = len(self.covering) + len(self.other_joiners)
        if recipe.counts.train < n_first:
            raise DataError(
                f"{recipe.corpus}: {recipe.counts.train} lines of train cannot show all its "
                f"symbols; give at least {n_first}"
            )

    def _made(self, split: Split) -> set[str]:
        rngs = (self.recipe.rng_of(split, i) for i in range(self.recipe.counts.of(split)))
        return {self.choose(split, i, rng)[0] for i, rng in enumerate(rngs)}


def _swing(
    x: np.ndarray,
    amplitude: float,
    periods: tuple[float, float],
    height: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a sine over columns, in pixels; periods are multiples of the height."""
    period, phase = rng.uniform(*periods) * height, rng.uniform(0, 2 * math.pi)
    swing: np.ndarray = np.float32(amplitude) * np.sin(x * np.float32(2 * math.pi / period) + phase)
    return swing.astype(np.float32)


def _trimmed(drawn: GrayImage) -> GrayImage:
    """Cut a line to the columns with ink."""
    columns = np.flatnonzero(drawn.max(0))
    return drawn[:, columns[0] : columns[-1] + 1] if len(columns) else drawn[:, :1]
