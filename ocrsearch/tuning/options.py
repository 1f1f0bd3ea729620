"""The options of a search, checked; a mistake is reported in one line.

Each option can be given in two ways: as a field of ``SearchOptions``, or as an argument of
``search``. The argument ``timeout`` is the field ``timeout_s``. The command line builds its options
from the same declarations; this module loads nothing heavy for that.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from ocrsearch.core import (
    DEFAULT_STORAGE,
    OptionError,
    current_options,
    documented,
    option,
    takes_former_fields,
)
from ocrsearch.data import DataArguments, DataOptions, given_options
from ocrsearch.training import LATIN, start_path

MAX_SEED = 2**31 - 1
"""Largest seed that all random generators take."""

ARGUMENTS = {"timeout": "timeout_s"}
"""Arguments of ``search`` whose fields in ``SearchOptions`` have another name."""

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

DeviceName = Literal["auto", "cpu", "cuda"]

SEARCH, ENDING, STUDY, MACHINE = "Search", "When to stop", "Study", "Machine"
"""Panels of the options."""


@takes_former_fields
@documented
@dataclass(frozen=True)
class SearchOptions:
    """How to run a search. The space says what is searched.

    The field ``data`` says how to read and split the data; a dict has only the options that are
    given. Data options that are not given are taken from the model of ``init`` if it was trained
    on the same data.
    """

    trials: int = option(
        100,
        "Number of trials of the study, those of earlier runs included.",
        ENDING,
        ge=1,
        le=MAX_COUNT,
    )
    study: str | None = option(
        None,
        "Name of the study. Default: the names of the space, if given, and the data.",
        STUDY,
    )
    storage: str = option(
        DEFAULT_STORAGE,
        "URL of the study database: sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
        STUDY,
        convert=storage_url,
    )
    workers: int | None = option(
        None,
        "Number of worker processes. auto: one for each core; on a GPU more and more while its "
        "throughput rises, as its memory permits.",
        MACHINE,
        metavar="N|auto",
        shown="auto",
        convert=_workers,
        ge=1,
        le=MAX_WORKERS,
    )
    timeout_s: float | None = option(
        None,
        "Stop this run after a time, such as 90s, 30m or 2h.",
        ENDING,
        metavar="TIME",
        convert=_seconds,
        gt=0,
        le=MAX_TIMEOUT_S,
    )
    target_cer: float | None = option(
        None,
        "Stop when a trial reaches this validation CER, such as 0.01.",
        ENDING,
        metavar="CER",
        ge=0,
        le=1,
    )
    epoch_budget: int | None = option(
        None,
        "Stop after this number of epochs, summed over all trials.",
        ENDING,
        ge=1,
        le=MAX_COUNT,
    )
    stall_trials: int | None = option(
        None,
        "Stop when this number of trials in a row brings no lower validation CER.",
        ENDING,
        ge=1,
        le=MAX_COUNT,
    )
    min_gain: float = option(
        1.0,
        "Stop when twice as many trials are expected to save fewer than this number of character "
        "errors in the validation split; 0 never stops for this reason. For the objective cer.",
        ENDING,
        metavar="ERRORS",
        ge=0,
        allow_inf_nan=False,
    )
    max_disk_mb: float | None = option(
        None,
        "Maximum size of all weights and checkpoints of the study, in megabytes.",
        STUDY,
        metavar="MB",
        gt=0,
        allow_inf_nan=False,
    )
    warm_start: str | None = option(
        None,
        "Try the best configurations of an earlier study first.",
        SEARCH,
        metavar="STUDY",
    )
    init: Path | None = option(
        None,
        "Initialise every trial from this model where shapes match; 'latin' comes with the "
        "program. The first trials use its architecture. Data that it was trained on is split as "
        "before.",
        SEARCH,
        metavar="MODEL",
        convert=start_path,
    )
    seed: int | None = option(
        None,
        "Random seed for the sampler, the initial weights and the data order. Default: the seed "
        "of the study, 0 for a new study.",
        SEARCH,
        ge=0,
        le=MAX_SEED,
    )
    device: DeviceName = option(
        "auto", "Device for the computations; auto uses a GPU if there is one.", MACHINE
    )
    no_mps: bool = option(
        False,
        "On an NVIDIA GPU, do not start MPS, which lets several workers compute at the same time.",
        MACHINE,
    )
    engine: Literal["local", "ray"] = option(
        "local", "Workers: processes on this machine, or Ray actors.", MACHINE
    )
    address: str | None = option(
        None,
        "Ray cluster. Default: a cluster on this machine alone.",
        MACHINE,
        metavar="HOST:PORT",
    )
    gpus_per_worker: float = option(
        0.0, "Fraction of a GPU for each Ray worker; 0 computes on the CPU.", MACHINE, ge=0, le=1
    )
    data: DataOptions | Mapping[str, Any] | None = None


class SearchArguments(DataArguments, total=False):
    """Options as arguments of ``search``: those of ``SearchOptions`` and of ``DataOptions``."""

    trials: int
    study: str | None
    storage: str | Path
    workers: int | str | None
    timeout: float | str | timedelta | None
    target_cer: float | None
    epoch_budget: int | None
    stall_trials: int | None
    min_gain: float
    max_disk_mb: float | None
    warm_start: str | None
    init: str | Path | None
    seed: int | None
    device: DeviceName
    no_mps: bool
    engine: Literal["local", "ray"]
    address: str | None
    gpus_per_worker: float


def search_options(options: SearchOptions | None, arguments: Mapping[str, Any]) -> SearchOptions:
    """Return checked options: those of ``options``, and in their place the arguments given.

    Raises:
        OptionError: an unknown argument, a value of another type or out of its range.
    """
    from ocrsearch.core import checked_values, suggestion

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
    arguments = current_options(arguments, of_search | of_data, stacklevel=3)
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
    elif options.address:
        raise OptionError("works with engine 'ray' only", "address")
    elif options.gpus_per_worker:
        raise OptionError("works with engine 'ray' only", "gpus_per_worker")
    return options
