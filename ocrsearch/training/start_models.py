"""Models that come with the program, for other networks to start from; each goes by its name.

A model never changes: studies that began with it are resumed with it. A better model gets another
name. ``scripts/make_start`` trains them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "start_models"

LATIN = "latin"
"""Lines of printed and written text in Latin letters, and codes and amounts; see the script."""


def start_model(name: str | Path) -> Path | None:
    """Return the file of a model by its name; None if there is none of this name."""
    return FOLDER / f"{LATIN}.pt" if str(name) == LATIN else None


def start_path(value: Any) -> Any:
    """Return the file of a model where its name is given, and any other value as it is."""
    return start_model(value) or value if isinstance(value, str | Path) else value


def name_of_start(path: Path) -> str:
    """Return how messages name a model to start from: a name, or the path of a file."""
    return path.stem if path.parent == FOLDER else str(path)
