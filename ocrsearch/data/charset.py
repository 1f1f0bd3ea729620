"""The charset: which symbols a recogniser knows, and their ids."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ocrsearch.errors import DataError


class Charset:
    """Symbols in a fixed order, each with an id from 0.

    A symbol is one Unicode code point of an NFC label. Ids of blank, begin and end belong to
    the architectures and follow after the symbols.
    """

    def __init__(self, symbols: Sequence[str]) -> None:
        if len(set(symbols)) != len(symbols):
            raise DataError("charset: a symbol appears twice")
        self.symbols = tuple(symbols)
        self._ids = {symbol: i for i, symbol in enumerate(self.symbols)}

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Charset:
        """Collect the symbols of the given labels, in code point order."""
        return cls(sorted(set().union(*texts)))

    def __len__(self) -> int:
        return len(self.symbols)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Charset) and self.symbols == other.symbols

    def __hash__(self) -> int:
        return hash(self.symbols)

    def missing(self, texts: Iterable[str]) -> list[str]:
        """Return the symbols of the given labels that are not in the charset, sorted."""
        return sorted(set().union(*texts) - self._ids.keys())

    def encode(self, text: str) -> list[int]:
        """Return the ids of a label's symbols.

        Raises:
            DataError: a symbol is not in the charset; all such symbols are listed.
        """
        try:
            return [self._ids[symbol] for symbol in text]
        except KeyError:
            raise DataError(
                f"label {text!r}: symbols {self.missing([text])} are not in the charset"
            ) from None

    def decode(self, ids: Iterable[int]) -> str:
        """Return the label of the given symbol ids."""
        return "".join(self.symbols[i] for i in ids)
