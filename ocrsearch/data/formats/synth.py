"""``synth:FILE``: a recipe of a synthetic data set, whose pictures are drawn when read."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from pathlib import Path

from ocrsearch.data.samples import Sample
from ocrsearch.errors import DataError
from ocrsearch.files import real_path

logger = logging.getLogger(__name__)

_being_read: ContextVar[frozenset[Path]] = ContextVar("recipes being read", default=frozenset())
"""Recipes whose source is being read: a source may be a recipe too."""


def recognise(path: Path) -> bool:
    """Whether a path given without a format is such a file."""
    return path.suffix.lower() in (".yaml", ".yml") and path.is_file()


def read(path: Path) -> list[Sample]:
    """Return the samples of a recipe; see ``data/synthesis``.

    What fonts lack and what of a corpus is left out is a warning of the log.

    Raises:
        DataError: not a recipe, or a source that cannot be used.
    """
    # a recipe's source of digits is itself of any label format
    from ocrsearch.data.synthesis.recipe import load_recipe
    from ocrsearch.data.synthesis.sources import open_synthesizer

    outer = _being_read.get()
    if real_path(path) in outer:
        raise DataError(f"synth:{path}: its source leads back to it; name single symbols")
    token = _being_read.set(outer | {real_path(path)})
    try:
        synthesizer = open_synthesizer(load_recipe(path))
    finally:
        _being_read.reset(token)
    for note in synthesizer.notes:
        logger.warning("%s: %s", path, note)
    return synthesizer.samples()
