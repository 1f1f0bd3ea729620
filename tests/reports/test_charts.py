"""Charts as SVG: places, ticks, and texts that are escaped."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree

import pytest

from ocrsearch.reports.charts import (
    HEIGHT,
    MAX_TITLED,
    WIDTH,
    Series,
    bars_chart,
    lines_chart,
    points_chart,
)

EVIL = "<script>alert(1)</script>'\""


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - it is our own


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parsed(svg).iter("text")]


def centres(svg: str) -> list[tuple[float, float]]:
    return [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in parsed(svg).iter("circle")]


def chart(x: list[float] | list[str], y: list[float], titles: list[str] | None = None) -> str:
    titles = [f"t{i}" for i in range(len(x))] if titles is None else titles
    return points_chart([Series("all", "", x, y, titles)], "title", "x", "y")


def test_points_lie_inside_and_in_order() -> None:
    found = centres(chart([1.0, 2.0, 3.0], [0.1, 0.2, 0.3]))
    assert [x for x, _ in found] == sorted(x for x, _ in found)
    assert [y for _, y in found] == sorted((y for _, y in found), reverse=True)  # y points down
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in found)


def test_equal_distances_on_a_linear_axis_and_equal_ratios_on_a_logarithmic_one() -> None:
    linear = [x for x, _ in centres(chart([1.0, 2.0, 3.0], [0.1, 0.1, 0.1]))]
    assert linear[1] - linear[0] == pytest.approx(linear[2] - linear[1], abs=0.2)
    log = [x for x, _ in centres(chart([0.001, 0.01, 0.1], [0.1, 0.1, 0.1]))]
    assert log[1] - log[0] == pytest.approx(log[2] - log[1], abs=0.2)


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.01, 0.02], ["1 %", "1.2 %", "1.4 %", "1.6 %", "1.8 %", "2 %"]),
        ([0.001, 0.1, 1.0], ["0.1 %", "0.3 %", "1 %", "3 %", "10 %", "30 %", "100 %"]),
        ([0.0, 0.02, 0.9], ["0 %", "2 %", "5 %", "10 %", "20 %", "50 %"]),  # 0 has a place
        ([0.0, 0.0], ["0 %", "20 %", "40 %"]),
    ],
)
def test_ticks_are_round(values: list[float], ticks: list[str]) -> None:
    found = [text for text in texts(chart([float(i) for i in range(len(values))], values))
             if text.endswith("%")]  # fmt: skip
    assert found[: len(ticks)] == ticks


def test_names_have_places_of_their_own() -> None:
    svg = chart(["lstm", "gru", "lstm"], [0.1, 0.2, 0.3])
    assert {"lstm", "gru"} <= set(texts(svg))
    first, second, third = (x for x, _ in centres(svg))
    assert second < min(first, third)
    assert first != third  # points of one name do not cover each other


def test_many_points_are_one_path() -> None:
    n = MAX_TITLED + 1
    svg = chart([float(i) for i in range(n)], [0.5] * n)
    assert not centres(svg)
    (path,) = (p for p in parsed(svg).iter("path") if "dots" in p.attrib["class"])
    assert path.attrib["d"].count("M") == n
    assert len(svg) < 20 * n


def test_lines_are_interrupted_between_folds() -> None:
    curve = Series("a", "other", [1.0, 2.0, 3.0, 4.0], [0.4, 0.3, math.nan, 0.2])
    svg = lines_chart([curve, curve], "curves", "epoch", "CER")
    (path,) = (p for p in parsed(svg).iter("path") if p.attrib["class"] == "other")
    assert re.sub(r"[\d. ]+", "", path.attrib["d"]) == "MLMh" * 2  # a single epoch is a dot


def test_bars_are_in_order_and_marked() -> None:
    svg = bars_chart({"a": 0.75, "b": 0.25, "c": 0.0}, "importances", ["a"])
    bars = [(b.attrib["class"], float(b.attrib["width"])) for b in parsed(svg).iter("rect")]
    assert [style for style, _ in bars] == ["bar", "bar weak", "bar weak"]
    assert bars[0][1] == pytest.approx(3 * bars[1][1], rel=0.02)
    assert texts(svg) == ["a", "75 %", "b", "25 %", "c", "0 %"]


@pytest.mark.parametrize(
    "svg",
    [
        points_chart([Series(EVIL, "", [EVIL], [0.1], [EVIL])], EVIL, EVIL, EVIL),
        lines_chart([Series(EVIL, "other", [1.0], [0.1])], EVIL, EVIL, EVIL),
        bars_chart({EVIL: 1.0}, EVIL),
        points_chart([], "nothing", "x", "y"),
        lines_chart([], "nothing", "x", "y"),
        bars_chart({}, "nothing"),
    ],
)
def test_every_text_is_escaped_and_nothing_is_no_error(svg: str) -> None:
    assert "<script" not in svg
    assert parsed(svg).attrib["role"] == "img"
