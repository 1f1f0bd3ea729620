"""Lines of text rendered with fonts from the entries of a corpus.

Fonts and corpus are checked and the corpus is split before anything is rendered. Words are
rendered by Pillow once and cached; a line of words is then scaled, slanted and bent together.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont, features

from ocrsearch.core import DataError, open_input
from ocrsearch.data.charset import has_rtl, to_visual
from ocrsearch.data.formats import numbered_lines
from ocrsearch.data.samples import GrayImage, Sample, Split, normalize_label
from ocrsearch.data.splits import assign_splits, by_split
from ocrsearch.data.synthesis.recipe import Ink, TextRecipe

CASES: dict[str, Callable[[str], str]] = {
    "kept": str,
    "lower": str.lower,
    "title": lambda text: " ".join(word[:1].upper() + word[1:] for word in text.split(" ")),
    "upper": str.upper,
}

FONT_SUFFIXES = frozenset({".ttf", ".otf"})

MAX_FONT_BYTES = 64_000_000
"""Maximum size of a font file, in bytes."""

FONT_MARKS = (b"\0\1\0\0", b"OTTO", b"true")
"""First bytes of plain fonts. Compressed fonts, which can unpack without limit, differ."""

MAX_TRIES = 200

MAX_DRAWN_PX = 32_000
"""Maximum width of a line that OpenCV can bend, in pixels."""

PEN_BLUR = 0.018
"""Deviation of the blur before ink is thresholded, as a fraction of the height."""

PEN_SLOPE = 2.2
"""Slope of the threshold on the blurred rendering. Higher values give harder edges."""


def read_entries(path: Path) -> list[str]:
    """Return the distinct entries of a corpus, one per line, NFC, in their order.

    Raises:
        DataError: The file is missing, not UTF-8 or contains a control character such as a tab.
    """
    entries: dict[str, None] = {}
    for where, line in numbered_lines(path, "corpus"):
        entry = normalize_label(line)
        control = next((c for c in entry if unicodedata.category(c) == "Cc"), None)
        if control is not None:
            raise DataError(
                f"corpus:{path}: {where}: control character {control!r}; "
                "write one entry per line without other separators"
            )
        entries[" ".join(entry.split())] = None
    return [entry for entry in entries if entry]


def in_cases(entry: str, cases: Iterable[str]) -> tuple[str, ...]:
    """Return an entry in the given letter cases, without duplicates."""
    return tuple(dict.fromkeys(normalize_label(CASES[case](entry)) for case in cases))


def part_entries(variants: Mapping[str, Sequence[str]], seed: int) -> dict[Split, list[str]]:
    """Split entries 80/10/10 by seed. Variants of an entry stay in the same split.

    Entries with a character that occurs nowhere else go to train.
    """
    nothing = np.zeros((1, 1), np.uint8)
    samples = [Sample(entry, nothing, "".join(texts)) for entry, texts in variants.items()]
    seen: set[str] = set()
    parts: dict[Split, list[str]] = {}
    for split, part in by_split(assign_splits(samples, seed, keep_symbols=True)).items():
        texts = dict.fromkeys(text for sample in part for text in variants[sample.name])
        parts[split] = [text for text in texts if text not in seen]
        seen.update(texts)
    return parts


def covering(texts: Sequence[str]) -> list[str]:
    """Return a subset of the texts that contains all of their characters."""
    known: set[str] = set()
    chosen = []
    for text in texts:
        if not known.issuperset(text):
            known.update(text)
            chosen.append(text)
    return chosen


@dataclass(frozen=True)
class Font:
    """Font file and the characters that it can render."""

    path: Path
    symbols: frozenset[str] = field(repr=False)

    def has(self, text: str) -> bool:
        """Return whether there is a glyph for each character of a text."""
        return self.symbols.issuperset(text)


@dataclass(frozen=True)
class Word:
    """Rendered word.

    Attributes:
        ink: (h, w) uint8, 0 for no ink, cropped to the ink.
        left: Number of columns from the pen position to the ink.
        top: Number of rows from the ascender to the ink.
        advance: Number of columns by which the pen advances.
    """

    ink: GrayImage
    left: int
    top: int
    advance: float


def read_fonts(path: Path) -> list[Font]:
    """Read a font file, or all font files of a folder.

    Raises:
        DataError: The path is missing or has no fonts, or a file is not a font.
    """
    files = [path] if path.is_file() else sorted(path.glob("*"))
    fonts = [_read_font(p) for p in files if p.suffix.lower() in FONT_SUFFIXES]
    if not fonts:
        raise DataError(f"{path}: no fonts here (looked for {' '.join(sorted(FONT_SUFFIXES))})")
    return fonts


def _read_font(path: Path) -> Font:
    with open_input(path, str(path), DataError, MAX_FONT_BYTES) as file:
        if file.read(4) not in FONT_MARKS:
            raise DataError(
                f"{path}: not a font that can be used (must be TrueType or OpenType); remove it"
            )
    try:
        with path.open("rb") as file, TTFont(file, lazy=True) as font:
            symbols = frozenset(map(chr, font.getBestCmap() or {}))
        _opened(path, 100)
    except Exception as error:  # fontTools raises all kinds of errors on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not a font that can be used ({reason}); remove it") from None
    return Font(path, symbols)


@lru_cache(maxsize=8192)
def draw_word(path: Path, height: int, word: str) -> Word:
    """Render a word with ``height`` pixels between ascender and descender.

    Raises:
        DataError: The word has joined letters, which Pillow needs libraqm and FriBiDi for.
    """
    # with both libraries Pillow itself joins and reorders letters
    if has_rtl(word) and not (features.check("raqm") and features.check("fribidi")):
        if any(unicodedata.bidirectional(c) == "AL" for c in word):
            raise DataError(
                f"{word!r}: Pillow cannot render Arabic script; install FriBiDi (libfribidi0)"
            )
        word = to_visual(word, "auto-rtl")
    font = _opened(path, height)
    left, top, right, bottom = (round(v) for v in font.getbbox(word, anchor="la"))
    image = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), word, 255, font, anchor="la")
    return Word(np.asarray(image), left, top, font.getlength(word))


@lru_cache(maxsize=512)
def _opened(path: Path, height: int) -> ImageFont.FreeTypeFont:
    ascent, descent = ImageFont.truetype(path, 100).getmetrics()
    return ImageFont.truetype(path, max(4, round(100 * height / (ascent + descent))))


class TextLine(NamedTuple):
    """Text of a line and a font that has its characters."""

    text: str
    font: Font


class TextArtist:
    """Renders lines of a corpus. No line occurs in more than one split."""

    def __init__(self, recipe: TextRecipe) -> None:
        """Read fonts and corpus, and split the corpus.

        Raises:
            DataError: Fonts or corpus cannot be used, or there are too few entries.
        """
        self.recipe = recipe
        self.notes: list[str] = []
        joiners = recipe.joiners if recipe.max_entries > 1 else ()
        fonts = [f for f in read_fonts(Path(recipe.fonts)) if all(map(f.has, joiners))]
        if not fonts:
            raise DataError(
                f"{recipe.fonts}: no font has the joiners {recipe.joiners}; "
                "use other joiners or fonts"
            )
        entries = read_entries(Path(recipe.corpus))
        cased = {entry: in_cases(entry, recipe.cases) for entry in entries}
        self._note_missing_characters(fonts, [text for texts in cased.values() for text in texts])
        # several short entries may make a line
        shortest = recipe.min_length if recipe.max_entries == 1 else 1
        variants: dict[str, list[str]] = {}
        for entry, texts in cased.items():
            fitting = [t for t in texts if shortest <= len(t) <= recipe.max_length]
            if usable := [t for t in fitting if any(font.has(t) for font in fonts)]:
                variants[entry] = usable
        if len(variants) < len(entries):
            self.notes.append(
                f"{len(entries) - len(variants)} of {len(entries)} entries of the corpus are "
                "skipped: no font has all their characters, or their length is out of range"
            )
        self.texts = part_entries(variants, recipe.seed)
        self.covering = covering(self.texts["train"])
        known = set("".join(self.covering))
        self.other_joiners = [j for j in joiners if not known.issuperset(j)]
        self.lines = {
            split: {font: [t for t in texts if font.has(t)] for font in fonts}
            for split, texts in self.texts.items()
        }
        self._check_counts()
        # concatenated lines can coincide: a split avoids the lines of the splits drawn before it
        lines: set[str] = set()
        self.taken: dict[Split, set[str]] = {}
        splits: tuple[Split, ...] = ("test", "val", "train")
        for split in splits:
            self.taken[split] = set(lines)
            n = recipe.counts.of(split) if split != "train" else 0
            lines.update(self.choose(split, i, recipe.rng_of(split, i))[0] for i in range(n))

    def _note_missing_characters(self, fonts: list[Font], texts: list[str]) -> None:
        characters = set().union(*texts)
        for font in fonts:
            lacking = sorted(characters - font.symbols)
            if lacking:
                n = sum(not font.has(text) for text in texts)
                self.notes.append(
                    f"{font.path.name} lacks {' '.join(lacking)} and is not used for the "
                    f"{n} of {len(texts)} texts of the corpus with these characters"
                )

    def _check_counts(self) -> None:
        recipe = self.recipe
        for split, texts in self.texts.items():
            if recipe.counts.of(split) and not texts:
                raise DataError(
                    f"{recipe.corpus}: no entry is left for the {split} split "
                    f"(train {len(self.texts['train'])}); use a larger corpus or wider limits"
                )
        n_first = len(self.covering) + len(self.other_joiners)
        if recipe.counts.train < n_first:
            raise DataError(
                f"{recipe.corpus}: {recipe.counts.train} lines of train cannot show all its "
                f"characters, must be at least {n_first}; raise counts.train"
            )

    def choose(self, split: Split, index: int, rng: np.random.Generator) -> tuple[str, TextLine]:
        """Choose a line. The first training lines together contain all characters.

        Raises:
            DataError: No line within the limits is free of other splits, or no line can show a
                required joiner.
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
                f"characters with the joiner {joiner!r}; remove it or raise max_length"
            )
        raise DataError(
            f"{recipe.corpus}: finds no {split} line of {recipe.min_length} to "
            f"{recipe.max_length} characters that no other split has; use a larger corpus, "
            "a smaller min_length or a larger max_entries"
        )

    def _joined(self, text: str, others: list[str], rng: np.random.Generator) -> str:
        recipe = self.recipe
        for _ in range(rng.integers(recipe.max_entries)):
            joiner = recipe.joiners[rng.integers(len(recipe.joiners))]
            longer = text + joiner + others[rng.integers(len(others))]
            if len(longer) > recipe.max_length:
                break
            text = longer
        return text

    def draw(self, split: Split, line: TextLine, rng: np.random.Generator) -> Ink:  # noqa: ARG002
        """Render a line.

        Returns:
            (recipe.height, W) float32 ink from 0 to 1.
        """
        # the words of right-to-left text change places, so it is rendered as a whole
        parts = [line.text] if has_rtl(line.text) else line.text.split(" ")
        words = [draw_word(line.font.path, self.recipe.height, part) for part in parts]
        drawn = self._bend(self._written(words, rng), rng)
        columns = np.flatnonzero(drawn.max(0))
        drawn = drawn[:, columns[0] : columns[-1] + 1] if len(columns) else drawn[:, :1]
        return self._inked(drawn, rng)

    def _written(self, words: list[Word], rng: np.random.Generator) -> GrayImage:
        """Arrange words on a canvas twice their height."""
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
        """Scale and slant a line, and add waves to its baseline and its letters."""
        recipe, height = self.recipe, self.recipe.height
        scale, slant = rng.uniform(*recipe.scale), rng.uniform(*recipe.slant)
        scale_x = scale * rng.uniform(*recipe.stretch)
        n_columns = math.ceil(drawn.shape[1] * scale_x)
        if max(n_columns, drawn.shape[1]) > MAX_DRAWN_PX:
            raise DataError(
                f"{recipe.corpus}: a line is over {MAX_DRAWN_PX} pixels wide at height {height}; "
                "reduce max_length or height"
            )
        x = np.arange(n_columns, dtype=np.float32)
        y = np.arange(height, dtype=np.float32)[:, None] - np.float32(height / 2)
        warp = rng.uniform(*recipe.warp) * height
        swing_x, swing_y = (_swing(x, warp, (0.5, 1.5), height, rng) for _ in range(2))
        wave = _swing(x, rng.uniform(*recipe.wave) * height, (2, 12), height, rng)
        across = np.cos(y * np.float32(rng.uniform(2, 5) / height))  # bends within letters
        source_x = x / np.float32(scale_x) + np.float32(slant / scale) * y + across * swing_x
        source_y = y / np.float32(scale) + wave + across * swing_y + np.float32(height)
        return np.asarray(cv2.remap(drawn, source_x, source_y, cv2.INTER_LINEAR), dtype=np.uint8)

    def _inked(self, drawn: GrayImage, rng: np.random.Generator) -> Ink:
        """Change the pen width and ink flow of a line, and add margins.

        Thresholding a blurred rendering at another level changes the stroke width. This is
        much faster than stroking the outlines of the letters.
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


def _swing(
    x: np.ndarray,
    amplitude: float,
    periods: tuple[float, float],
    height: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return a sine over columns, in pixels. Periods are multiples of the height."""
    period, phase = rng.uniform(*periods) * height, rng.uniform(0, 2 * math.pi)
    swing: np.ndarray = np.float32(amplitude) * np.sin(x * np.float32(2 * math.pi / period) + phase)
    return swing.astype(np.float32)
