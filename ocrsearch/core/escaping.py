"""Text from files and databases, made harmless for a terminal.

A file name, a label or a study name can hold escape codes that move the cursor, change the
window's title or turn the direction of the text. They are shown as Python escapes instead.
"""

from __future__ import annotations

import unicodedata

MAX_SHOWN = 200
"""Longest value from a file that a message repeats, in characters."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

_HARMLESS_FORMATS = frozenset("\u200c\u200d\u200e\u200f")
"""Joiners and direction marks: parts of ordinary Persian, Hindi, Arabic and Hebrew words."""


def printable(text: str, keep: str = "", max_length: int | None = None) -> str:
    r"""Return text without characters that a terminal acts upon.

    Args:
        text: any string.
        keep: control characters that stay, such as ``"\n\t"``.
        max_length: number of characters after which the text is cut and ends in "...".

    Returns:
        The text with each control character, lone surrogate, line separator and direction code
        as an escape such as ``\x1b``.
    """
    if max_length is not None and len(text) > max_length:
        text = text[:max_length] + "..."
    if text.isprintable():  # fast: nearly all text is
        return text
    return "".join(c if c in keep or not _acts(c) else _escape(c) for c in text)


def _acts(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cf":
        return character not in _HARMLESS_FORMATS
    return category in ("Cc", "Cs", "Zl", "Zp")


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def quoted(value: object) -> str:
    """Return a value from a file as Python writes it, for a message; a long value is cut."""
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes
        return "a huge integer"
    except RecursionError:
        return "a deeply nested value"
    return shortened(text)


def shortened(text: str) -> str:
    """Return a name from a file for a message, cut after MAX_SHOWN characters."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def spreadsheet_cell(text: str) -> str:
    """Return a cell of a table that no spreadsheet takes for a formula.

    A text that begins like one gets an apostrophe in front; ``plain_cell`` takes it away.
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA_STARTS) else text


def plain_cell(cell: str) -> str:
    """Return the text of a cell that ``spreadsheet_cell`` made."""
    is_marked = cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA_STARTS)
    return cell[1:] if is_marked else cell
