"""The charset: which symbols a recogniser knows, their ids, and in which order it reads them."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from ocrsearch.data.bidi import Bidi, Reordered, to_logical, to_visual
from ocrsearch.errors import DataError
from ocrsearch.printable import quoted

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
