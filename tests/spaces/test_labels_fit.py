"""Whether a space can read the labels is known before the search."""

from __future__ import annotations

import numpy as np
import pytest

from ocrsearch.core.errors import InfeasibleError
from ocrsearch.data.samples import LabelledImages, PackedImages
from ocrsearch.spaces.feasibility import unfit_in_space
from ocrsearch.spaces.reading import parse_space
from ocrsearch.spaces.space import Space


def split_of(texts: list[str], width: int) -> LabelledImages:
    """Return a split of blank images, 16 px high."""
    images = PackedImages.pack([np.zeros((16, width), np.uint8) for _ in texts])
    return LabelledImages([f"{i}.png" for i in range(len(texts))], texts, images)


def space_of(images: str, architecture: str = "crnn") -> Space:
    return parse_space(f"images: {images}\nmodel: {{architecture: {architecture}}}\n", "space")


LONG = "abcdefgh"
"""Needs 8 frames; an image of 16 x 16 px gives 4 at height 16 and 8 at 32."""


@pytest.mark.parametrize(
    ("images", "architecture", "text"),
    [
        ("{height: {int: [16, 32]}}", "crnn", LONG),
        ("{height: {choice: [32, 16]}}", "crnn", LONG),
        ("{height: 16, width_scale: {float: [0.5, 2.0]}}", "crnn", LONG),
        ("{height: 16}", "{choice: [crnn, seq2seq]}", "aaaa"),  # equal neighbours
        ("{height: 16, preprocess: {margin: {float: [0.0, 1.0]}}}", "crnn", "abcdef"),
    ],
)
def test_a_space_in_which_some_configuration_has_room(
    images: str, architecture: str, text: str
) -> None:
    assert unfit_in_space(space_of(images, architecture), split_of([text] * 4, 16), 0.01) == []


@pytest.mark.parametrize("images", ["{height: 16}", "{height: {int: [16, 24]}}"])
def test_a_space_in_which_no_configuration_has_room(images: str) -> None:
    with pytest.raises(InfeasibleError) as caught:
        unfit_in_space(space_of(images), split_of([LONG] * 4, 16), 0.01)
    message = str(caught.value)
    assert message.startswith("no configuration of this space can read these labels: 4 of 4 labels")
    assert "0.png: 'abcdefgh' needs 8 frames" in message


def test_the_few_that_fit_nowhere_are_named() -> None:
    train = split_of([LONG, *["ab"] * 31], 16)
    (bad,) = unfit_in_space(space_of("{height: {int: [16, 24]}}"), train, 0.01)
    assert (bad.name, bad.reason) == ("0.png", "'abcdefgh' needs 8 frames, its image gives 6")
