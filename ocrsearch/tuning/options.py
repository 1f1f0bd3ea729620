"""The options of a search, checked; a mistake is reported in one line.

Each option can be given in two ways: as a field of ``SearchOptions``, or as an argument of
``search``. A few arguments have other names than their fields, see ``ARGUMENTS``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SkipValidation

from ocrsearch.core import DEFAULT_STORAGE, Integer, Number, OptionError, checked_values, suggestion
from ocrsearch.data import DataArguments, DataOptions, given_options
from ocrsearch.training import LATIN, start_path

MAX_SEED = 2**31 - 1
"""Largest seed that all random generators take."""

ARGUMENTS = {"timeout": "timeout_s", "max_epochs": "epochs", "max_disk": "disk_mb"}
"""Arguments of ``search`` whose fields in ``SearchOptions`` have other names."""

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def parse_duration(text: str) -> float:
    """Return seconds for ``90``, ``90s``, ``30m``, ``2h`` or ``1h30m``.

    Raises:
        OptionError: another text, or no time at all.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    parts = [float(part or 0) for part in match.groups()] if match else []
    seconds = sum(p * unit for p, unit in zip(parts, (3600, 60, 1), strict=False))
    if seconds <= 0:
        raise OptionError(f"write it as 90s, 30m, 2h or 1h30m, got {text!r}", "timeout")
    return seconds


def storage_url(storage: str | Path) -> str:
    """Return the URL of a study database; a ``Path`` is a SQLite file."""
    return f"sqlite:///{storage}" if isinstance(storage, Path) else storage


def _seconds(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return parse_duration(value) if isinstance(value, str) else value


def _workers(value: Any) -> Any:
    if isinstance(value, str) and not value.strip().isdecimal() and value != "auto":
        raise OptionError(f"must be a number of 1 or more, or auto, got {value!r}", "workers")
    return None if value == "auto" else value


MAX_COUNT = 1_000_000_000
MAX_WORKERS = 1000
MAX_TIMEOUT_S = 10 * 365 * 86400

Positive = Annotated[Integer, Field(ge=1, le=MAX_COUNT)]
Seed = Annotated[Integer, Field(ge=0, le=MAX_SEED)]
DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class SearchOptions:
    """How to run a search. The space says what is searched.

    Attributes:
        trials: total number of finished trials in the study.
        study: name of the study; None for a name made of space and data.
        storage: URL of the study database, or the path of a SQLite file.
        workers: number of processes; None or "auto" for one per core, on a GPU as many as its
            memory has room for.
        timeout_s: seconds after which the search ends, or text such as "30m".
        target: validation CER at which the search ends.
        epochs: total number of epochs, over all trials, after which the search ends.
        patience: number of trials in a row without a lower validation CER that end the search.
        disk_mb: megabytes that weights and checkpoints may take.
        warm_start: earlier study, whose best configurations a new study begins with.
        init: model from whose weights all trials start, in place of the space's: a file, or
            "latin" for the model that comes with the program.
        seed: random seed for the sampler, the initial weights and the data order; None for that
            of the study, 0 for a new study.
        device: "auto", "cpu" or "cuda".
        engine: "local" for processes, "ray" for actors of Ray.
        address: address of a Ray cluster; None for one on this machine alone.
        gpus_per_worker: share of a GPU for each Ray actor; with 0 it computes on its CPU.
        data: how to read and split the data; a dict has only the options that are given. Other
            options, and fields of ``DataOptions`` that have their default, are those of the model
            of ``init``, if it was trained on the same data.
    """

    trials: Positive = 100
    study: str | None = None
    storage: Annotated[str, BeforeValidator(storage_url)] = DEFAULT_STORAGE
    workers: Annotated[
        Annotated[Integer, Field(ge=1, le=MAX_WORKERS)] | None, BeforeValidator(_workers)
    ] = None
    timeout_s: Annotated[
        Annotated[Number, Field(gt=0, le=MAX_TIMEOUT_S)] | None, BeforeValidator(_seconds)
    ] = None
    target: Annotated[Number, Field(ge=0, le=1)] | None = None
    epochs: Positive | None = None
    patience: Positive | None = None
    disk_mb: Annotated[Number, Field(gt=0, allow_inf_nan=False)] | None = None
    warm_start: str | None = None
    init: Annotated[Path | None, BeforeValidator(start_path)] = None
    seed: Seed | None = None
    device: DeviceName = "auto"
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    gpus_per_worker: Annotated[Number, Field(ge=0, le=1)] = 0.0
    data: SkipValidation[DataOptions | Mapping[str, Any] | None] = None


class SearchArguments(DataArguments, total=False):
    """Options as arguments of ``search``: those of ``SearchOptions`` and of ``DataOptions``."""

    trials: int
    study: str | None
    storage: str | Path
    workers: int | str | None
    timeout: float | str | timedelta | None
    target: float | None
    max_epochs: int | None
    patience: int | None
    max_disk: float | None
    warm_start: str | None
    init: str | Path | None
    seed: int | None
    device: DeviceName
    engine: Literal["local", "ray"]
    address: str | None
    gpus_per_worker: float


def search_options(options: SearchOptions | None, arguments: Mapping[str, Any]) -> SearchOptions:
    """Return checked options: those of ``options``, and in their place the arguments given.

    Raises:
        OptionError: an unknown argument, a value of another type or out of its range.
    """
    options = SearchOptions() if options is None else options
    if not isinstance(options, SearchOptions):
        raise OptionError(
            "must be ocrsearch.SearchOptions, or give the options as arguments: "
            f"search(space, data, trials=200, timeout='30m'); got {type(options).__name__}",
            "options",
        )
    of_search = {field.name for field in fields(SearchOptions)} - {"data"}
    of_data = {field.name for field in fields(DataOptions)}
    changes: dict[str, Any] = {}
    given = given_options(options.data)
    for name, value in arguments.items():
        field = ARGUMENTS.get(name, name)
        if field in of_search:
            changes[field] = value
        elif field in of_data:
            given[field] = value
        else:
            known = [*ARGUMENTS, *of_search, *of_data]
            raise OptionError(f"{name}: no such option{suggestion(name, known)}")
    options = replace(options, **changes, data=given)
    shown = {field: argument for argument, field in ARGUMENTS.items()}
    options = replace(options, **checked_values(options, shown))
    _check_together(options)
    return options


def _check_together(options: SearchOptions) -> None:
    if options.init is not None and not options.init.is_file():
        raise OptionError(
            f"{options.init}: no such model file; {LATIN!r} comes with the program",
            "init",
        )
    if options.engine == "ray":
        if options.device == "cuda" and options.gpus_per_worker == 0:
            raise OptionError(
                "'cuda' with engine 'ray' needs a share of a GPU for each worker as well",
                "gpus_per_worker",
            )
        return
    for name, given in (("address", options.address), ("gpus_per_worker", options.gpus_per_worker)):
        if given:
            raise OptionError("works with engine 'ray' only", name)
