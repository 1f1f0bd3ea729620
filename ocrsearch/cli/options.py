"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import functools
import inspect
import json
import re
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Any

import typer

from ocrsearch.errors import OptionError

DEFAULT_STORAGE = "sqlite:///studies/ocrsearch.db"

Storage = Annotated[
    str,
    typer.Option(
        help="URL of the study database, sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME.",
        envvar="OCRSEARCH_STORAGE",
    ),
]
StudyName = Annotated[
    str | None, typer.Option("--study", help="Name of the study; default: the latest.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

SetValues = Annotated[
    list[str] | None, typer.Option("--set", help="A value, as training.augment.elastic=1.")
]


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]

_SPEC = (
    "FORMAT:PATH, a path, or digits. Formats: captcha, csv, tsv, jsonl, labels, gt, ppocr, iam, "
    "kalapa, mnist, synth."
)
Data = Annotated[str, typer.Option(help=_SPEC)]
Spec = Annotated[str, typer.Argument(metavar="SPEC", help=_SPEC)]

_PANEL = "How the data is read and split"
_DATA_OPTIONS: dict[str, Any] = {
    "group": Annotated[
        str | None,
        typer.Option(
            help="Regular expression that finds in a sample's name what must not be parted.",
            rich_help_panel=_PANEL,
        ),
    ],
    "splits": Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Splits to use, from 'ocrsearch data split'.",
            rich_help_panel=_PANEL,
        ),
    ],
    "split_seed": Annotated[
        int | None, typer.Option(help="Of splits that are drawn.", rich_help_panel=_PANEL)
    ],
    "train_share": Annotated[
        float | None,
        typer.Option(help="Share of the training split to use.", rich_help_panel=_PANEL),
    ],
    "keep_err": Annotated[
        bool | None,
        typer.Option(
            "--keep-err/--leave-err",
            help="Use samples that the data itself marks as wrong.",
            rich_help_panel=_PANEL,
        ),
    ],
    "max_bad": Annotated[
        float | None,
        typer.Option(
            help="Share of unusable samples that is left out silently; above it, no start.",
            rich_help_panel=_PANEL,
        ),
    ],
}
"""The fields of ``DataOptions``; None where an option is not given."""


def takes_data_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of ``DataOptions``; it gets those given as a dict ``given``."""

    @functools.wraps(command)
    def with_options(**values: Any) -> None:
        options = {name: values.pop(name) for name in _DATA_OPTIONS}
        given = {name: value for name, value in options.items() if value is not None}
        command(**values, given=given)

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if p.name != "given"]
    kind = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(name, kind, default=None, annotation=annotation)
        for name, annotation in _DATA_OPTIONS.items()
    ]
    with_options.__signature__ = signature.replace(parameters=[*own, *shared])  # type: ignore[attr-defined]
    return with_options


_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?")


def parse_workers(text: str) -> int | None:
    """Return the number of workers; None for ``auto``.

    Raises:
        OptionError: neither a number nor auto.
    """
    if text == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise OptionError(f"--workers {text}: must be a number of 1 or more, or auto") from None


def parse_duration(text: str) -> float:
    """Return seconds for ``90``, ``90s``, ``30m``, ``2h`` or ``1h30m``.

    Raises:
        OptionError: another text, or no time at all.
    """
    match = _DURATION.fullmatch(text.strip().lower())
    parts = [float(part or 0) for part in match.groups()] if match else []
    seconds = sum(p * unit for p, unit in zip(parts, (3600, 60, 1), strict=False))
    if seconds <= 0:
        raise OptionError(f"--timeout {text!r}: write it as 90s, 30m, 2h or 1h30m")
    return seconds


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n")
