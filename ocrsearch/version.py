"""The version of this program."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def program_version() -> str:
    """Return the version that is installed; "unknown" for a source tree that is not."""
    try:
        return version("ocrsearch")
    except PackageNotFoundError:
        return "unknown"
