"""Former names of keys, values and options, which are still accepted.

Spaces, studies, checkpoints and model files of earlier versions have the former names. They are
replaced where a file or a database is read, so that the rest of the program knows only the current
names.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Container, Mapping
from typing import Any, ParamSpec, TypeVar

from ocrsearch.core.errors import OptionError

KEYS = {
    "model.encoder.rnn_norm": "model.encoder.rnn_batch_norm",
    "model.decoder.sampling": "model.decoder.scheduled_sampling",
    "training.decay_share": "training.decay_fraction",
    "training.patience": "training.decay_patience",
    "training.clip_norm": "training.clip_grad_norm",
    "training.augment.shift": "training.augment.translate",
    "training.augment.stroke": "training.augment.stroke_width",
    "training.augment.blots": "training.augment.blobs",
    "training.augment.join": "training.augment.concat",
    "search.sampler.startup_trials": "search.sampler.n_startup_trials",
    "search.pruner.startup_trials": "search.pruner.n_startup_trials",
    "search.pruner.warmup_epochs": "search.pruner.n_warmup_epochs",
    "search.pruner.reduction": "search.pruner.reduction_factor",
}
"""Current path of each former key of a space. Searched keys are also names of Optuna parameters."""

VALUES = {
    "model.decoder.attention": {"location": "location_aware"},
    "search.pruner.name": {"promotion": "asha"},
}
"""Current value of each former value, by path."""

OPTIONS = {
    "add": "extra_train_data",
    "beam": "beam_size",
    "export": "output",
    "half": "fp16_weights",
    "keep_err": "keep_flagged",
    "leave_err": "leave_flagged",
    "max_bad": "max_invalid",
    "max_disk": "max_disk_mb",
    "max_epochs": "epoch_budget",
    "max_latency": "max_latency_ms",
    "max_size": "max_size_mb",
    "patience": "stall_trials",
    "target": "target_cer",
    "train_share": "train_fraction",
    "views": "tta",
}
"""Current name of each former option. It applies where the current name exists."""

FIELDS = {**OPTIONS, "disk_mb": "max_disk_mb", "epochs": "epoch_budget"}
"""As ``OPTIONS``, with the former fields of ``SearchOptions``, which had names of their own."""

MAX_DEPTH = 4
"""Number of keys in the longest path to a condition."""

P = ParamSpec("P")
R = TypeVar("R")


def current_path(path: str) -> str:
    """Return the current path of a key or an Optuna parameter."""
    return KEYS.get(path, path)


def current_value(path: str, value: Any) -> Any:
    """Return the current value of a key.

    Args:
        path: current path of the key.
        value: value, or a list of values.
    """
    known = VALUES.get(path)
    if known is None:
        return value
    if isinstance(value, list | tuple):
        return [known.get(v, v) if isinstance(v, str) else v for v in value]
    return known.get(value, value) if isinstance(value, str) else value


def current_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by path, with current paths and values.

    Raises:
        ValueError: a key is given by its former and by its current name.
    """
    found: dict[str, Any] = {}
    for path, value in values.items():
        current = current_path(path)
        if current != path and current in values:
            raise ValueError(_given_twice(path, current))
        found[current] = current_value(current, value)
    return found


def current_content(content: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """Return a space or a configuration with current keys and values.

    Args:
        content: nested keys, as in a YAML file.
        section: path of the section; empty for the whole file.

    Raises:
        ValueError: a key is given by its former and by its current name.
    """
    found: dict[str, Any] = {}
    for key, value in content.items():
        path = f"{section}.{key}" if section else str(key)
        current = current_path(path)
        name = key if current == path else current.rpartition(".")[2]
        if name != key and name in content:
            raise ValueError(_given_twice(path, current))
        found[name] = _current_part(key, current, value)
    return found


def _current_part(key: Any, path: str, value: Any) -> Any:
    """Return the value of a key: a section, a distribution, a condition or a plain value."""
    section = path.rpartition(".")[0]
    if key == "when" and isinstance(value, Mapping):
        return current_values(value)
    if key == "choice":
        return current_value(section, value)
    if path == "search.try_first" and isinstance(value, list | tuple):
        return [_current_first(first) for first in value]
    if isinstance(value, Mapping) and path.count(".") < MAX_DEPTH:
        return current_content(value, path)
    return current_value(path, value)


def _current_first(first: Any) -> Any:
    """Return a configuration to try first; a section ``search`` in it is an error found later."""
    is_config = isinstance(first, Mapping) and "search" not in first
    return current_content(first) if is_config else first


def current_options(
    values: Mapping[str, Any], known: Container[str], stacklevel: int = 0
) -> dict[str, Any]:
    """Return options by their current names.

    Args:
        values: options by name.
        known: current names of the options; former names of other options are kept.
        stacklevel: caller to name in a DeprecationWarning, counted from this function; 0 for no
            warning, because the options are from a file.

    Raises:
        OptionError: an option is given by its former and by its current name.
    """
    found: dict[str, Any] = {}
    for name, value in values.items():
        current = name if name in known else FIELDS.get(name, name)
        if current == name or current not in known:
            found[name] = value
            continue
        if current in values:
            raise OptionError(f"is the former name of {current}; remove it", name)
        if stacklevel:
            message = f"{name} is the former name of {current}"
            warnings.warn(message, DeprecationWarning, stacklevel=stacklevel + 1)
        found[current] = value
    return found


def takes_former_names(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function accept its arguments by their former names, with a DeprecationWarning."""
    known = frozenset(inspect.signature(function).parameters)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **current_options(kwargs, known, stacklevel=2))

    return call


def takes_former_fields(options: type[R]) -> type[R]:
    """Let a dataclass accept its fields by their former names, with a DeprecationWarning."""
    setattr(options, "__init__", takes_former_names(options.__init__))  # noqa: B010
    return options


def _given_twice(former: str, current: str) -> str:
    return f"{former}: is the former name of {current}, which is given too; remove {former}"
