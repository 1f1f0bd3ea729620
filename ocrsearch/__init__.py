"""ocrsearch: finds a small text recogniser for labelled pictures.

``search(space, data)`` searches, ``load("model.pt").predict(picture)`` reads. Both are imported
only when they are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ocrsearch.deploy.predictor import load
    from ocrsearch.search.api import search

__all__ = ["load", "search"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from ocrsearch.deploy.predictor import load

        return load
    if name == "search":
        from ocrsearch.search.api import search

        return search
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
