"""Declared options: a default, a help text and limits for each field of a class of options.

The command line builds its options from these declarations, and ``checked_values`` checks the
values. This module loads nothing heavy, so that a page of help is quick.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, get_type_hints

DEFAULT_STORAGE = "sqlite:///studies/ocrsearch.db"
"""Study database, if none is given."""

_KEY = "option"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Option:
    """Declaration of one option.

    Attributes:
        help: one or two sentences, which begin with a capital letter.
        panel: heading under which the command line lists the option.
        metavar: form of a value, such as "MB"; None for the name of its type.
        shown: default as help shows it; None for nothing to show.
        convert: function that converts a value before it is checked.
        limits: limits for the value, as arguments of ``pydantic.Field``.
    """

    help: str
    panel: str
    metavar: str | None
    shown: str | None
    convert: Callable[[Any], Any] | None
    limits: Mapping[str, Any]


def option(
    default: Value,
    help_text: str,
    panel: str,
    *,
    metavar: str | None = None,
    shown: str | None = None,
    convert: Callable[[Any], Any] | None = None,
    **limits: float | bool,
) -> Value:
    """Declare a field of a dataclass as an option; see ``Option``."""
    if shown is None and not isinstance(default, bool) and default not in (None, ""):
        shown = f"{default:g}" if isinstance(default, float) else str(default)
    declared = Option(help_text, panel, metavar, shown, convert, limits)
    return field(default=default, metadata={_KEY: declared})


def declared_options(options: type[Any]) -> dict[str, tuple[Any, Option]]:
    """Return the type and the declaration of each field that is an option, by name."""
    declared = {f.name: f.metadata[_KEY] for f in fields(options) if _KEY in f.metadata}
    types = get_type_hints(options) if declared else {}
    return {name: (types[name], found) for name, found in declared.items()}


def documented(options: type[Value]) -> type[Value]:
    """Add the help of each option to the docstring of a class."""
    lines = [f"    {name}: {found.help}" for name, (_, found) in declared_options(options).items()]
    own = inspect.cleandoc(options.__doc__ or "")
    options.__doc__ = "\n".join([own, "", "Attributes:", *lines, ""])
    return options
