"""Ready search spaces, which come with the program and go by name: ``captcha``, ``lines``, ..."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ocrsearch.errors import SpaceError
from ocrsearch.explain import shown, suggestion
from ocrsearch.search.space import Space
from ocrsearch.search.space_reading import load_space, space_from_dict

PACKAGE = Path(__file__).parents[1]

FOLDERS = (PACKAGE / "spaces", PACKAGE.parent / "search_spaces")
"""Folder of the ready spaces: in an installed package, and in a checkout of the repository."""

ENDINGS = (".yaml", ".yml")


@cache
def ready_spaces() -> dict[str, Path]:
    """Return the files of the ready spaces by name."""
    folder = next((folder for folder in FOLDERS if folder.is_dir()), FOLDERS[0])
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def describe_space(path: Path) -> str:
    """Return the first line of the comment with which a space's file begins."""
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    return first.lstrip("# ").rstrip() if first.startswith("#") else ""


def find_space(name: str | Path) -> Path:
    """Return the file of a space: a ready one by its name, or any file by its path.

    A name is text without a folder and without the ending of a YAML file.

    Raises:
        SpaceError: no ready space of this name, and no such file.
    """
    path, ready = Path(name), ready_spaces()
    is_name = path.name == str(name) and path.suffix not in ENDINGS
    if is_name and str(name) in ready:
        return ready[str(name)]
    exists = os.path.exists(path)  # noqa: PTH110 - no error for a name that cannot be a file's
    if not is_name and path.stem in ready and not exists:
        raise SpaceError(f"{path}: no such file; the ready space is named {path.stem!r}")
    if exists and path.is_dir():
        raise SpaceError(
            f"space {str(name)!r}: is a folder; if it holds labelled images, give it as the data"
        )
    if not is_name or exists:
        return path
    raise _unknown(str(name), ", or the path of a YAML file")


def find_ready_space(name: str) -> Path:
    """Return the file of a ready space.

    Raises:
        SpaceError: no ready space of this name.
    """
    if name not in ready_spaces():
        raise _unknown(name)
    return ready_spaces()[name]


def _unknown(name: str, or_else: str = "") -> SpaceError:
    ready = ready_spaces()
    return SpaceError(
        f"space {name!r}: there is none of this name; give one of {', '.join(ready)}"
        f"{or_else}{suggestion(name, ready)}"
    )


def open_space(space: Space | str | Path | Mapping[str, Any]) -> Space:
    """Return a checked space: a ready one by name, or that of a file or a dict.

    Raises:
        SpaceError: no such space, something in it is wrong, or a value of another type.
    """
    if isinstance(space, Space):
        return space
    if isinstance(space, str | Path):
        return load_space(find_space(space))
    if isinstance(space, Mapping):
        return space_from_dict(space)
    raise SpaceError(
        f"space: found {shown(space)}, must be the name of a ready space "
        f"({', '.join(ready_spaces())}), the path of a YAML file, a dict in the shape of one, or a "
        "Space"
    )
