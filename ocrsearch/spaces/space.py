"""Search spaces: a YAML file in the shape of a configuration, whose leaves may be distributions.

A leaf is a fixed value, ``{choice: [...]}``, ``{int: [low, high]}`` or ``{float: [low, high]}``
with ``step`` or ``log: true``. Any part may carry ``when:`` with the value of another parameter
on which it depends. ``init`` names a model whose weights every configuration starts from. The
file is checked whole before anything is read or trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ocrsearch.core import Config, TrainingConfig, shown
from ocrsearch.spaces.distributions import Distribution, Scalar
from ocrsearch.spaces.settings import SearchSettings

Values = dict[str, Scalar]
"""Parameter paths, as ``training.learning_rate``, and their values."""

Condition = dict[str, tuple[Scalar, ...]]
"""Paths and the values that they must have, all of them."""

ARCHITECTURE = "model.architecture"


class Suggester(Protocol):
    """The part of an Optuna trial that a space needs."""

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Any: ...
    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...


@dataclass(frozen=True)
class Parameter:
    """A leaf that is searched."""

    path: str
    distribution: Distribution
    condition: Condition


@dataclass(frozen=True)
class FixedValue:
    """A leaf with one value."""

    path: str
    value: Any
    condition: Condition


@dataclass(frozen=True)
class Space:
    """A checked search space.

    Attributes:
        name: the file's name without its ending.
        parameters: what is searched, each behind those on which it depends.
        fixed: what is not.
        settings: of the search.
        content: the configuration part of the file, to compare spaces by.
        init: model file whose weights all configurations start from, if there is one.
    """

    name: str
    parameters: tuple[Parameter, ...]
    fixed: tuple[FixedValue, ...]
    settings: SearchSettings
    content: dict[str, Any]
    init: Path | None = None

    def suggest(self, trial: Suggester) -> Values:
        """Ask an Optuna trial for a value of each parameter whose condition holds."""
        values: Values = {}
        for parameter in self.parameters:
            if self._holds(parameter.condition, values):
                values[parameter.path] = parameter.distribution.suggest(trial, parameter.path)
        return values

    def resolve(self, values: Mapping[str, Scalar]) -> Config:
        """Return the configuration of a point of the space.

        Raises:
            pydantic.ValidationError: a value that the configuration refuses; a checked space
                gives none for values that it suggested.
        """
        nested: dict[str, Any] = {}
        for fixed in self.fixed:
            if self._holds(fixed.condition, values):
                _put(nested, fixed.path, fixed.value)
        for path, value in values.items():
            _put(nested, path, value)
        return Config.model_validate(nested)

    @property
    def max_epochs(self) -> int:
        """Most epochs that a configuration can have."""
        path = "training.epochs"
        most = [int(f.value) for f in self.fixed if f.path == path]
        for p in self.parameters:
            if p.path == path:
                most += [int(value) for value in p.distribution.examples()]
        return max(most, default=TrainingConfig().epochs)

    def values_within(self, values: Mapping[str, Any]) -> Values:
        """Return those of some values by path that are allowed to a searched parameter."""
        return {
            p.path: values[p.path]
            for p in self.parameters
            if p.path in values and p.distribution.contains(values[p.path])
        }

    def refusal(self, values: Mapping[str, Any]) -> str:
        """Return why some values by path are not of this space, empty if they are."""
        by_path = {parameter.path: parameter.distribution for parameter in self.parameters}
        reasons = []
        for path, value in values.items():
            if path not in by_path:
                reasons.append(f"{path} is no parameter of the space")
            elif not by_path[path].contains(value):
                allowed = by_path[path].describe()
                reasons.append(f"{path}: found {shown(value)}, can be {allowed}")
        return "; ".join(reasons)

    def covering_values(self, leaf: Parameter | FixedValue, value: Scalar) -> Values:
        """Return a point of the space in which a leaf is in force and has the given value."""
        wanted = {path: allowed[0] for path, allowed in leaf.condition.items()}
        return self.complete({**wanted, leaf.path: value})

    def complete(self, wanted: Values) -> Values:
        """Return a point of the space that has some values, as far as they are in force."""
        values: Values = {}
        for p in self.parameters:
            if self._holds(p.condition, values):
                values[p.path] = wanted.get(p.path, p.distribution.examples()[0])
        return values

    def _holds(self, condition: Condition, values: Mapping[str, Scalar]) -> bool:
        if not condition:
            return True
        known = {f.path: f.value for f in self.fixed} | dict(values)
        return all(path in known and known[path] in allowed for path, allowed in condition.items())


def _put(nested: dict[str, Any], path: str, value: Any) -> None:
    *sections, key = path.split(".")
    for section in sections:
        nested = nested.setdefault(section, {})
    nested[key] = value
