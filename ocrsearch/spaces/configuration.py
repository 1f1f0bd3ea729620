"""Single configurations without a study: random points of a space, and values set by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
import yaml
from pydantic import ValidationError

from ocrsearch.core import (
    Config,
    OptionError,
    current_path,
    current_value,
    explain_validation_error,
    parse_value,
    quoted,
    shortened,
)
from ocrsearch.spaces.space import Space


def random_config(space: Space, seed: int) -> Config:
    """Return a random configuration of a space.

    Args:
        space: search space; it may have no searched parameters.
        seed: seed of the random sampler.
    """
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
        value = current_value(path, _value(text, where))
        _put(content, path.split("."), value, where)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise OptionError(explain_validation_error(option, error)) from None


def _value(text: str, where: str) -> Any:
    try:
        return parse_value(text)
    except (yaml.YAMLError, ValueError):  # ValueError: an impossible number
        raise OptionError(f"{where}: not a value") from None


def _put(content: dict[str, Any], path: Sequence[str], value: Any, where: str) -> None:
    *sections, key = path
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise OptionError(f"{where}: {quoted(section)} is a value and has no keys")
    content[key] = value
