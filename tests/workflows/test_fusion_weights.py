"""The weights of a language model: those that read best are chosen."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ocrsearch.core.errors import OptionError
from ocrsearch.data.charset import Charset
from ocrsearch.data.samples import LabelledImages, PackedImages
from ocrsearch.inference.decoding import (
    LM_WEIGHT,
    DecodingOptions,
    build_decoder,
)
from ocrsearch.models.decoding.ngrams import count_ngrams
from ocrsearch.workflows import language_model as fusion_weights
from ocrsearch.workflows.language_model import WEIGHTS, choose_weights

if TYPE_CHECKING:
    from ocrsearch.inference.bundle import Bundle

LENGTH = 20
NGRAMS, _ = count_ngrams(["123", "45"], Charset("0123456789"), 3)
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
            def __init__(self, bundle: Bundle, decoding: DecodingOptions) -> None:
                self.decoder = build_decoder(decoding, bundle)
                self._n = errors(decoding)

            def predict_many(self, images: list[np.ndarray]) -> list[Any]:
                read.append(len(images))
                text = "b" * self._n + "a" * (LENGTH - self._n)
                return [SimpleNamespace(text=text) for _ in images]

        monkeypatch.setattr(fusion_weights, "Predictor", Reads)
        return read

    return patch


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize(
    ("architecture", "bonus"),
    [("crnn", None), ("crnn", 0.0), ("crnn", 2.0), ("seq2seq", None), ("seq2seq", 1.0)],
)
def test_the_best_are_chosen(
    patch_reader: Callable[[Errors], list[int]],
    make_bundle: Callable[..., Bundle],
    weight: float,
    architecture: str,
    bonus: float | None,
) -> None:
    def errors(options: DecodingOptions) -> int:
        if options.beam_size == 0:
            return 9
        return 2 + 4 * (options.lm_weight != weight) + 2 * (options.length_bonus != bonus)

    read = patch_reader(errors)
    chosen = choose_weights(make_bundle(architecture), NGRAMS, labelled(3))
    assert (chosen.lm_weight, chosen.length_bonus) == (weight, bonus)
    assert (chosen.cer, chosen.greedy_cer, chosen.n) == (2 / LENGTH, 9 / LENGTH, 3)
    assert len(read) == 1 + len(WEIGHTS) + 2  # none with the default bonus twice


def test_the_default_where_nothing_is_better(
    patch_reader: Callable[[Errors], list[int]], make_bundle: Callable[..., Bundle]
) -> None:
    patch_reader(lambda _: 1)
    chosen = choose_weights(make_bundle(), NGRAMS, labelled(3))
    assert (chosen.lm_weight, chosen.length_bonus) == (LM_WEIGHT, None)


@pytest.mark.parametrize(("n", "n_read"), [(1, 1), (300, 300), (301, 300), (1000, 300)])
def test_pictures_are_evenly_spread(
    patch_reader: Callable[[Errors], list[int]],
    make_bundle: Callable[..., Bundle],
    n: int,
    n_read: int,
) -> None:
    read, told = patch_reader(lambda _: 1), []
    chosen = choose_weights(
        make_bundle(), NGRAMS, labelled(n), lambda done, of: told.append((done, of))
    )
    assert set(read) == {chosen.n} == {n_read}
    assert told == [(i, len(read)) for i in range(2, len(read) + 1)]


def test_a_classifier_has_no_use_for_it(make_bundle: Callable[..., Bundle]) -> None:
    with pytest.raises(OptionError, match="a classifier reads a single character"):
        choose_weights(make_bundle("classifier"), NGRAMS, labelled(3))
