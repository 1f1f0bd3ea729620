"""Search space: a configuration whose values may be distributions.

A leaf of a space file is a fixed value, ``{choice: [...]}``, ``{int: [low, high]}`` or
``{float: [low, high]}`` with ``step`` or ``log: true``. Any part may have a condition ``when:``
with the required value of another parameter. ``init`` names a model that initialises every trial.
A single configuration needs no study: ``random_config`` draws one, ``with_values`` changes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml
from pydantic import ValidationError

from ocrsearch.core import (
    Config,
    OptionError,
    TrainingConfig,
    current_path,
    current_value,
    explain_validation_error,
    parse_value,
    quoted,
    shortened,
    shown,
)
from ocrsearch.spaces.distributions import Distribution, Scalar
from ocrsearch.spaces.settings import SearchSettings

Values = dict[str, Scalar]
"""Values by path of the parameter, such as ``training.learning_rate``."""

Condition = dict[str, tuple[Scalar, ...]]
"""Allowed values by path; every path must have one of its values."""

ARCHITECTURE = "model.architecture"


class Suggester(Protocol):
    """Methods of an Optuna trial that a space uses."""

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Any: ...
    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...


@dataclass(frozen=True)
class Parameter:
    """A leaf with a distribution, which is searched."""

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
        name: name of the file without its suffix.
        parameters: searched parameters, each after the parameters that it depends on.
        fixed: leaves with one value.
        settings: settings of the search.
        content: configuration part of the file, by which spaces are compared.
        init: model file that initialises all trials; None for random weights.
    """

    name: str
    parameters: tuple[Parameter, ...]
    fixed: tuple[FixedValue, ...]
    settings: SearchSettings
    content: dict[str, object]
    init: Path | None = None

    def suggest(self, trial: Suggester) -> Values:
        """Return a value for each parameter whose condition holds, suggested by a trial."""
        values: Values = {}
        for parameter in self.parameters:
            if self._holds(parameter.condition, values):
                values[parameter.path] = parameter.distribution.suggest(trial, parameter.path)
        return values

    def resolve(self, values: Mapping[str, Scalar]) -> Config:
        """Return the configuration of a point of the space.

        Raises:
            pydantic.ValidationError: a value is invalid. Values that a checked space suggested
                never are.
        """
        nested: dict[str, Any] = {}
        for fixed in self.fixed:
            if self._holds(fixed.condition, values):
                put_value(nested, fixed.path, fixed.value)
        for path, value in values.items():
            put_value(nested, path, value)
        return Config.model_validate(nested)

    @property
    def max_epochs(self) -> int:
        """Largest number of epochs of a configuration."""
        path = "training.epochs"
        most = [int(f.value) for f in self.fixed if f.path == path]
        for p in self.parameters:
            if p.path == path:
                most += [int(value) for value in p.distribution.examples()]
        return max(most, default=TrainingConfig().epochs)

    def values_within(self, values: Mapping[str, Any]) -> Values:
        """Return the values that a searched parameter of this space allows."""
        return {
            p.path: values[p.path]
            for p in self.parameters
            if p.path in values and p.distribution.contains(values[p.path])
        }

    def refusal(self, values: Mapping[str, Any]) -> str:
        """Return why values are not in this space, or an empty text if they are."""
        by_path = {parameter.path: parameter.distribution for parameter in self.parameters}
        reasons = []
        for path, value in values.items():
            if path not in by_path:
                reasons.append(f"{path} is not a parameter of the space")
            elif not by_path[path].contains(value):
                allowed = by_path[path].describe()
                reasons.append(f"{path}: found {shown(value)}, can be {allowed}")
        return "; ".join(reasons)

    def covering_values(self, leaf: Parameter | FixedValue, value: Scalar) -> Values:
        """Return a point of the space in which a leaf is active and has the given value."""
        wanted = {path: allowed[0] for path, allowed in leaf.condition.items()}
        return self.complete({**wanted, leaf.path: value})

    def complete(self, wanted: Values) -> Values:
        """Return a point of the space with the wanted values of all active parameters."""
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


def put_value(nested: dict[str, Any], path: str, value: Any) -> None:
    """Put a value into nested dicts, at a path such as ``training.learning_rate``.

    Raises:
        ValueError: a part of the path is a value; the error has the name of this part.
    """
    *sections, key = path.split(".")
    for section in sections:
        nested = nested.setdefault(section, {})
        if not isinstance(nested, dict):
            raise ValueError(section)
    nested[key] = value


def random_config(space: Space, seed: int) -> Config:
    """Return a random configuration of a space.

    Args:
        space: search space; it may have no searched parameters.
        seed: seed of the random sampler.
    """
    import optuna  # takes half a second, and reading a space does not need it

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return space.resolve(space.suggest(study.ask()))


def with_values(config: Config, assignments: Sequence[str], option: str = "`set`") -> Config:
    """Return a configuration with some values changed.

    Args:
        config: configuration to change; it is not modified.
        assignments: texts ``path=value``, such as ``training.augment.elastic=1``.
        option: argument that gave them, for error messages.

    Raises:
        OptionError: an assignment is malformed, or names an unknown key or an invalid value.
    """
    content = config.model_dump()
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        where = f"{option} {shortened(assignment)}"
        if not equals:
            raise OptionError(f"{where}: write it as training.augment.elastic=1")
        path = current_path(path.strip())
        try:
            value = current_value(path, parse_value(text))
        except (yaml.YAMLError, ValueError):  # ValueError: an impossible number
            raise OptionError(f"{where}: not a value") from None
        try:
            put_value(content, path, value)
        except ValueError as error:
            section = quoted(str(error))
            raise OptionError(f"{where}: {section} is a value and has no keys") from None
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise OptionError(explain_validation_error(option, error)) from None
