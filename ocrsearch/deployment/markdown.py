"""Markdown and YAML from texts that are not trusted.

Names, characters and paths from a model file stand in code spans and code blocks only, where
Markdown and HTML have no meaning. YAML is ASCII with each text in double quotes, so that no text
is taken for a number, a truth value or another line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from ocrsearch.core import printable

MAX_TEXT = 200
"""Longest text from a file, in characters."""

MAX_CHARACTERS = 500
"""Largest number of characters that a list shows."""


def _fence(text: str, at_least: int) -> str:
    runs = re.findall("`+", text)
    return "`" * max(at_least, *(len(run) + 1 for run in runs), 1)


def code(text: object) -> str:
    """Return a text as a code span: one line of limited length."""
    shown = printable(" ".join(str(text).split()), max_length=MAX_TEXT) or " "
    fence = _fence(shown, 1)
    space = " " if shown[0] in " `" or shown[-1] in " `" else ""
    return f"{fence}{space}{shown}{space}{fence}"


def code_block(text: str, language: str = "") -> str:
    """Return lines as a code block."""
    shown = printable(text, keep="\n")
    fence = _fence(shown, 3)
    return f"{fence}{language}\n{shown}\n{fence}"


def characters(symbols: Sequence[str]) -> str:
    """Return a list of characters as code; those that are not seen alone as U+0301."""
    shown = [_visible(symbol) for symbol in symbols[:MAX_CHARACTERS]]
    more = len(symbols) - len(shown)
    lines = code_block("\n".join(" ".join(shown[i : i + 40]) for i in range(0, len(shown), 40)))
    return f"{lines}\n\nand {more:,} more." if more > 0 else lines


def _visible(symbol: str) -> str:
    alone = symbol.isprintable() and unicodedata.category(symbol)[0] not in "MZC"
    return symbol if alone else f"U+{ord(symbol):04X}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; the caller makes sure that no cell holds a text from a file."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


class _Text(str):
    """A text to be written in double quotes."""


class _Dumper(yaml.SafeDumper):
    """Writes texts in double quotes and no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _quote(dumper: yaml.SafeDumper, text: _Text) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')


_Dumper.add_representer(_Text, _quote)


def yaml_header(content: Mapping[str, Any]) -> str:
    """Return plain values as the YAML header of a Markdown file; keys must be words."""
    text = yaml.dump(
        _quoted(content), Dumper=_Dumper, sort_keys=False, allow_unicode=False, width=10**6
    )
    return f"---\n{text}---\n"


def _quoted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_quoted(item) for item in value]
    return _Text(printable(value, max_length=MAX_TEXT)) if isinstance(value, str) else value
