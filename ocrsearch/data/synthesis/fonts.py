"""Fonts: font files, the symbols they have, and their sizes."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageDraw, ImageFont, features

from ocrsearch.data.bidi import has_rtl, to_visual
from ocrsearch.data.samples import GrayImage
from ocrsearch.errors import DataError
from ocrsearch.files import open_input

FONT_SUFFIXES = frozenset({".ttf", ".otf"})

MAX_FONT_BYTES = 64_000_000
"""Largest font file that is read."""

FONT_MARKS = (b"\0\1\0\0", b"OTTO", b"true")
"""First bytes of plain fonts; compressed fonts, which can grow without limit, have others."""


@dataclass(frozen=True)
class Font:
    """A font file and the symbols that it can draw."""

    path: Path
    symbols: frozenset[str] = field(repr=False)

    def has(self, text: str) -> bool:
        """Whether there is a glyph for each symbol of a text."""
        return self.symbols.issuperset(text)


@dataclass(frozen=True)
class Word:
    """A drawn word.

    Attributes:
        ink: (h, w) uint8, 0 for none; just around the ink.
        left: columns from the pen's position to the ink.
        top: rows from the ascender to the ink.
        advance: columns by which the pen moves on.
    """

    ink: GrayImage
    left: int
    top: int
    advance: float


def read_fonts(path: Path) -> list[Font]:
    """Read the font files of a folder, or one file.

    Raises:
        DataError: no such path, no fonts, or a file that is not a font.
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
                f"{path}: not a font that can be used (neither TrueType nor OpenType); take it away"
            )
    try:
        with path.open("rb") as file, TTFont(file, lazy=True) as font:
            symbols = frozenset(map(chr, font.getBestCmap() or {}))
        _opened(path, 100)
    except Exception as error:  # fontTools raises nearly anything on damaged files
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: not a font that can be used ({reason}); take it away") from None
    return Font(path, symbols)


@lru_cache(maxsize=8192)
def draw_word(path: Path, height: int, word: str) -> Word:
    """Draw a word at the size at which ascender and descender are ``height`` pixels apart.

    Raises:
        DataError: joined letters that Pillow cannot draw without libraqm and FriBiDi.
    """
    if has_rtl(word) and not _lays_out():
        if any(unicodedata.bidirectional(c) == "AL" for c in word):
            raise DataError(
                f"{word!r}: Pillow cannot draw Arabic script here; install FriBiDi (libfribidi0)"
            )
        word = to_visual(word, "auto-rtl")
    font = _opened(path, height)
    left, top, right, bottom = (round(v) for v in font.getbbox(word, anchor="la"))
    image = Image.new("L", (max(1, right - left), max(1, bottom - top)))
    ImageDraw.Draw(image).text((-left, -top), word, 255, font, anchor="la")
    return Word(np.asarray(image), left, top, font.getlength(word))


def _lays_out() -> bool:
    """Whether Pillow joins and reorders letters itself."""
    return bool(features.check("raqm") and features.check("fribidi"))


@lru_cache(maxsize=512)
def _opened(path: Path, height: int) -> ImageFont.FreeTypeFont:
    ascent, descent = ImageFont.truetype(path, 100).getmetrics()
    return ImageFont.truetype(path, max(4, round(100 * height / (ascent + descent))))
