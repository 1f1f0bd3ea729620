"""YAML read safely: plain values only, limits against small files that grow, errors with a line.

A key may be given once. Aliases and merge keys count with all that they repeat.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.resolver import BaseResolver

from ocrsearch.errors import OcrSearchError, SpaceError
from ocrsearch.files import MAX_YAML_BYTES, read_text_file
from ocrsearch.printable import quoted, shortened

MAX_VALUES = 20_000
"""Most keys and values of a file, each alias counted as all that it repeats."""

MAX_LEVELS = 50
"""Most levels of sections and lists in each other."""

MAX_DIGITS = 100
"""Longest number, in characters."""

MERGE = "tag:yaml.org,2002:merge"
KINDS = ("null", "bool", "int", "float", "str", "seq", "map", "merge")
PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in KINDS)
"""Tags of the values that a file may hold; no bytes, dates, sets or objects."""


class _Loader(yaml.SafeLoader):
    """A safe loader with limits, which refuses a key given twice and takes dates for text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in its base class
        first: [(tag, regexp) for tag, regexp in resolvers if tag in PLAIN_TAGS]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._n_levels = self._n_composed = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node:
        """Compose a node and check what no configuration needs."""
        event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
        self._n_composed += 1
        if self._n_composed > MAX_VALUES:
            raise _problem(f"more than {MAX_VALUES:,} values", event)
        self._n_levels += 1
        if self._n_levels > MAX_LEVELS:
            raise _problem(f"nested more than {MAX_LEVELS} levels deep", event)
        node = super().compose_node(parent, index)
        assert node is not None
        self._n_levels -= 1
        if not isinstance(event, yaml.AliasEvent):
            self._sizes[node] = _checked_size(node, self._sizes)
        elif node not in self._sizes:
            raise _problem("an alias stands for a part that it is in", event)
        return node


class _Refused(yaml.MarkedYAMLError):
    """Proper YAML that no file of ours needs."""


def _problem(problem: str, place: Any) -> _Refused:
    """Return an error at a node or an event."""
    return _Refused(problem=problem, problem_mark=place.start_mark)


def _checked_size(node: yaml.Node, sizes: dict[yaml.Node, int]) -> int:
    """Return the number of values in a node whose parts are composed, with all repetitions."""
    if node.tag not in PLAIN_TAGS:
        raise _problem(f"tag {quoted(node.tag)} is not allowed", node)
    if isinstance(node, yaml.ScalarNode):
        _check_scalar(node)
        return 1
    pairs = isinstance(node, yaml.MappingNode)
    parts = [part for pair in node.value for part in pair] if pairs else node.value
    size = 1 + sum(sizes[part] for part in parts)
    if size > MAX_VALUES:
        raise _problem(f"more than {MAX_VALUES:,} values, with all that aliases repeat", node)
    return size


def _check_scalar(node: yaml.ScalarNode) -> None:
    is_number = node.tag.endswith((":int", ":float"))
    if is_number and len(node.value) > MAX_DIGITS:
        raise _problem(f"a number of {len(node.value):,} characters, at most {MAX_DIGITS}", node)


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        if key_node.tag not in (BaseResolver.DEFAULT_SCALAR_TAG, MERGE):
            raise _problem("a key must be text", key_node)
        if key_node.value in seen:
            raise _problem(f"key {quoted(key_node.value)} twice", key_node)
        seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_yaml(path: Path, error_class: type[OcrSearchError] = SpaceError) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        error_class: no such file, too large, not YAML, or something else than a mapping.
    """
    text = read_text_file(path, str(path), error_class, max_bytes=MAX_YAML_BYTES)
    return parse_yaml(text, str(path), error_class)


def parse_yaml(
    text: str, where: str, error_class: type[OcrSearchError] = SpaceError
) -> dict[str, Any]:
    """Parse YAML text that holds a mapping; ``where`` is for messages."""
    try:
        content = parse_value(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}:" if mark else ""
        kind = "" if isinstance(error, _Refused) else " not YAML:"
        raise error_class(f"{where}:{line}{kind} {shortened(str(error.problem))}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible number
        reason = shortened(" ".join(str(error).split()))
        raise error_class(f"{where}: not YAML: {reason}") from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise error_class(f"{where}: must be a mapping of sections, found {found}")
    return content


def parse_value(text: str) -> Any:
    """Return the value of YAML text, with the limits of a file.

    Raises:
        yaml.YAMLError: not YAML, or over a limit.
        ValueError: an impossible number.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
