"""One configuration without a study: a random point of a space, and single values set by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
import yaml
from pydantic import ValidationError

from ocrsearch.config import Config
from ocrsearch.errors import OptionError
from ocrsearch.explain import explain_validation_error
from ocrsearch.search.space import Space


def random_config(space: Space, seed: int) -> Config:
    """Return a random point of a space; of one that searches nothing, its one configuration."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return space.resolve(space.suggest(study.ask()))


def with_values(config: Config, assignments: Sequence[str]) -> Config:
    """Return a configuration with some values changed.

    Args:
        config: what to change.
        assignments: each ``path=value``, as ``training.augment.elastic=1``.

    Raises:
        OptionError: an assignment that is none, no such key, or a value that it cannot have.
    """
    content = config.model_dump()
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise OptionError(f"--set {assignment}: write it as training.augment.elastic=1")
        _put(content, path.strip().split("."), _value(assignment, text), assignment)
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        raise OptionError(explain_validation_error("--set", error)) from None


def _value(assignment: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise OptionError(f"--set {assignment}: not a value") from None


def _put(content: dict[str, Any], path: Sequence[str], value: Any, assignment: str) -> None:
    *sections, key = path
    for section in sections:
        content = content.setdefault(section, {})
        if not isinstance(content, dict):
            raise OptionError(f"--set {assignment}: {section!r} is a value and has no parts")
    content[key] = value
