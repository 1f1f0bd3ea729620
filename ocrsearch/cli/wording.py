"""Messages of the library, in the words of the command line.

The library names arguments as Python has them, between backticks: "give `study` another name",
"resume it with `study='numbers'`". The command line prints its own options in these places:
"give --study another name", "resume it with --study numbers".
"""

from __future__ import annotations

import ast
import re
import shlex

from ocrsearch.core import OcrSearchError

MARKED = frozenset(
    (
        *("beam_size", "bidi", "columns", "corpus", "data", "ensemble", "export"),
        *("extra_train_data", "group", "keep_flagged", "max_invalid", "order", "output", "refit"),
        *("seed", "set", "split", "splits", "study", "timeout"),
    )
)
"""Arguments that messages of the library mark. Other words between backticks are a user's."""

_MARK = re.compile(r"`([a-z_]+)(?:=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|[\w.]+))?`")


def option_of(argument: str) -> str:
    """Return the option of an argument: ``--max-invalid`` for ``max_invalid``."""
    return f"--{argument.replace('_', '-')}"


def for_command_line(message: str) -> str:
    """Return a message with options in place of the marked arguments."""
    return _MARK.sub(_option, message)


def error_message(error: OcrSearchError) -> str:
    """Return the message of an error, beginning with the option that it is about, if any."""
    problem = for_command_line(error.problem)
    return f"{option_of(error.option)}: {problem}" if error.option else problem


def _option(mark: re.Match[str]) -> str:
    argument, value = mark.groups()
    if argument not in MARKED:
        return mark[0]
    if value is None:
        return option_of(argument)
    text = ast.literal_eval(value) if value[0] in "'\"" else value
    return f"{option_of(argument)} {shlex.quote(text)}"
