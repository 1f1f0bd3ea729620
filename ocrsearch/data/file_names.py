"""File names as text: UTF-8, whatever the locale says.

Python decodes names by the locale. With ``LANG=C`` and without its UTF-8 mode, the letters of a
label in a file name would be lost, and with a Latin-1 locale they would be others.
"""

from __future__ import annotations

import os
import sys


def name_as_text(name: str) -> str:
    """Return a file name, as Python gives it, as the text that its bytes are in UTF-8."""
    return name if _is_utf8() else os.fsencode(name).decode("utf-8", "surrogateescape")


def name_of_text(text: str) -> str:
    """Return the file name for Python of a text in a label file; the inverse of the other."""
    if _is_utf8():
        return text
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def _is_utf8() -> bool:
    return sys.getfilesystemencoding() == "utf-8"
