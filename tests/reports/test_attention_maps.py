"""Attention maps: what they hold, and how they are drawn."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from ocrsearch.core.config import FRAME_STRIDE
from ocrsearch.core.errors import DataError
from ocrsearch.reports.drawings import (
    END,
    MAX_ROWS,
    ROW_PX,
    AttentionMap,
    attention_maps,
    draw_attention,
)
from tests.conftest import draw_text

if TYPE_CHECKING:
    from ocrsearch.inference.bundle import Bundle

MakeBundle = Callable[..., "Bundle"]


def images_of(svg: str) -> list[np.ndarray]:
    """Return the pictures that are embedded in a drawing."""
    encoded = re.findall(r"href='data:image/png;base64,([^']*)'", svg)
    return [cv2.imdecode(np.frombuffer(base64.b64decode(e), np.uint8), -1) for e in encoded]


@pytest.mark.parametrize("attention", ["additive", "location_aware"])
@pytest.mark.parametrize("text", ["", "7", "120"])
def test_a_row_for_each_symbol_and_the_end(
    make_bundle: MakeBundle, attention: str, text: str
) -> None:
    (found,) = attention_maps(make_bundle("seq2seq", attention), [(draw_text("120"), text)])
    assert found.symbols == [*text, END]
    assert found.image.shape[0] == 16
    assert found.weights.shape == (len(text) + 1, found.image.shape[1] // FRAME_STRIDE)
    assert found.weights.min() >= 0.0
    np.testing.assert_allclose(found.weights.sum(1), 1.0, rtol=1e-5)


def test_symbols_that_the_model_does_not_know(make_bundle: MakeBundle) -> None:
    with pytest.raises(DataError, match="'x'"):
        attention_maps(make_bundle("seq2seq"), [(draw_text("1"), "x")])


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (("crnn",), False),
        (("classifier",), False),
        (("seq2seq", "none"), False),
        (("seq2seq", "additive"), True),
        (("seq2seq", "location_aware"), True),
    ],
)
def test_which_models_have_maps(
    make_bundle: MakeBundle, kind: tuple[str, ...], expected: bool
) -> None:
    assert make_bundle(*kind).config.model.has_attention == expected


def test_the_drawing_holds_the_picture_and_the_weights() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 12), dtype=np.uint8)
    weights = np.array([[0.5, 0.25, 0.25], [0.0, 0.0, 1.0]], np.float32)
    svg = draw_attention(AttentionMap(image, ["<", END], weights))
    picture, heat = images_of(svg)
    np.testing.assert_array_equal(picture, image)
    np.testing.assert_array_equal(heat[..., 3], [[128, 64, 64], [0, 0, 255]])
    root = ElementTree.fromstring(svg)  # noqa: S314
    assert [element.text for element in root.iter("text")] == ["<", END]
    shown, below = root.iter("image")
    assert shown.attrib["width"] == below.attrib["width"]


def test_a_long_label_is_cut_off_and_a_space_named() -> None:
    n = MAX_ROWS + 5
    weights = np.full((n, 4), 0.25, np.float32)
    svg = draw_attention(AttentionMap(np.zeros((64, 16), np.uint8), [" "] * n, weights))
    assert svg.count(">space</text>") == MAX_ROWS
    assert images_of(svg)[1].shape == (MAX_ROWS, 4, 4)
    assert f"height='{MAX_ROWS * ROW_PX}'" in svg
