"""Charts as static SVG: points, lines and bars, with linear, logarithmic and named axes.

A chart is a few kilobytes, scales with the page and takes its colours from the style sheet, so that
it follows the light or dark scheme. It needs no script. The interactive figures of
``Study.figures()`` are in ``figures.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 460, 290
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 12, 46
MAX_TITLED = 200
"""Largest number of points that each have a title; more are drawn as one path."""

MAX_TICKS = 6
LOG_RATIO = 10
"""Ratio of the largest to the smallest value above which an axis is logarithmic."""


@dataclass(frozen=True)
class Series:
    """Points or a line of one kind.

    Attributes:
        name: name for the legend.
        style: class of the style sheet: "other", "best" or "line-1" to "line-3".
        x: horizontal values; texts on a named axis.
        y: vertical values.
        titles: text for each point, shown when it is pointed at; empty for none.
    """

    name: str
    style: str
    x: Sequence[float | str]
    y: Sequence[float]
    titles: Sequence[str] = ()


@dataclass(frozen=True)
class _Axis:
    """Axis: the place of a value, from 0 to 1, and the ticks."""

    place: Callable[[float | str], float]
    ticks: list[tuple[float, str]]


Format = Callable[[float], str]


def percent(value: float) -> str:
    """Return a fraction as a short percentage."""
    return f"{100 * value:.3g} %"


def number(value: float) -> str:
    """Return a number in a short form, without an exponent if possible."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def points_chart(
    series: Sequence[Series], title: str, x_title: str, y_title: str, y_format: Format = percent
) -> str:
    """Return a chart of points as SVG; the y axis is logarithmic if the values spread widely."""
    xs = [x for s in series for x in s.x]
    ys = [y for s in series for y in s.y]
    x_axis, y_axis = _axis(xs, number), _axis(ys, y_format)
    named = any(isinstance(x, str) for x in xs)
    parts = [_frame(x_axis, y_axis, x_title, y_title)]
    for s in series:
        spread = 0.5 / max(1, len(x_axis.ticks)) if named else 0.0
        places = [
            (_x(x_axis.place(x) + spread * _jitter(i)), _y(y_axis.place(y)))
            for i, (x, y) in enumerate(zip(s.x, s.y, strict=True))
        ]
        parts.append(_points(s, places))
    return _svg(title, parts)


def lines_chart(
    series: Sequence[Series], title: str, x_title: str, y_title: str, y_format: Format = percent
) -> str:
    """Return a chart of lines by epoch as SVG.

    Series of one style share a path, so many of them are small. A NaN in ``y`` interrupts a line.
    """
    known = [(x, y) for s in series for x, y in zip(s.x, s.y, strict=True) if not math.isnan(y)]
    x_axis = _linear_axis([float(x) for x, _ in known], number, min_step=1.0)
    y_axis = _axis([y for _, y in known], y_format)
    paths: dict[str, list[str]] = {}
    for s in series:
        pairs = zip(s.x, s.y, strict=True)
        places = [
            None if math.isnan(y) else (_x(x_axis.place(x)), _y(y_axis.place(y))) for x, y in pairs
        ]
        paths.setdefault(s.style, []).append(_path(places))
    drawn = [f"<path class='{style}' d='{''.join(d)}'/>" for style, d in paths.items()]
    return _svg(title, [_frame(x_axis, y_axis, x_title, y_title), *drawn])


def cursor_chart(
    series: Sequence[Series], title: str, x_title: str, y_title: str
) -> tuple[str, list[tuple[float, float]]]:
    """Return a chart of lines as SVG with a cursor that a script moves along the first line.

    The axes are linear, and that of y begins at 0. A NaN in ``y`` interrupts a line.

    Returns:
        The chart, and the place of each point of the first line in it.
    """
    known = [y for s in series for y in s.y if not math.isnan(y)]
    x_axis = _axis([0.0, *series[0].x], number, log=False)
    y_axis = _axis([0.0, *known], percent, log=False)
    drawn, first = [], []
    for i, s in enumerate(series):
        places = [
            None if math.isnan(y) else (_x(x_axis.place(x)), _y(y_axis.place(y)))
            for x, y in zip(s.x, s.y, strict=True)
        ]
        drawn.append(f"<path class='{s.style}' d='{_path(places)}'/>")
        if i == 0:
            first = [(round(p[0], 1), round(p[1], 1)) for p in places if p is not None]
    cursor = f"<g class='cursor' hidden><path d='M0 {TOP}V{HEIGHT - BOTTOM}'/><circle r='5'/></g>"
    return _svg(title, [_frame(x_axis, y_axis, x_title, y_title), *drawn, cursor]), first


def bars_chart(bars: Mapping[str, float], title: str, solid: Sequence[str] = ()) -> str:
    """Return horizontal bars as SVG, in the given order.

    Args:
        bars: length of each bar by its name, as a fraction.
        title: title for screen readers.
        solid: names of the bars that are drawn in full colour.
    """
    height, label, room = 24, 150, WIDTH - 150 - 60
    longest = max(bars.values(), default=0.0) or 1.0
    parts = []
    for i, (name, value) in enumerate(bars.items()):
        y, width = i * height, max(1.0, room * value / longest)
        style = "bar" if name in solid else "bar weak"
        parts.append(
            f"<text class='end' x='{label - 8}' y='{y + 16}'>{escape(name)}</text>"
            f"<rect class='{style}' x='{label}' y='{y + 4}' width='{width:.0f}' height='16'/>"
            f"<text x='{label + width + 6:.0f}' y='{y + 16}'>{100 * value:.0f} %</text>"
        )
    return _svg(title, parts, max(height, len(bars) * height))


def _axis(values: Sequence[float | str], form: Format, *, log: bool | None = None) -> _Axis:
    """Return an axis for values; texts give a named axis, in alphabetical order."""
    if any(isinstance(value, str) for value in values):
        names = sorted(set(map(str, values)))
        at = {name: (i + 0.5) / len(names) for i, name in enumerate(names)}
        ticks = [(at[name], name if len(name) <= 14 else f"{name[:13]}…") for name in names]
        return _Axis(lambda value: at[str(value)], ticks)
    numbers = [float(value) for value in values]
    above = [value for value in numbers if value > 0]
    if log is None:
        log = bool(above) and min(numbers) >= 0 and max(above) > LOG_RATIO * min(above)
    if log:
        return _log_axis(above, form, has_zero=min(numbers) == 0)
    return _linear_axis(numbers, form)


def _linear_axis(values: Sequence[float], form: Format, min_step: float = 0.0) -> _Axis:
    low, high = min(values, default=0.0), max(values, default=1.0)
    is_negative = low < 0
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    step = max(min_step, _nice((high - low) / (MAX_TICKS - 1)))
    start, end = math.floor(low / step), math.ceil(high / step)
    if not is_negative:
        start = max(start, 0)
    first, span = start * step, (end - start) * step
    ticks = [(i / (end - start), form((start + i) * step)) for i in range(end - start + 1)]
    return _Axis(lambda value: (float(value) - first) / span, ticks)


def _nice(step: float) -> float:
    """Return the next larger step of the form 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= 0.999 * step)


def _log_axis(above: Sequence[float], form: Format, *, has_zero: bool) -> _Axis:
    """Return a logarithmic axis; values of 0 are drawn at its begin, which is labelled 0."""
    least, most = math.log10(min(above)), math.log10(max(above))
    low = least - 0.15 * (most - least) if has_zero else least - 0.03 * (most - least)
    high = most + 0.03 * (most - least)
    span = high - low
    for factors in ((1, 2, 5), (1, 3), (1,)):
        marks = [
            factor * 10.0**power
            for power in range(math.floor(low), math.ceil(high) + 1)
            for factor in factors
        ]
        inside = [mark for mark in marks if least - 1e-9 <= math.log10(mark) <= high]
        if len(inside) <= MAX_TICKS + 1:
            break
    ticks = [((math.log10(mark) - low) / span, form(mark)) for mark in inside]
    if has_zero:
        ticks.insert(0, (0.0, form(0.0)))

    def place(value: float | str) -> float:
        return (math.log10(float(value)) - low) / span if float(value) > 0 else 0.0

    return _Axis(place, ticks)


def _jitter(i: int) -> float:
    """Return a fixed offset from -0.5 to 0.5, which keeps points of one name apart."""
    return (i * 0.618034) % 1 - 0.5


def _x(place: float) -> float:
    return LEFT + place * (WIDTH - LEFT - RIGHT)


def _y(place: float) -> float:
    return HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM)


def _frame(x_axis: _Axis, y_axis: _Axis, x_title: str, y_title: str) -> str:
    """Return grid lines, ticks and titles of the axes."""
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for place, text in y_axis.ticks:
        y = _y(place)
        parts.append(
            f"<path class='grid' d='M{LEFT} {y:.0f}H{right}'/>"
            f"<text class='end' x='{LEFT - 6}' y='{y + 4:.0f}'>{escape(text)}</text>"
        )
    for place, text in x_axis.ticks:
        x = f"{_x(place):.0f}"
        parts.append(f"<text class='mid' x='{x}' y='{bottom + 17}'>{escape(text)}</text>")
    parts.append(
        f"<path class='axis' d='M{LEFT} {bottom}H{right}'/>"
        f"<text class='mid' x='{(LEFT + right) / 2:.0f}' y='{HEIGHT - 8}'>{escape(x_title)}</text>"
        f"<text class='mid' transform='translate(13 {(TOP + bottom) / 2:.0f}) rotate(-90)'>"
        f"{escape(y_title)}</text>"
    )
    return "".join(parts)


def _points(series: Series, places: Sequence[tuple[float, float]]) -> str:
    """Return the points of a series; a large series is one path without titles."""
    if len(places) > MAX_TITLED or not series.titles:
        d = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in places)
        return f"<path class='dots {series.style}' d='{d}'/>"
    radius = 5 if series.style == "best" else 3.5
    circles = [
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius}'><title>{escape(title)}</title></circle>"
        for (x, y), title in zip(places, series.titles, strict=True)
    ]
    return f"<g class='points {series.style}'>{''.join(circles)}</g>"


def _path(places: Sequence[tuple[float, float] | None]) -> str:
    """Return the commands of a path; None interrupts it. A single point is a dot."""
    commands, begins = [], True
    for i, place in enumerate(places):
        if place is None:
            begins = True
            continue
        x, y = place
        alone = begins and (i + 1 == len(places) or places[i + 1] is None)
        commands.append(f"{'M' if begins else 'L'}{x:.0f} {y:.0f}{'h0' if alone else ''}")
        begins = False
    return "".join(commands)


def _svg(title: str, parts: Sequence[str], height: int = HEIGHT) -> str:
    drawn = "".join(parts)
    return (
        f"<svg class='chart' viewBox='0 0 {WIDTH} {height}' role='img' "
        f"aria-label='{escape(title)}'>{drawn}</svg>"
    )
