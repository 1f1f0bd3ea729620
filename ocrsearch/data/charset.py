"""Charset: the characters of a recogniser, their ids, and the order in which they are read.

The charset: which symbols a recogniser knows, their ids, and in which order it reads them.

Right-to-left text: from logical order, as typed, to visual order, as seen, and back.

A recogniser reads columns from left to right, so it is trained on labels in visual order. The
levels are those of the Unicode bidirectional algorithm (UAX 9) by python-bidi. Combining marks
stay after their base letter (rule L3), so that the letter that is drawn comes first in either
order, and brackets become those that are seen (rule L4).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from bidi import get_base_level, get_display
from bidi.mirror import MIRRORED

from ocrsearch.core import DataError, quoted

MAX_SYMBOLS = 50_000

_HARMLESS_CONTROLS = frozenset("\t\n")


def is_symbol(value: object) -> bool:
    """Whether a value from a file can be a symbol: one character of an NFC label."""
    if not isinstance(value, str) or len(value) != 1:
        return False
    if unicodedata.category(value) in ("Cc", "Cs"):
        return value in _HARMLESS_CONTROLS
    return unicodedata.is_normalized("NFC", value)


class Charset:
    """Symbols in a fixed order, each with an id from 0.

    A symbol is one Unicode code point of an NFC label. Ids of blank, begin and end belong to
    the architectures and follow after the symbols. Labels are in logical order; ids are in visual
    order, from left to right, unless ``bidi`` is "off".
    """

    def __init__(self, symbols: Sequence[str], bidi: Bidi = "off") -> None:
        if len(set(symbols)) != len(symbols):
            raise DataError("charset: a symbol appears twice")
        if bidi not in get_args(Bidi):
            raise DataError(f"charset: bidi is {quoted(bidi)}, must be one of {get_args(Bidi)}")
        self.symbols = tuple(symbols)
        self.bidi = bidi
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols)}

    @classmethod
    def from_texts(cls, texts: Iterable[str], bidi: Bidi = "off") -> Charset:
        """Collect the symbols of the given labels, in code point order.

        Raises:
            DataError: too many symbols.
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
        """Return the charset that a file has kept; older files know of no reordering.

        Raises:
            DataError: no list of symbols, too many, or an entry that is no symbol.
        """
        symbols = content.get("symbols")
        if not isinstance(symbols, list) or not 0 < len(symbols) <= MAX_SYMBOLS:
            raise DataError(f"charset: must be a list of 1 to {MAX_SYMBOLS} characters")
        for i, symbol in enumerate(symbols):
            if not is_symbol(symbol):
                raise DataError(f"charset: entry {i} is not a single NFC character")
        return cls(symbols, content.get("bidi", "off"))

    def content(self) -> dict[str, Any]:
        """Return the charset as plain values, for files; see ``from_content``."""
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
        """Return the symbols of the given labels that are not in the charset, sorted."""
        return sorted(set().union(*map(self.visual, texts)) - self._ids.keys())

    def encode(self, text: str) -> list[int]:
        """Return the ids of a label's symbols.

        Raises:
            DataError: a symbol is not in the charset; all such symbols are listed.
        """
        try:
            return self.ids_of(self.visual(text))
        except KeyError:
            raise DataError(
                f"label {text!r}: symbols {self.missing([text])} are not in the charset"
            ) from None

    def ids_of(self, symbols: Iterable[str]) -> list[int]:
        """Return the ids of symbols, in their order; a KeyError names one that is not there."""
        return [self._ids[symbol] for symbol in symbols]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the label of the given symbol ids."""
        return self.decode_in_order(ids).text

    def decode_in_order(self, ids: Iterable[int]) -> Reordered:
        """Return the label of symbol ids, and for each of its characters the number of its id."""
        return to_logical("".join(self.symbols[i] for i in ids), self.bidi)


Bidi = Literal["off", "ltr", "rtl", "auto-ltr", "auto-rtl"]
"""Base direction of lines. "auto": a line's first letter tells; behind the dash what is assumed
of a reading that two lines, one of each direction, would look like. "off": no reordering."""

BidiSetting = Literal["auto", "rtl", "ltr", "off"]
"""From which the data makes a ``Bidi``."""

RTL_CLASSES = frozenset({"R", "AL", "AN"})
LETTER_CLASSES = frozenset({"L", "R", "AL"})

_CONTROLS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_LEVEL = re.compile(r"Level\(\s*(\d+)")


@dataclass(frozen=True)
class Reordered:
    """A text in another order.

    Attributes:
        text: as long as the one it was made of.
        order: for each character its index in that one.
    """

    text: str
    order: Sequence[int]


def has_rtl(text: str) -> bool:
    """Whether a text has letters or digits of a right-to-left script."""
    return not text.isascii() and any(unicodedata.bidirectional(c) in RTL_CLASSES for c in text)


def is_mixed(text: str) -> bool:
    """Whether a text has letters of either direction."""
    kinds = {unicodedata.bidirectional(c) for c in text}
    return "L" in kinds and bool(kinds & {"R", "AL"})


def resolve_bidi(setting: str, texts: Iterable[str]) -> Bidi:
    """Return how the labels of a data set are reordered; "off" if none of them has to be.

    Args:
        setting: "auto", "ltr", "rtl" or "off".
        texts: the labels in logical order.
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
    """Return a text as it is seen, from left to right."""
    if not _is_reordered(text, bidi):
        return text
    return _reorder(text, _base(text, bidi)).text


def to_logical(text: str, bidi: Bidi) -> Reordered:
    """Return the logical order of a text that is seen: ``to_visual`` makes it of what is returned.

    Several texts may look the same; one of the direction that ``bidi`` names is preferred.
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


def has_controls(text: str) -> bool:
    """Whether a text has invisible direction marks."""
    return _CONTROLS.search(text) is not None


def remove_controls(text: str, bidi: Bidi) -> str:
    """Return a text without its direction marks, in an order in which it looks the same."""
    visible = _CONTROLS.sub("", to_visual(text, bidi))
    return to_logical(visible, bidi).text.strip()


def _is_reordered(text: str, bidi: Bidi) -> bool:
    return bidi != "off" and (bidi == "rtl" or has_rtl(text))


def _base(text: str, bidi: Bidi) -> int:
    """Return the level of the base direction: 0 or 1."""
    return get_base_level(text) if bidi.startswith("auto") else int(bidi == "rtl")


def _invert(text: str, base: int) -> Reordered:
    """Reorder a visual text, with digits as they are in their logical context.

    Behind an Arabic letter digits behave as Arabic ones do (rule W2), and what is before or
    behind is known after a first try.
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


def _reorder(text: str, base: int, classes_of: str = "") -> Reordered:
    """Reorder a text by the levels of another one of the same length, or its own."""
    levels = _levels(classes_of or text, base)
    clusters = list(_clusters(text))
    for level in range(max(levels, default=0), 0, -1):  # rule L2
        clusters = list(_reversed_runs(clusters, levels, level))
    order = [i for cluster in clusters for i in cluster]
    seen = [MIRRORED.get(text[i], text[i]) if levels[i] % 2 else text[i] for i in order]
    return Reordered("".join(seen), order)


def _levels(text: str, base: int) -> list[int]:
    """Return the embedding level of each character, with rule L1 for the end of the line."""
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


def _clusters(text: str) -> Iterator[range]:
    """Yield the indices of each character with the marks that combine with it."""
    start = 0
    for i in range(1, len(text) + 1):
        if i == len(text) or unicodedata.bidirectional(text[i]) != "NSM":
            yield range(start, i)
            start = i


def _reversed_runs(clusters: Sequence[range], levels: Sequence[int], level: int) -> Iterator[range]:
    """Yield clusters with each run of a level or above reversed."""
    run: list[range] = []
    for cluster in clusters:
        if levels[cluster[0]] >= level:
            run.append(cluster)
            continue
        yield from reversed(run)
        run = []
        yield cluster
    yield from reversed(run)
