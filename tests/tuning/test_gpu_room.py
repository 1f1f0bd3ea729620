"""How many trials share a GPU: by arithmetic; no GPU is needed here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ocrsearch.data.samples import LabelledImages, PackedImages
from ocrsearch.spaces.reading import load_space
from ocrsearch.tuning.preparation import CONTEXT_MB, trials_at_once

TRAIN = LabelledImages(["a"], ["12345"], PackedImages.pack([np.zeros((32, 128), np.uint8)]))
SPACE = load_space(Path("search_spaces/crnn.yaml"))


@pytest.mark.parametrize(
    ("free_mb", "n_cores", "n"),
    [(0.0, 8, 1), (CONTEXT_MB, 8, 1), (80_000.0, 8, 8), (80_000.0, 1, 1)],
)
def test_at_least_one_and_no_more_than_cores(free_mb: float, n_cores: int, n: int) -> None:
    assert trials_at_once(SPACE, TRAIN, free_mb, n_cores) == n


def test_more_memory_has_room_for_more_and_wider_pictures_for_fewer() -> None:
    few, many = (trials_at_once(SPACE, TRAIN, mb, 64) for mb in (4_000.0, 16_000.0))
    assert 1 < few < many
    wide = LabelledImages(["a"], ["1"], PackedImages.pack([np.zeros((32, 4096), np.uint8)]))
    assert trials_at_once(SPACE, wide, 16_000.0, 64) < many
