"""The tree of errors that a user can cause, and the text of their messages.

Each message is one line: where, what was found, what is allowed, what to do. It names arguments
as Python has them. An argument to change is marked by backticks: "raise `max_invalid`". The command
line replaces each mark by its own option, prints the line and exits with the class's
``exit_code``. The same marks are allowed in warnings and notes.

A file name, label or study name can contain escape codes that move the cursor, change the window
title or reverse the text direction. ``printable`` and ``quoted`` show them as Python escapes.
"""

from __future__ import annotations

import unicodedata


class OcrSearchError(Exception):
    """Root of all errors that are shown to the user as one line.

    Attributes:
        option: wrong argument, such as ``max_invalid``; empty if the error is about no
            argument.
        problem: value found, values allowed, advice.
    """

    exit_code = 1

    def __init__(self, problem: str = "", option: str = "") -> None:
        super().__init__(f"{option}: {problem}" if option else problem)
        self.option, self.problem = option, problem


class DataError(OcrSearchError):
    """Labels or images cannot be used."""


class ImageError(DataError):
    """An image cannot be read."""


class SpaceError(OcrSearchError):
    """A search space is wrong. Raised before the search starts."""


class StudyError(OcrSearchError):
    """A study is missing, locked, or does not match the request."""


class TrainingError(OcrSearchError):
    """A training cannot start or be resumed."""


class CheckpointError(TrainingError):
    """A checkpoint of the right training has unusable contents."""


class BundleError(OcrSearchError):
    """A model file is missing, damaged, or not a model file of ocrsearch."""


class LanguageModelError(OcrSearchError):
    """A language model is missing, damaged, or cannot be learned."""


class OptionError(OcrSearchError):
    """An option, or an argument from Python, has a wrong value."""

    exit_code = 2


class TrialError(OcrSearchError):
    """A trial ended without a result. The search continues."""


class DivergedError(TrialError):
    """The loss became NaN or infinite."""


class InfeasibleError(TrialError):
    """A configuration cannot be trained, as is known before training."""


MAX_SHOWN = 200
"""Maximum length of a quoted value in a message, in characters."""

_CONTROLS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories of characters that act on a terminal instead of being drawn."""

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
    escaped = []
    for c in text:
        acts = unicodedata.category(c) in _CONTROLS and c not in _HARMLESS_FORMATS
        if acts and c not in keep:
            c = c.encode("unicode_escape", "backslashreplace").decode("ascii")
        escaped.append(c)
    return "".join(escaped)


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
