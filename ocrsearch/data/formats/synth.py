"""``synth:FILE``: a recipe of a synthetic data set, whose pictures are drawn when read."""

from __future__ import annotations

import logging
from pathlib import Path

from ocrsearch.data.samples import Sample

logger = logging.getLogger(__name__)


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

    synthesizer = open_synthesizer(load_recipe(path))
    for note in synthesizer.notes:
        logger.warning("%s: %s", path, note)
    return synthesizer.samples()
