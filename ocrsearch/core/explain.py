"""Turn pydantic's validation errors into one-line messages: where, found, allowed."""

from __future__ import annotations

import difflib
import functools
import operator
from collections.abc import Iterable, Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from ocrsearch.core.config import ARCHITECTURE_NAMES, Config, Integer, Number
from ocrsearch.core.declarations import declared_options
from ocrsearch.core.errors import OptionError, quoted, shortened

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_STRICT = {int: Integer, float: Number}
"""Types of numbers that refuse booleans."""

ERROR_MESSAGES = {
    "int_type": "must be an integer",
    "int_parsing": "must be an integer",
    "int_from_float": "must be an integer",
    "int_parsing_size": "must be a smaller integer",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text",
    "path_type": "must be the path of a file",
    "dataclass_type": "must be a dict or {class_name}",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a section",
    "model_attributes_type": "must be a section",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:.12g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "less_than": "must be less than {lt:.12g}",
    "less_than_equal": "must be at most {le:.12g}",
}
"""Message for each pydantic error type, with placeholders for its limits."""


def explain_validation_error(
    where: str, error: ValidationError, known: Iterable[str] | None = None
) -> str:
    """Return a one-line message about the first error found by pydantic.

    Args:
        where: Name of the file.
        error: Error raised by pydantic.
        known: Paths to suggest for a misspelt key; by default all paths of a configuration.
    """
    finding, *others = error.errors()
    paths = config_paths() if known is None else list(known)
    path = _path(finding["loc"], paths, ends_in_key=finding["type"] == "extra_forbidden")
    more = f" (and {len(others)} more)" if others else ""
    location = f"{where}: {shortened(path)}" if path else where
    if finding["type"] == "model_type":
        prefix = f"{path}." if path else ""
        keys = [p.removeprefix(prefix) for p in paths if p.startswith(prefix)]
        allowed = ", ".join(key for key in keys if "." not in key)
        return (
            f"{location}: found {shown(finding['input'])}, must be a section with {allowed}{more}"
        )
    if finding["type"] == "extra_forbidden":
        # pydantic adds the tag of the chosen union member to the location; a path that is known
        # without the tag belongs to another member
        tags = [part for part in finding["loc"] if part not in path.split(".")]
        if path in paths and tags and tags[0] in ARCHITECTURE_NAMES:
            return f"{location}: not a key of architecture {tags[0]!r}; give it a when{more}"
        if path in paths and tags:
            owner = f"{path.rpartition('.')[0]} {quoted(tags[0])}"
            return f"{location}: not a key of the {owner}; it belongs to another name{more}"
        return f"{location}: unknown key{suggestion(path, paths)}{more}"
    if finding["type"] == "missing":
        return f"{location}: is missing{more}"
    if finding["type"] in ("union_tag_not_found", "union_tag_invalid"):
        context = finding["ctx"]
        found = f"found {quoted(context['tag'])}, " if "tag" in context else ""
        key = context["discriminator"].strip("'")
        allowed = context.get("expected_tags") or ", ".join(map(repr, sorted(ARCHITECTURE_NAMES)))
        return f"{location}.{key}: {found}must be one of {allowed}"
    if not path:
        return f"{where}: {allowed_values(finding)}{more}"
    return f"{location}: found {shown(finding['input'])}, {allowed_values(finding)}{more}"


def _path(loc: tuple[int | str, ...], known: list[str], *, ends_in_key: bool) -> str:
    """Return the dotted path of an error, without the tags that pydantic adds for unions.

    An unknown key at the end of the path is kept.
    """
    parts: list[str] = []
    for i, part in enumerate(loc):
        is_key = ends_in_key and i == len(loc) - 1
        if is_key or isinstance(part, int) or ".".join([*parts, part]) in known:
            parts.append(str(part))
    return ".".join(parts)


def config_paths(model: type[BaseModel] = Config) -> list[str]:
    """Return the paths of all configuration keys, such as ``model.encoder.dropout``."""
    schema = model.model_json_schema()
    paths: set[str] = set()
    _collect(schema, schema.get("$defs", {}), "", paths)
    return sorted(paths)


def _collect(node: dict[str, Any], defs: dict[str, Any], prefix: str, paths: set[str]) -> None:
    """Add the paths of a JSON schema's properties, including those of its unions."""
    for variant in [node, *node.get("oneOf", []), *node.get("allOf", [])]:
        resolved = defs[variant["$ref"].rpartition("/")[2]] if "$ref" in variant else variant
        if resolved is not node and "$ref" in variant:
            _collect(resolved, defs, prefix, paths)
            continue
        for name, child in resolved.get("properties", {}).items():
            paths.add(f"{prefix}{name}")
            _collect(child, defs, f"{prefix}{name}.", paths)


def suggestion(path: str, known: Iterable[str]) -> str:
    """Return ``; did you mean ...?`` if a known path is similar to a misspelt path."""
    close = difflib.get_close_matches(shortened(path), list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def allowed_values(finding: ErrorDetails) -> str:
    """Return the allowed values for a pydantic error, such as ``must be at least 1``."""
    if finding["type"] in ERROR_MESSAGES:
        return ERROR_MESSAGES[finding["type"]].format(**finding.get("ctx", {}))
    return finding["msg"].replace("Input should be", "must be").removeprefix("Value error, ")


def shown(value: Any) -> str:
    """Return a value in YAML notation for a message, shortened if necessary."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return " ".join(quoted(value).splitlines())  # the repr of a table has several lines


def checked_values(options: Any, names: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the fields of an options dataclass, converted to their declared types.

    Args:
        options: Dataclass instance that declares its fields with ``option``, or whose annotations
            contain pydantic validators.
        names: Field names to show in messages, where they differ from the attribute names.

    Raises:
        OptionError: A value has the wrong type or is out of range.
    """
    values = {}
    for name, adapter in _adapters(options.__class__).items():
        value = getattr(options, name)
        try:
            values[name] = adapter.validate_python(value)
        except ValidationError as error:
            problem = f"{allowed_values(error.errors()[0])}, got {shown(value)}"
            raise OptionError(problem, (names or {}).get(name, name)) from None
    return values


@functools.cache
def _adapters(options: Any) -> dict[str, TypeAdapter[Any]]:
    """Return a pydantic validator for each field of an options class."""
    if declared := declared_options(options):
        types: dict[str, Any] = {}
        for name, (kind, option) in declared.items():
            members = get_args(kind) if isinstance(kind, UnionType) else (kind,)
            values = [_STRICT.get(member, member) for member in members if member is not NoneType]
            inner: Any = functools.reduce(operator.or_, values)
            # The limits hold for the value itself, not for None. NaN is reported as not finite.
            limits = dict(option.limits)
            finite = {key: limits.pop(key) for key in ("allow_inf_nan",) if key in limits}
            limited: Any = Annotated[inner, Field(**finite), Field(**limits)]
            checked: Any = limited | None if NoneType in members else limited
            convert = BeforeValidator(option.convert) if option.convert else None
            types[name] = Annotated[checked, convert] if convert else checked
    else:
        hints = get_type_hints(options, include_extras=True)
        types = {f.name: hints[f.name] for f in fields(options)}
    config = ConfigDict(arbitrary_types_allowed=True)
    return {name: TypeAdapter(kind, config=config) for name, kind in types.items()}
