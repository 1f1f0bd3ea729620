"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import json
import re
import sys
from enum import StrEnum
from typing import Annotated, Any

import typer

from ocrsearch.errors import OptionError

DEFAULT_STORAGE = "sqlite:///studies/ocrsearch.db"

Storage = Annotated[
    str, typer.Option(help="URL of the study database.", envvar="OCRSEARCH_STORAGE")
]
StudyName = Annotated[
    str | None, typer.Option("--study", help="Name of the study; default: the latest.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


DeviceOption = Annotated[Device, typer.Option(help="Where to compute.")]

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
        raise OptionError(f"--timeout {text!r}: write it as 90s, 30m, 2h or 1h30m")
    return seconds


def print_json(content: dict[str, Any]) -> None:
    """Print one JSON object on standard output."""
    sys.stdout.write(json.dumps(content, ensure_ascii=False, indent=2, default=str) + "\n")
