"""Plain values from a file, which may be of any kind, number and depth."""

from __future__ import annotations

from typing import Any

MAX_VALUES = 1_000_000
MAX_TEXT = 100_000
"""Longest text, in characters."""

MAX_DEPTH = 20


def plain_problem(value: Any) -> str | None:
    """Return the reason why a value is not plain, or None if it is.

    Plain are texts, numbers, true, false and nothing, and lists and dictionaries with text keys
    of these. A list that holds another many times counts as many times, and the texts together
    may not have more than MAX_VALUES characters.
    """
    left, waiting = MAX_VALUES, [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        left -= 1 + (len(item) if isinstance(item, str) else 0)
        if left < 0 or depth > MAX_DEPTH:
            return "too many values" if left < 0 else "too deeply nested"
        if isinstance(item, str) and (len(item) > MAX_TEXT or "\0" in item):
            return "a text that is too long or has null characters"
        if isinstance(item, dict):
            if not all(isinstance(key, str) for key in item):
                return "a key that is not text"
            waiting += [(child, depth + 1) for pair in item.items() for child in pair]
        elif isinstance(item, list | tuple):
            left -= len(item)
            waiting += [(child, depth + 1) for child in item] if left > 0 else []
        elif item is not None and not isinstance(item, str | int | float):
            return f"a {type(item).__name__} among plain values"
    return None
