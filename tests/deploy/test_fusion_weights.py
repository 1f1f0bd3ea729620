"""The weights of a language model: those that read best are chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrsearch.data.dataset import LabelledImages, PackedImages
from ocrsearch.deploy import fusion_weights
from ocrsearch.deploy.decoding import LM_WEIGHT, DecodingOptions
from ocrsearch.deploy.fusion_weights import BONUSES, WEIGHTS, can_fuse, choose_weights

if TYPE_CHECKING:
    from ocrsearch.deploy.bundle import Bundle

LENGTH = 20
Errors = Callable[[DecodingOptions], int]


def labelled(n: int) -> LabelledImages:
    images = PackedImages.pack([np.full((4, 6), i % 250, np.uint8) for i in range(n)])
    names = [str(i) for i in range(n)]
    return LabelledImages(names, ["a" * LENGTH] * n, images)


@pytest.fixture
def patch_reader(monkeypatch: pytest.MonkeyPatch) -> Callable[[Errors], list[int]]:
    """Let each picture be read with so many errors; return how many pictures were read."""

    def patch(errors: Errors) -> list[int]:
        read: list[int] = []

        class Reads:
            def __init__(self, _: Any, decoding: DecodingOptions) -> None:
                self._n = errors(decoding)

            def predict_many(self, images: list[np.ndarray]) -> list[Any]:
                read.append(len(images))
                text = "b" * self._n + "a" * (LENGTH - self._n)
                return [SimpleNamespace(text=text) for _ in images]

        monkeypatch.setattr(fusion_weights, "Predictor", Reads)
        return read

    return patch


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("bonus", [None, *BONUSES])
def test_the_best_are_chosen(
    patch_reader: Callable[[Errors], list[int]],
    make_bundle: Callable[..., Bundle],
    weight: float,
    bonus: float | None,
) -> None:
    def errors(options: DecodingOptions) -> int:
        if options.beam == 0:
            return 9
        return 2 + 4 * (options.lm_weight != weight) + 2 * (options.length_bonus != bonus)

    patch_reader(errors)
    chosen = choose_weights(make_bundle(), Path("lm.npz"), labelled(3))
    assert (chosen.lm_weight, chosen.length_bonus) == (weight, bonus)
    assert (chosen.cer, chosen.greedy_cer, chosen.n) == (2 / LENGTH, 9 / LENGTH, 3)


def test_the_default_where_nothing_is_better(
    patch_reader: Callable[[Errors], list[int]], make_bundle: Callable[..., Bundle]
) -> None:
    patch_reader(lambda _: 1)
    chosen = choose_weights(make_bundle(), Path("lm.npz"), labelled(3))
    assert (chosen.lm_weight, chosen.length_bonus) == (LM_WEIGHT, None)


@pytest.mark.parametrize(("n", "n_read"), [(1, 1), (300, 300), (301, 151), (1000, 250)])
def test_pictures_are_evenly_spread(
    patch_reader: Callable[[Errors], list[int]],
    make_bundle: Callable[..., Bundle],
    n: int,
    n_read: int,
) -> None:
    read, told = patch_reader(lambda _: 1), []
    chosen = choose_weights(
        make_bundle(), Path("lm.npz"), labelled(n), lambda done, of: told.append((done, of))
    )
    assert set(read) == {chosen.n} == {n_read}
    assert told == [(i + 1, len(read)) for i in range(len(read))]


def test_what_can_be_fused(make_bundle: Callable[..., Bundle]) -> None:
    assert can_fuse(make_bundle())
    assert can_fuse(make_bundle("seq2seq"))
    assert not can_fuse(make_bundle("classifier"))
