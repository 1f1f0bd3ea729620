"""Everything that the commands print goes through here, with terminal escapes made harmless.

Results go to standard output, messages and progress to standard error. No other module of the
command line writes to either stream; a test checks that.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ocrsearch.printable import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

_ACTIVE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON may hold as they are and a terminal acts upon."""

MAX_MESSAGE = 1000
"""Longest error message, in characters."""


def echo(text: str) -> None:
    """Print lines on standard output."""
    sys.stdout.write(printable(text, keep="\n\t") + "\n")


def note(text: str) -> None:
    """Print lines on standard error."""
    sys.stderr.write(printable(text, keep="\n\t") + "\n")
    sys.stderr.flush()


def error_line(text: str) -> None:
    """Print an error as one line on standard error."""
    one_line = " ".join(text.splitlines())  # a file's name may hold a line end
    note(f"ocrsearch: {printable(one_line, max_length=MAX_MESSAGE)}")


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object on standard output; numbers that are not finite become null."""
    text = json.dumps(_finite(content), ensure_ascii=False, indent=2, default=str)
    sys.stdout.write(_ACTIVE.sub(lambda match: f"\\u{ord(match[0]):04x}", text) + "\n")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shell(*words: object) -> str:
    """Return a command line that works when it is pasted into a shell."""
    return shlex.join(str(word) for word in words)


def make_console(*, stderr: bool = False) -> Console:
    """Return a console that takes no markup from the text that it prints."""
    from rich.console import Console

    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


class Harmless:
    """Anything that rich draws, with the text of each piece made harmless for the terminal."""

    def __init__(self, renderable: RenderableType) -> None:
        self._renderable = renderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        from rich.segment import Segment

        for text, style, control in console.render(self._renderable, options):
            yield Segment(text if control else printable(text, keep="\n"), style, control)


def show(renderable: RenderableType) -> None:
    """Print a table, or anything else that rich draws, on standard output."""
    make_console().print(Harmless(renderable))
