"""Figures of simulated searches: the best error so far against epochs and seconds."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from outcomes import Axis, Outcome, by_task, of
from plotly.colors import hex_to_rgb, qualitative
from plotly.subplots import make_subplots

from ocrsearch.reports import figure_part, page, save_page

N_POINTS = 240
QUARTILES = (25, 50, 75)
KINDS: dict[str, tuple[int, str, str]] = {
    "loss": (3, "validation loss of the best", "log"),
    "CER": (2, "validation CER of the best", "linear"),
}
"""Column of an outcome's rows, title and scale of the axis."""


def write_page(outcomes: Sequence[Outcome], text: str, path: Path) -> None:
    """Write one page with all figures and the comparison as text."""
    axes: tuple[Axis, ...] = ("epochs", "seconds")
    figures = [
        error_figure(searches, kind, axis)
        for searches in by_task(outcomes).values()
        for axis in axes
        for kind in KINDS
    ]
    title = "Searches by simulation"
    parts = [f"<h1>{title}</h1>", *map(figure_part, figures)]
    save_page(page(title, [*parts, f"<pre class='wide'>{html.escape(text)}</pre>"]), path)


def error_figure(outcomes: Sequence[Outcome], kind: str, axis: Axis) -> go.Figure:
    """Draw median and quartiles of each method; a panel for each number of workers."""
    numbers = sorted({o.workers for o in outcomes})
    methods = list(dict.fromkeys(o.method for o in outcomes))
    titles = ["1 worker" if n == 1 else f"{n} workers" for n in numbers]
    figure = make_subplots(1, len(numbers), shared_yaxes=True, subplot_titles=titles)
    column, y_title, scale = KINDS[kind]
    for panel, workers in enumerate(numbers, start=1):
        for i, method in enumerate(methods):
            group = of(outcomes, method, workers)
            if group:
                traces = _band(group, column, axis, _colour(i), show=panel == 1)
                figure.add_traces(traces, rows=1, cols=panel)
    figure.update_xaxes(title=axis, type="log")
    figure.update_yaxes(type=scale)
    return figure.update_layout(
        title=f"{outcomes[0].task}: best {kind} so far against {axis}, median and quartiles",
        yaxis_title=y_title,
        height=480,
        legend={"orientation": "h", "y": -0.2},
    )


def quartiles(group: Sequence[Outcome], column: int, axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Return budgets, and (3, budgets) quartiles of the best errors found by then.

    A curve begins when all searches have begun, and ends when half of them have ended.
    """
    first = max(o.axis(axis)[0] for o in group)
    last = float(np.median([o.axis(axis)[-1] for o in group]))
    budgets = np.geomspace(max(first, 1.0), max(last, first, 1.0), N_POINTS)
    found = np.array([np.append(o.rows[:, column], math.nan)[o.at(budgets, axis)] for o in group])
    return budgets, np.nanpercentile(found, QUARTILES, axis=0)


def _band(
    group: Sequence[Outcome], column: int, axis: Axis, colour: str, *, show: bool
) -> list[go.Scatter]:
    budgets, (low, middle, high) = quartiles(group, column, axis)
    name = group[0].method
    rgb = ",".join(map(str, hex_to_rgb(colour)))
    common = {"legendgroup": name, "name": name, "mode": "lines"}
    around = go.Scatter(
        x=[*budgets, *budgets[::-1]],
        y=[*high, *low[::-1]],
        fill="toself",
        fillcolor=f"rgba({rgb},0.12)",
        line_width=0,
        hoverinfo="skip",
        showlegend=False,
        **common,
    )
    line = go.Scatter(x=budgets, y=middle, line_color=colour, showlegend=show, **common)
    return [around, line]


def _colour(i: int) -> str:
    colours = qualitative.D3
    return str(colours[i % len(colours)])
