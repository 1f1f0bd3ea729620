"""Readers of search spaces: from YAML files, text or dicts.

A space is checked as a whole. The first error is raised with its place in the file, before any
image is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ocrsearch.core import (
    SpaceError,
    config_paths,
    current_content,
    explain_validation_error,
    flatten,
    parse_yaml,
    quoted,
    read_yaml,
    shortened,
    shown,
    suggestion,
)
from ocrsearch.spaces.distributions import (
    Choice,
    FloatRange,
    equal_values,
    is_distribution,
    parse_distribution,
)
from ocrsearch.spaces.settings import SearchSettings
from ocrsearch.spaces.space import (
    Condition,
    FixedValue,
    Parameter,
    Space,
)
from ocrsearch.training import LATIN, start_model


def load_space(path: Path) -> Space:
    """Read and check a space file.

    Raises:
        SpaceError: first error in the file, with its place.
    """
    return _build(read_yaml(path), path.stem, str(path), path.parent)


def rebuild_space(content: Mapping[str, object], name: str) -> Space:
    """Return the space whose content a study stores, with or without its ``search`` section.

    Raises:
        SpaceError: the content is damaged, or an incompatible version wrote it.
    """
    return _build(content, name, f"study of space {name}", Path())


def parse_space(text: str, name: str) -> Space:
    """Read a space from YAML text; paths in it are relative to the working folder."""
    return _build(parse_yaml(text, name), name, name, Path())


def space_from_dict(content: Mapping[str, Any], name: str = "space") -> Space:
    """Read a space from a dict in the shape of a YAML file; see ``parse_space``.

    Tuples are accepted as lists, and NumPy scalars as numbers.
    """
    try:
        plain = _plain(content, name)
    except RecursionError:
        raise SpaceError(f"{name}: too deeply nested") from None
    return _build(plain, name, name, Path())


def _plain(value: Any, place: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(part, f"{place}: {key}") for key, part in value.items()}
    if isinstance(value, list | tuple | range):
        return [_plain(part, place) for part in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():  # a NumPy scalar
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    allowed = "text, a number, true, false, null, a list or a dict"
    raise SpaceError(f"{place}: found {shown(value)}, must be {allowed}")


def _build(given: Mapping[str, object], name: str, where: str, folder: Path) -> Space:
    try:
        content = current_content(given)
    except ValueError as error:
        raise SpaceError(f"{where}: {error}") from None
    init, path = content.pop("init", None), None
    if not isinstance(init, str | None):
        raise SpaceError(f"{where}: init: found {shown(init)}, must be the path of a model file")
    if init is not None:
        path = start_model(init) or folder / init
        if not path.is_file():
            raise SpaceError(
                f"{where}: init: {shortened(str(path))}: no such model file; its path is relative "
                f"to the folder of the space, and {LATIN!r} comes with the program"
            )
    try:
        search = content.pop("search", None)
        settings = SearchSettings.model_validate({} if search is None else search)
    except ValidationError as error:
        known = config_paths(SearchSettings)
        raise SpaceError(explain_validation_error(f"{where}: search", error, known)) from None
    leaves = list(_leaves(content, "", {}, where))
    _check_conditions(leaves, where)
    leaves = _with_whole_conditions(leaves, where)
    parameters = [leaf for leaf in leaves if isinstance(leaf, Parameter)]
    fixed = tuple(leaf for leaf in leaves if isinstance(leaf, FixedValue))
    ranges = {p.path for p in parameters if isinstance(p.distribution, FloatRange)}
    first = tuple(_with_numbers(nested, ranges, "") for nested in settings.try_first)
    settings = settings.model_copy(update={"try_first": first})
    space = Space(name, tuple(_ordered(parameters, where)), fixed, settings, content, path)
    _check_values(space, where)
    _check_first(space, where)
    return space


def _leaves(
    section: Mapping[str, object], prefix: str, outer: Condition, where: str
) -> Iterator[Parameter | FixedValue]:
    section_path = prefix.rstrip(".")
    own = _condition(section.get("when", {}), section_path, where)
    condition = _both(outer, own, f"{where}: {shortened(section_path)}")
    for key, value in section.items():
        path = f"{prefix}{key}"
        if key == "when":
            continue
        if not isinstance(key, str) or "." in key:
            raise SpaceError(f"{where}: {shortened(path)}: a key must be text without a dot")
        if is_distribution(value):
            own = _condition(value.get("when", {}), path, where)
            rest = {k: v for k, v in value.items() if k != "when"}
            place = f"{where}: {shortened(path)}"
            distribution = parse_distribution(rest, place)
            yield Parameter(path, distribution, _both(condition, own, place))
        elif isinstance(value, dict) and not value.keys() - {"when"}:
            yield FixedValue(path, {}, condition)
        elif isinstance(value, dict):
            yield from _leaves(value, f"{path}.", condition, where)
        else:
            yield FixedValue(path, value, condition)


def _both(outer: Condition, own: Condition, place: str) -> Condition:
    """Return the conjunction of the conditions of a section and of a part of it."""
    joined = {**outer, **own}
    for path in outer.keys() & own.keys():
        joined[path] = tuple(value for value in own[path] if value in outer[path])
        if not joined[path] and own[path]:
            raise SpaceError(
                f"{place}: when: {shortened(path)} is {quoted(own[path])}, but "
                f"{quoted(outer[path])} around it, so it can never hold"
            )
    return joined


def _condition(value: Any, path: str, where: str) -> Condition:
    if not isinstance(value, dict):
        raise SpaceError(
            f"{where}: {shortened(path)}: when: found {shown(value)}, must be a parameter and "
            "its value, as {model.architecture: seq2seq}"
        )
    return {
        str(key): tuple(v) if isinstance(v, list) else (v,)  # a single value or a list
        for key, v in value.items()
    }


def _check_conditions(leaves: Sequence[Parameter | FixedValue], where: str) -> None:
    by_path = {leaf.path: leaf for leaf in leaves}
    for leaf in leaves:
        for path, allowed in leaf.condition.items():
            place = f"{where}: {shortened(leaf.path)}: when"
            if path not in by_path:
                hint = suggestion(path, by_path)
                raise SpaceError(f"{place}: no parameter {quoted(path)} in this space{hint}")
            target = by_path[path]
            if isinstance(target, FixedValue):
                possible, found = target.value in allowed, f"is fixed at {quoted(target.value)}"
            else:
                possible = all(target.distribution.contains(value) for value in allowed)
                found = f"can be {shortened(target.distribution.describe())}"
            if not possible or not allowed:
                wanted = shortened(" or ".join(map(quoted, allowed)) or "nothing")
                raise SpaceError(f"{place}: {shortened(path)} {found}, so it can never be {wanted}")


def _with_whole_conditions(
    leaves: Sequence[Parameter | FixedValue], where: str
) -> list[Parameter | FixedValue]:
    """Extend the condition of each leaf by the conditions of the leaves that it depends on."""
    by_path = {leaf.path: leaf for leaf in leaves}
    whole = []
    for leaf in leaves:
        condition, waiting = leaf.condition, list(leaf.condition)
        seen = set(waiting)
        while waiting:
            more = by_path[waiting.pop()].condition
            condition = _both(condition, more, f"{where}: {shortened(leaf.path)}")
            waiting += more.keys() - seen
            seen |= more.keys()
        whole.append(replace(leaf, condition=condition))
    return whole


def _ordered(parameters: Sequence[Parameter], where: str) -> Iterator[Parameter]:
    waiting, paths, done = list(parameters), {p.path for p in parameters}, set[str]()
    while waiting:
        ready = [p for p in waiting if not (p.condition.keys() & paths) - done]
        if not ready:
            loop = shortened(", ".join(p.path for p in waiting))
            raise SpaceError(f"{where}: when: these depend on each other in a circle: {loop}")
        yield from ready
        done.update(p.path for p in ready)
        waiting = [p for p in waiting if p.path not in done]


def _check_values(space: Space, where: str) -> None:
    """Check that a configuration can be built at the bounds of every distribution."""
    points: list[tuple[Parameter | FixedValue, Any]] = [(f, f.value) for f in space.fixed]
    points += [(p, value) for p in space.parameters for value in p.distribution.examples()]
    known = set(config_paths())
    points.sort(key=lambda point: point[0].path in known)  # unknown keys first, to fail early
    seen: dict[tuple[str, Any], Any] = {}
    for leaf, value in points:
        try:
            config = space.resolve(space.covering_values(leaf, value))
        except ValidationError as error:
            raise SpaceError(explain_validation_error(where, error)) from None
        if isinstance(leaf, Parameter) and isinstance(leaf.distribution, Choice):
            key = leaf.path, flatten(config.model_dump()).get(leaf.path)
            if key in seen:  # "8" and 8 are two choices but the same configuration
                raise SpaceError(f"{where}: {leaf.path}: {equal_values(seen[key], value)}")
            seen[key] = value


def _with_numbers(nested: Mapping[str, object], ranges: set[str], prefix: str) -> dict[str, object]:
    """Convert numbers that YAML reads as text, such as 2e-3, at the paths of float ranges."""
    found: dict[str, object] = {}
    for key, value in nested.items():
        if isinstance(value, dict):
            value = _with_numbers(value, ranges, f"{prefix}{key}.")
        elif isinstance(value, str) and f"{prefix}{key}" in ranges:
            with suppress(ValueError):  # not a number: ``_check_first`` refuses it
                value = float(value)
        found[key] = value
    return found


def _check_first(space: Space, where: str) -> None:
    by_path = {p.path: p for p in space.parameters}
    for i, first in enumerate(space.settings.try_first):
        for path, value in flatten(first).items():
            place = f"{where}: search.try_first[{i}]: {shortened(path)}"
            if path not in by_path:
                raise SpaceError(f"{place}: not a searched parameter{suggestion(path, by_path)}")
            distribution = by_path[path].distribution
            if not distribution.contains(value):
                allowed = shortened(distribution.describe())
                raise SpaceError(f"{place}: found {shown(value)}, can be {allowed}")
