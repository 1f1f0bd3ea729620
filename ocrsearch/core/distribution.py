"""The two distributions of this package: the full one, and the light one for recognition only.

The light distribution ``ocrsearch-light`` has the modules that read models of ONNX, under the same
import name. ``light/hatch_build.py`` chooses them.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

FULL = "ocrsearch"
LIGHT = "ocrsearch-light"


@cache
def is_light() -> bool:
    """Return whether only the light distribution is installed."""
    return find_spec("ocrsearch.cli.app") is None


def needs_full(name: str) -> str:
    """Return the message for a command or a name that the light distribution lacks."""
    return f"{name} needs the full installation: pip install {FULL}"


def extra(name: str) -> str:
    """Return the command that installs an extra of the distribution."""
    return f"pip install '{LIGHT if is_light() else FULL}[{name}]'"


def program_version() -> str:
    """Return the installed version, or "unknown" in a source tree that is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # takes a while to import

    try:
        return version(LIGHT if is_light() else FULL)
    except PackageNotFoundError:
        return "unknown"
