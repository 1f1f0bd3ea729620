"""YAML read safely: no objects, no key twice, errors with their line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ocrsearch.errors import OcrSearchError, SpaceError


class _Loader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice, where YAML takes the last silently."""


def _construct_mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = key_node.value
        if not isinstance(key, str):
            raise yaml.MarkedYAMLError(
                problem="a key must be text", problem_mark=key_node.start_mark
            )
        if key in seen:
            raise yaml.MarkedYAMLError(
                problem=f"key {key!r} twice", problem_mark=key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _construct_mapping)


def read_yaml(path: Path, error_class: type[OcrSearchError] = SpaceError) -> dict[str, Any]:
    """Read a YAML file that holds a mapping.

    Raises:
        error_class: no such file, not YAML, or something else than a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise error_class(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise error_class(f"{path}: cannot be read as text ({error})") from None
    return parse_yaml(text, str(path), error_class)


def parse_yaml(
    text: str, where: str, error_class: type[OcrSearchError] = SpaceError
) -> dict[str, Any]:
    """Parse YAML text that holds a mapping; ``where`` is for messages."""
    try:
        content = yaml.load(text, Loader=_Loader)  # noqa: S506 - a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f" line {mark.line + 1}:" if mark else ""
        raise error_class(f"{where}:{line} not YAML: {error.problem}") from None
    except RecursionError:
        raise error_class(f"{where}: not YAML that can be read: too deeply nested") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date or number
        raise error_class(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        found = "nothing" if content is None else type(content).__name__
        raise error_class(f"{where}: must be a mapping of sections, found {found}")
    return content
