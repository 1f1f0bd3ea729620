"""Charset: the characters of a recogniser, their ids and their reading order.

Recognisers read from left to right, so right-to-left labels are converted from logical order, as
typed, to visual order, as seen, and back. Levels follow the Unicode bidirectional algorithm
(UAX 9) of python-bidi. Combining marks stay after their base letter (rule L3) in both orders, and
brackets are mirrored (rule L4).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bidi import get_base_level, get_display
from bidi.mirror import MIRRORED

from ocrsearch.core import DataError, quoted

MAX_SYMBOLS = 50_000

_HARMLESS_CONTROLS = frozenset("\t\n")

Bidi = Literal["off", "ltr", "rtl", "auto-ltr", "auto-rtl"]
"""Base direction of lines. With "auto" the first letter of a line decides; the suffix is the
direction assumed for ambiguous predictions. With "off" labels are not reordered."""

BidiSetting = Literal["auto", "rtl", "ltr", "off"]
"""User setting, from which the data determines a ``Bidi``."""

RTL_CLASSES = frozenset({"R", "AL", "AN"})
LETTER_CLASSES = frozenset({"L", "R", "AL"})

_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LEVEL = re.compile(r"Level\(\s*(\d+)")


def is_symbol(value: object) -> bool:
    """Return whether a value from a file is a symbol: a single character of an NFC label."""
    if not isinstance(value, str) or len(value) != 1:
        return False
    if unicodedata.category(value) in ("Cc", "Cs"):
        return value in _HARMLESS_CONTROLS
    return unicodedata.is_normalized("NFC", value)


class Charset:
    """Ordered characters, with ids from 0.

    A symbol is a Unicode code point of an NFC label. Ids for blank, begin and end belong to the
    architectures and follow the symbols. Labels are in logical order. Ids are in visual order
    from left to right, unless ``bidi`` is "off".
    """

    def __init__(self, symbols: Sequence[str], bidi: Bidi = "off") -> None:
        if len(set(symbols)) != len(symbols):
            raise DataError("charset: a character appears twice")
        if bidi not in get_args(Bidi):
            raise DataError(f"charset: bidi is {quoted(bidi)}, must be one of {get_args(Bidi)}")
        self.symbols = tuple(symbols)
        self.bidi = bidi
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols)}

    @classmethod
    def from_texts(cls, texts: Iterable[str], bidi: Bidi = "off") -> Charset:
        """Collect the characters of labels in code point order.

        Raises:
            DataError: There are too many characters.
        """
        symbols = set().union(*(to_visual(text, bidi) for text in texts))
        if len(symbols) > MAX_SYMBOLS:
            raise DataError(
                f"the labels have {len(symbols):,} different characters, at most "
                f"{MAX_SYMBOLS:,} can be learned; check the labels"
            )
        return cls(sorted(symbols), bidi)

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> Charset:
        """Return the charset stored in a file. Older files do not reorder labels.

        Raises:
            DataError: The characters are not a list, are too many, or are not single characters.
        """
        symbols = content.get("symbols")
        if not isinstance(symbols, list) or not 0 < len(symbols) <= MAX_SYMBOLS:
            raise DataError(f"charset: must be a list of 1 to {MAX_SYMBOLS} characters")
        for i, symbol in enumerate(symbols):
            if not is_symbol(symbol):
                raise DataError(f"charset: entry {i} is not a single NFC character")
        return cls(symbols, content.get("bidi", "off"))

    def content(self) -> dict[str, object]:
        """Return the charset as plain values for a file; see ``from_content``."""
        return {"symbols": list(self.symbols), "bidi": self.bidi}

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Charset) and self.symbols == other.symbols and self.bidi == other.bidi
        )

    def __hash__(self) -> int:
        return hash((self.symbols, self.bidi))

    def visual(self, text: str) -> str:
        """Return a label in the order of its ids."""
        return to_visual(text, self.bidi)

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Return the sorted characters of labels that are not in the charset."""
        return sorted(set().union(*map(self.visual, texts)) - self._ids.keys())

    def encode(self, text: str) -> list[int]:
        """Return the ids of a label.

        Raises:
            DataError: Characters are not in the charset. The message lists them.
        """
        try:
            return self.ids_of(self.visual(text))
        except KeyError:
            raise DataError(
                f"label {text!r}: characters {self.missing([text])} are not in the charset"
            ) from None

    def ids_of(self, symbols: Iterable[str]) -> list[int]:
        """Return the ids of symbols in order. A KeyError names a missing symbol."""
        return [self._ids[symbol] for symbol in symbols]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the label for symbol ids."""
        return self.decode_in_order(ids).text

    def decode_in_order(self, ids: Iterable[int]) -> Reordered:
        """Return the label for symbol ids, and the index of the id of each character."""
        return to_logical("".join(self.symbols[i] for i in ids), self.bidi)


@dataclass(frozen=True)
class Reordered:
    """Text in another order.

    Attributes:
        text: Reordered text, as long as the original.
        order: Index in the original text of each character.
    """

    text: str
    order: Sequence[int]


def has_rtl(text: str) -> bool:
    """Return whether a text has right-to-left letters or digits."""
    return not text.isascii() and any(unicodedata.bidirectional(c) in RTL_CLASSES for c in text)


def is_mixed(text: str) -> bool:
    """Return whether a text has letters of both directions."""
    kinds = {unicodedata.bidirectional(c) for c in text}
    return "L" in kinds and bool(kinds & {"R", "AL"})


def resolve_bidi(setting: str, texts: Iterable[str]) -> Bidi:
    """Return how the labels of a dataset are reordered, "off" if none needs it.

    Args:
        setting: "auto", "ltr", "rtl" or "off".
        texts: Labels in logical order.
    """
    rtl = [text for text in texts if has_rtl(text)] if setting != "off" else []
    if not rtl:
        return "off"
    if setting == "ltr":
        return "ltr"
    if setting == "rtl":
        return "rtl"
    n_to_left = sum(get_base_level(text) for text in rtl)
    return "auto-rtl" if 2 * n_to_left >= len(rtl) else "auto-ltr"


def to_visual(text: str, bidi: Bidi) -> str:
    """Return a text in visual order, from left to right."""
    if not _is_reordered(text, bidi):
        return text
    base = get_base_level(text) if bidi.startswith("auto") else int(bidi == "rtl")
    return _reorder(text, base).text


def _is_reordered(text: str, bidi: Bidi) -> bool:
    return bidi != "off" and (bidi == "rtl" or has_rtl(text))


def _reorder(text: str, base: int, classes_of: str = "") -> Reordered:
    """Reorder a text by its own levels or those of another text of equal length."""
    levels = _levels(classes_of or text, base)
    clusters: list[list[int]] = []  # ids of each character with its combining marks
    for i, character in enumerate(text):
        if clusters and unicodedata.bidirectional(character) == "NSM":
            clusters[-1].append(i)
        else:
            clusters.append([i])
    for level in range(max(levels, default=0), 0, -1):  # rule L2: reverse runs of this level
        reordered: list[list[int]] = []
        run: list[list[int]] = []
        for cluster in clusters:
            if levels[cluster[0]] >= level:
                run.append(cluster)
            else:
                reordered += [*reversed(run), cluster]
                run = []
        clusters = [*reordered, *reversed(run)]
    order = [i for cluster in clusters for i in cluster]
    seen = [MIRRORED.get(text[i], text[i]) if levels[i] % 2 else text[i] for i in order]
    return Reordered("".join(seen), order)


def _levels(text: str, base: int) -> list[int]:
    """Return the embedding level of each character, with rule L1 at the end of the line."""
    dump = str(get_display(text, base_dir="LR"[base], debug=True))
    of_bytes = _LEVEL.findall(dump.rpartition("levels: [")[2].partition("paragraphs: [")[0])
    levels: list[int] = []
    at = 0
    for character in text:
        levels.append(int(of_bytes[at]))
        at += len(character.encode())
    for i in range(len(text) - 1, -1, -1):
        if unicodedata.bidirectional(text[i]) not in ("WS", "S", "B", "BN"):
            break
        levels[i] = base
    return levels


def to_logical(text: str, bidi: Bidi) -> Reordered:
    """Return the logical order of a visual text: the inverse of ``to_visual``.

    Several texts may look the same. A text in the direction of ``bidi`` is preferred.
    """
    if not _is_reordered(text, bidi):
        return Reordered(text, range(len(text)))
    preferred = 0 if bidi.endswith("ltr") else 1
    found = _invert(text, preferred)
    if bidi.startswith("auto") and to_visual(found.text, bidi) != text:
        other = _invert(text, 1 - preferred)
        if to_visual(other.text, bidi) == text:
            return other
    return found


def _invert(text: str, base: int) -> Reordered:
    """Reorder a visual text, treating digits as in their logical context.

    After an Arabic letter digits behave as Arabic digits (rule W2). The context is only known
    after a first pass.
    """
    shown = list(text)
    last = ""
    for i in _reorder(text, base).order:
        kind = unicodedata.bidirectional(text[i])
        last = kind if kind in LETTER_CLASSES else last
        if kind == "AL":
            shown[i] = "א"
        elif kind == "EN" and last == "AL":
            shown[i] = "٠"
    return _reorder(text, base, "".join(shown))


def has_controls(text: str) -> bool:
    """Return whether a text has invisible direction marks."""
    return _CONTROLS.search(text) is not None


def remove_controls(text: str, bidi: Bidi) -> str:
    """Return a text without direction marks, in an order with the same appearance."""
    visible = _CONTROLS.sub("", to_visual(text, bidi))
    return to_logical(visible, bidi).text.strip()
