"""Drawings of networks: well-formed, whole, and readable on light and dark."""

from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

import pytest

from ocrsearch.core.config import (
    Config,
    CrnnConfig,
    ModelConfig,
    Seq2SeqConfig,
)
from ocrsearch.models.layers import Layer, list_layers
from ocrsearch.reports.drawings import (
    MARGIN,
    WIDTH,
    draw_layers,
    format_shape,
)

SVG = "{http://www.w3.org/2000/svg}"
MODELS: list[ModelConfig] = [CrnnConfig(), Seq2SeqConfig()]


def drawn(layers: list[Layer], title: str = "model.pt") -> ElementTree.Element:
    root = ElementTree.fromstring(draw_layers(layers, title, "small", "1 x 32 x 128"))  # noqa: S314
    assert root.tag == f"{SVG}svg"
    return root


def boxes(root: ElementTree.Element, *classes: str) -> list[ElementTree.Element]:
    return [r for r in root.iter(f"{SVG}rect") if r.get("class") in classes]


@pytest.mark.parametrize("model", MODELS)
def test_a_box_for_each_layer(model: ModelConfig) -> None:
    layers = list_layers(Config(model=model), 10, 128, 5)
    root = drawn(layers)
    texts = [element.text or "" for element in root.iter(f"{SVG}text")]
    for layer in layers:
        assert layer.name in texts
        assert format_shape(layer.output) in texts
        assert any(text.startswith(f"{layer.n_parameters:,} weights") for text in texts)
    assert len(boxes(root, "training")) == 1
    n_used = sum(not layer.training_only for layer in layers)
    assert len(boxes(root, "box")) == n_used
    assert len(list(root.iter(f"{SVG}line"))) == n_used  # from the picture to the last


def test_boxes_lie_below_each_other_within_the_page() -> None:
    layers = list_layers(Config(model=Seq2SeqConfig()), 10, 128, 5)
    root = drawn(layers)
    tops = [
        (float(r.get("y") or 0), float(r.get("height") or 0))
        for r in boxes(root, "end", "box", "training")
    ]
    assert all(top + height < below for (top, height), (below, _) in pairwise(tops))
    assert tops[-1][0] + tops[-1][1] + MARGIN == float(root.get("height") or 0)
    assert root.get("viewBox") == f"0 0 {WIDTH} {root.get('height')}"


def test_both_colour_schemes() -> None:
    style = drawn([]).find(f"{SVG}style")
    assert style is not None
    assert "prefers-color-scheme: dark" in (style.text or "")


def test_names_are_text_not_markup() -> None:
    root = drawn([Layer("a<b>&", "k", (1,), 2, 3)], title='"><script>x</script>')
    texts = [element.text for element in root.iter(f"{SVG}text")]
    assert {"a<b>&", '"><script>x</script>'} <= set(texts)
    assert list(root.iter(f"{SVG}script")) == []


@pytest.mark.parametrize("title", ["\x1b]0;pwn\x07", "</svg><script>", "\udcff", "a\x00b"])
def test_any_name_makes_a_drawing(title: str) -> None:
    text = draw_layers([], title, "small", "1 x 2 x 3").encode("utf-8", "backslashreplace")
    assert b"<script>" not in text
    root = ElementTree.fromstring(text)  # noqa: S314
    assert root.tag == f"{SVG}svg"
