"""Frames: how many a label needs, how many a picture gives."""

from __future__ import annotations

import itertools

import pytest

from ocrsearch.core.config import ImageConfig
from ocrsearch.data.images.lines import count_unfit, frames_needed

BLANK = "-"
MAX_FRAMES = 7


def collapse(path: tuple[str, ...]) -> str:
    """Return what CTC reads in a path: repeats merged, then blanks removed."""
    return "".join(symbol for symbol, _ in itertools.groupby(path) if symbol != BLANK)


def test_frames_needed_is_the_shortest_path_of_ctc() -> None:
    shortest: dict[str, int] = {}
    for n_frames in range(MAX_FRAMES + 1):
        for path in itertools.product(["a", "b", BLANK], repeat=n_frames):
            shortest.setdefault(collapse(path), n_frames)

    labels = ["".join(p) for n in range(5) for p in itertools.product("ab", repeat=n)]
    assert {text: frames_needed(text) for text in labels} == {t: shortest[t] for t in labels}


@pytest.mark.parametrize(
    ("text", "frames"), [("", 0), ("a", 1), ("ab", 2), ("aa", 3), ("aaa", 5), ("abba", 5)]
)
def test_frames_needed(text: str, frames: int) -> None:
    assert frames_needed(text) == frames


@pytest.mark.parametrize(
    ("shape", "text", "config", "unfit"),
    [
        ((16, 16), "abcd", ImageConfig(height=16), 0),
        ((16, 16), "abcde", ImageConfig(height=16), 1),
        ((16, 16), "aabc", ImageConfig(height=16), 1),
        ((16, 16), "abcdefgh", ImageConfig(height=32), 0),
        ((16, 16), "abcdefgh", ImageConfig(height=16, width_scale=2.0), 0),
        ((16, 16), "abc", ImageConfig(height=16, width_scale=0.5), 1),
        ((100, 1), "ab", ImageConfig(height=16), 0),
        ((100, 1), "abc", ImageConfig(height=16), 1),
        ((1, 1), "", ImageConfig(height=16), 0),
    ],
)
def test_count_unfit(shape: tuple[int, int], text: str, config: ImageConfig, unfit: int) -> None:
    assert count_unfit([shape], [frames_needed(text)], config) == unfit
    assert count_unfit([shape] * 3, [frames_needed(text)] * 3, config) == 3 * unfit


def test_nothing_is_unfit_among_nothing() -> None:
    assert count_unfit([], [], ImageConfig()) == 0
