"""Distributions of the parameters of a space, and the JSON schema of space files.

A distribution checks its bounds, describes itself and asks an Optuna trial for a value. The schema,
for editors, is that of a configuration in which each leaf may be a distribution.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeGuard

from pydantic import Field, ValidationError, field_validator, model_validator

from ocrsearch.core import (
    Config,
    Frozen,
    Integer,
    Number,
    SpaceError,
    allowed_values,
    quoted,
    shortened,
    shown,
)
from ocrsearch.spaces.settings import SearchSettings

if TYPE_CHECKING:
    from ocrsearch.spaces.space import Suggester


Scalar = bool | int | float | str
KINDS = ("choice", "int", "float")
MAX_CHOICES = 1000
"""Largest number of values of a choice; the sampler keeps a weight for each."""

MAX_STEPS = 1_000_000
"""Largest number of values of a range with steps."""

NOT_A_PAIR = ("missing", "too_long", "tuple_type")
"""Types of pydantic errors for a value that is not a pair of numbers."""


class Choice(Frozen):
    """One of the listed values."""

    choice: tuple[Scalar, ...] = Field(min_length=1)

    @field_validator("choice", mode="before")
    @classmethod
    def _list_of_scalars(cls, values: Any) -> Any:
        if not isinstance(values, list | tuple) or not values:
            raise ValueError(f"choice: found {shown(values)}, must be a list of 1 or more values")
        if len(values) > MAX_CHOICES:
            raise ValueError(f"choice: found {len(values):,} values, at most {MAX_CHOICES:,}")
        for i, value in enumerate(values):
            if not isinstance(value, bool | int | float | str):
                allowed = "must be a number, a text, true or false"
                raise ValueError(f"choice[{i}]: found {shown(value)}, {allowed}")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"choice[{i}]: found {value}, must be a finite number")
        return values

    @model_validator(mode="after")
    def _no_value_twice(self) -> Choice:
        first: dict[Scalar, Scalar] = {}
        for value in self.choice:
            if value in first:
                raise ValueError(equal_values(first[value], value))
            first[value] = value
        return self

    def suggest(self, trial: Suggester, name: str) -> Scalar:
        """Return a value that an Optuna trial suggests for the parameter ``name``."""
        value: Scalar = trial.suggest_categorical(name, self.choice)
        return value

    def contains(self, value: Any) -> bool:
        """Return whether a value is in the list."""
        return any(
            value == v and isinstance(value, bool) == isinstance(v, bool) for v in self.choice
        )

    def examples(self) -> Sequence[Scalar]:
        """Return values that reveal every invalid value of the distribution."""
        return self.choice

    def describe(self) -> str:
        """Return the values as text."""
        return ", ".join(map(str, self.choice))


class Range(Frozen):
    """Base class of the ranges of integers and of real numbers."""

    log: bool = False

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        raise NotImplementedError

    @property
    def width(self) -> float | None:
        """Distance between neighbouring values; None without a grid."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _check(self) -> Range:
        low, high = self.bounds
        if low > high:
            raise ValueError(f"found [{low}, {high}], the low bound must not be above the high one")
        if self.log and low <= 0:
            raise ValueError(f"low bound {low}: must be above 0 with log: true")
        if self.log and "step" in self.model_fields_set:
            raise ValueError("step and log exclude each other; remove one of them")
        step = self.width if "step" in self.model_fields_set else None
        if step and (high - low) / MAX_STEPS > step:
            raise ValueError(
                f"step: found {step:g}, allows at most {MAX_STEPS:,} steps in the range"
            )
        return self

    def contains(self, value: Any) -> bool:
        """Return whether a value is in the range and on the grid, if there is one."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        low, high = self.bounds
        steps = (value - low) / self.width if self.width else 0
        return low <= value <= high and abs(steps - round(steps)) < 1e-6

    def describe(self) -> str:
        """Return the range as text."""
        low, high = self.bounds
        step = f", step {self.width:g}" if self.width not in (None, 1) else ""
        return f"{low:g} to {high:g}{step}{', log' if self.log else ''}"


class IntRange(Range):
    """An integer between two bounds, both included."""

    int_: Annotated[tuple[Integer, Integer], Field(alias="int")]
    step: Integer = Field(1, ge=1)

    @property
    def bounds(self) -> tuple[int, int]:
        """Lowest and highest value."""
        return self.int_

    @property
    def width(self) -> float | None:
        """Distance between neighbouring values."""
        return self.step

    def suggest(self, trial: Suggester, name: str) -> Scalar:
        """Return a value that an Optuna trial suggests for the parameter ``name``."""
        low, high = self.int_
        return trial.suggest_int(name, low, high - (high - low) % self.step, step=self.step,
                                 log=self.log)  # fmt: skip

    def examples(self) -> Sequence[Scalar]:
        """Return values that reveal every invalid value of the distribution."""
        return self.int_


class FloatRange(Range):
    """A real number between two bounds, both included."""

    float_: Annotated[tuple[Number, Number], Field(alias="float")]
    step: Number | None = Field(None, gt=0)

    @property
    def bounds(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return self.float_

    @property
    def width(self) -> float | None:
        """Distance between neighbouring values; None without a grid."""
        return self.step

    def suggest(self, trial: Suggester, name: str) -> Scalar:
        """Return a value that an Optuna trial suggests for the parameter ``name``."""
        low, high = self.float_
        if self.step is not None:  # Optuna wants an upper bound on the grid
            n_steps = int((high - low) / self.step + 1e-9)
            high = round(low + n_steps * self.step, 12)
        return trial.suggest_float(name, low, high, step=self.step, log=self.log)

    def examples(self) -> Sequence[Scalar]:
        """Return the bounds and a value between them, which reveal every invalid value."""
        low, high = self.float_
        return low, high, low + 0.3719 * (high - low)


def equal_values(a: Scalar, b: Scalar) -> str:
    """Return the error message for two equal values in a list."""
    if repr(a) == repr(b):
        return f"choice: {shown(a)} is listed twice; list each value once"
    return f"choice: {shown(a)} and {shown(b)} are the same value here; list only one of them"


Distribution = Choice | IntRange | FloatRange


def is_distribution(value: object) -> TypeGuard[dict[str, object]]:
    """Return whether a value in a space file has a key of a distribution."""
    return isinstance(value, dict) and any(kind in value for kind in KINDS)


def parse_distribution(value: Mapping[str, object], where: str) -> Distribution:
    """Return the distribution that a mapping describes.

    Args:
        value: mapping with one of the keys ``choice``, ``int`` and ``float``.
        where: place in the space, for error messages.

    Raises:
        SpaceError: the mapping has several kinds, an unknown key or invalid bounds.
    """
    kinds = [kind for kind in KINDS if kind in value]
    if len(kinds) > 1:
        raise SpaceError(f"{where}: found {' and '.join(kinds)}, must be one of them")
    classes: dict[str, type[Distribution]] = {
        "choice": Choice,
        "int": IntRange,
        "float": FloatRange,
    }
    try:
        return classes[kinds[0]].model_validate(value)
    except ValidationError as error:
        finding = error.errors()[0]
        keys = "".join(f".{part}" for part in finding["loc"])
        if finding["type"] == "extra_forbidden":
            unknown = quoted(keys[1:])
            raise SpaceError(f"{where}: unknown key {unknown} in a {kinds[0]}") from None
        if finding["type"] == "value_error":  # raised by a validator above
            raise SpaceError(f"{where}: {finding['ctx']['error']}") from None
        if finding["type"] in NOT_A_PAIR:
            raise SpaceError(
                f"{where}.{kinds[0]}: found {shown(value[kinds[0]])}, must be a list of two "
                "numbers, the lowest and the highest"
            ) from None
        found = f"found {shown(finding['input'])}, {allowed_values(finding)}"
        raise SpaceError(f"{where}{shortened(keys)}: {found}") from None


WHEN = {
    "description": "Value (or list of values) that another parameter must have.",
    "type": "object",
    "additionalProperties": {"type": ["string", "number", "boolean", "array"]},
}


def space_schema() -> dict[str, Any]:
    """Return the JSON schema of a space file."""
    schema = Config.model_json_schema()
    root = _section(schema, schema["$defs"])
    settings = SearchSettings.model_json_schema()
    definitions = settings.pop("$defs", {})
    for kind in (Choice, IntRange, FloatRange):
        definition = kind.model_json_schema()
        definition["properties"]["when"] = WHEN
        definitions[kind.__name__] = definition
    root["properties"]["search"] = settings
    root["properties"]["init"] = {
        "description": "Model to initialise from; its path is relative to the folder of this file.",
        "type": "string",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ocrsearch space",
        **root,
        "$defs": definitions,
    }


def _section(node: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a section: one object with the keys of all architectures."""
    kinds = [{"$ref": f"#/$defs/{k.__name__}"} for k in (Choice, IntRange, FloatRange)]
    properties: dict[str, Any] = {"when": WHEN}
    keys = (
        key
        for variant in _variants(node, definitions)
        for key in variant.get("properties", {}).items()
    )
    for name, child in keys:
        earlier = properties.get(name)  # of another architecture
        if any("properties" in v for v in _variants(child, definitions)):
            section = _section(child, definitions)
            known = earlier["properties"] if earlier else {}
            properties[name] = {**section, "properties": {**known, **section["properties"]}}
            continue
        if "const" in child:  # the names of the architectures, one from each class
            names = earlier["anyOf"][0]["enum"] if earlier else []
            child = {"enum": [*names, child["const"]], "description": f"Which {name}."}
        fixed = {key: value for key, value in child.items() if key not in ("default", "title")}
        description = child.get("description", "")
        properties[name] = {"description": description, "anyOf": [fixed, *kinds]}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _variants(node: dict[str, Any], definitions: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for variant in [node, *node.get("oneOf", []), *node.get("allOf", [])]:
        if "$ref" in variant:
            found += _variants(definitions[variant["$ref"].rpartition("/")[2]], definitions)
        elif "properties" in variant or variant is node:
            found.append(variant)
    return found
