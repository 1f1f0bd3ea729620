"""Former names of options: accepted as before, not listed in help."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ocrsearch.cli.wording import option_of
from ocrsearch.core import OPTIONS, OptionError


def with_current_options(group: Any, args: Sequence[str]) -> list[str]:
    """Return the arguments of the program with the current name of each option.

    Args:
        group: all commands.
        args: arguments, beginning with the name of a command.

    Raises:
        OptionError: an option is given by its former and by its current name.
    """
    own = {name for param in _command(group, args).params for name in _names(param)}
    current = {option_of(former): option_of(name) for former, name in OPTIONS.items()}
    former = {name: new for name, new in current.items() if name not in own and new in own}
    n = args.index("--") if "--" in args else len(args)
    given = {word.partition("=")[0] for word in args[:n]}
    for name in former.keys() & given:
        if former[name] in given:
            raise OptionError(f"{name}: is the former name of {former[name]}; remove it")
    return [*(_renamed(word, former) for word in args[:n]), *args[n:]]


def _command(group: Any, args: Sequence[str]) -> Any:
    """Return the command that the first arguments name; a group if they name none."""
    command = group
    for word in args:
        if word not in getattr(command, "commands", {}):
            break
        command = command.commands[word]
    return command


def _names(param: Any) -> Iterable[str]:
    return (*param.opts, *param.secondary_opts)


def _renamed(word: str, former: dict[str, str]) -> str:
    name, equals, value = word.partition("=")
    return f"{former.get(name, name)}{equals}{value}"
