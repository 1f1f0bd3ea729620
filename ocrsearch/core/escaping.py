"""Escape text from files and databases before it is shown.

A file name, label or study name can contain escape codes that move the cursor, change the
window title or reverse the text direction. They are shown as Python escapes instead.
"""

from __future__ import annotations

import unicodedata

MAX_SHOWN = 200
"""Maximum length of a quoted value in a message, in characters."""

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

_HARMLESS_FORMATS = frozenset("\u200c\u200d\u200e\u200f")
"""Joiners and direction marks, used in ordinary Persian, Hindi, Arabic and Hebrew words."""


def printable(text: str, keep: str = "", max_length: int | None = None) -> str:
    r"""Return text with escapes in place of characters that control a terminal.

    Args:
        text: Any string.
        keep: Control characters to keep, such as ``"\n\t"``.
        max_length: Maximum number of characters; longer text is cut and ends in "...".

    Returns:
        Text in which control characters, lone surrogates, line separators and direction codes
        are escaped, for example as ``\x1b``.
    """
    if max_length is not None and len(text) > max_length:
        text = text[:max_length] + "..."
    if text.isprintable():  # shortcut for nearly all text
        return text
    return "".join(
        c.encode("unicode_escape", "backslashreplace").decode("ascii")
        if _acts(c) and c not in keep
        else c
        for c in text
    )


def _acts(character: str) -> bool:
    category = unicodedata.category(character)
    if category == "Cf":
        return character not in _HARMLESS_FORMATS
    return category in ("Cc", "Cs", "Zl", "Zp")


def quoted(value: object) -> str:
    """Return the ``repr`` of a value from a file for a message, shortened if necessary."""
    try:
        text = repr(value)
    except ValueError:  # more digits than Python writes
        return "a huge integer"
    except RecursionError:
        return "a deeply nested value"
    return shortened(text)


def shortened(text: str) -> str:
    """Return text for a message, cut after MAX_SHOWN characters."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def spreadsheet_cell(text: str) -> str:
    """Return a table cell that spreadsheets do not evaluate as a formula.

    Text that begins like a formula gets a leading apostrophe. ``plain_cell`` removes it.
    """
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA_STARTS) else text


def plain_cell(cell: str) -> str:
    """Return the text of a cell written by ``spreadsheet_cell``."""
    is_marked = cell.startswith("'") and cell.lstrip("'").startswith(_FORMULA_STARTS)
    return cell[1:] if is_marked else cell
