"""Figures of an evaluation, with Plotly, each from plain values."""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from ocrsearch.training.calibration import calibration_error, confidence_bins
from ocrsearch.training.confusions import Confusion, ConfusionMatrix

BLUE, ORANGE, GRAY = "#3f7fd6", "#dd7430", "#8a94a3"

MAX_CONFUSIONS = 20
"""Confusions in the figure."""

NOTHING = "(nothing)"

HEIGHT_PX = 360

ABOVE = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"}
"""Where the legend is."""

Epoch = dict[str, float]
"""A record of an epoch, as the study has it."""

Reading = tuple[float, bool]
"""Confidence, and whether it is right."""


def matrix_figure(matrix: ConfusionMatrix) -> go.Figure:
    """Draw a confusion matrix: errors by a scale of their own, or the diagonal drowns them."""
    names = [html.escape(symbol) for symbol in matrix.symbols]
    rows = matrix.counts.tolist()
    right = [[n if i == j and n else None for j, n in enumerate(row)] for i, row in enumerate(rows)]
    wrong = [[n if i != j and n else None for j, n in enumerate(row)] for i, row in enumerate(rows)]
    figure = go.Figure()
    for counts, color, name in ((right, BLUE, "right"), (wrong, ORANGE, "wrong")):
        figure.add_heatmap(
            x=names,
            y=names,
            z=counts,
            zmin=0,
            zmax=max((n for row in counts for n in row if n), default=1),
            colorscale=[[0, f"{color}30"], [1, color]],
            showscale=False,
            texttemplate="%{z}",
            hovertemplate="label %{y}, read as %{x}: %{z}<extra>" + name + "</extra>",
            xgap=1,
            ygap=1,
        )
    axis = {"type": "category", "showgrid": False, "zeroline": False}
    return figure.update_layout(
        title="Labels against what was read",
        xaxis={**axis, "title": "read as", "categoryarray": names},
        yaxis={**axis, "title": "label", "categoryarray": names, "autorange": "reversed"},
        height=max(320, 140 + 30 * len(names)),
    )


def confusions_figure(confusions: Sequence[Confusion]) -> go.Figure:
    """Draw the most frequent confusions as bars, by kind."""
    shown = confusions[:MAX_CONFUSIONS]
    names = [f"{_symbol(c.expected)} \u2192 {_symbol(c.read)}" for c in shown]
    figure = go.Figure()
    for kind, color in (("substitution", ORANGE), ("deletion", BLUE), ("insertion", GRAY)):
        figure.add_bar(
            x=[c.n for c in shown if c.kind == kind],
            y=[name for c, name in zip(shown, names, strict=True) if c.kind == kind],
            orientation="h",
            name=kind,
            marker_color=color,
        )
    return figure.update_layout(
        title="Most frequent confusions",
        xaxis={"title": "how often"},
        yaxis={
            "type": "category",
            "categoryorder": "array",
            "categoryarray": names,
            "autorange": "reversed",
            "automargin": True,
        },
        barmode="overlay",
        legend=ABOVE,
        height=160 + 24 * len(shown),
    )


def _symbol(symbol: str) -> str:
    return "space" if symbol == " " else html.escape(symbol) or NOTHING


def calibration_figure(readings: Sequence[Reading]) -> go.Figure:
    """Draw the share read right against the confidence; the ideal is the diagonal."""
    bins = confidence_bins([confidence for confidence, _ in readings], [r for _, r in readings])
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GRAY, "dash": "dot"})
    figure.add_scatter(
        x=[b.confidence for b in bins],
        y=[b.right for b in bins],
        text=[f"{b.n} readings" for b in bins],
        mode="lines+markers",
        marker={"size": 9},
        line={"color": BLUE},
    )
    return figure.update_layout(
        title=f"Is the confidence right? Off by {calibration_error(bins):.3f} on average",
        xaxis={"title": "confidence", "range": [-0.02, 1.02]},
        yaxis={"title": "share read right", "range": [-0.02, 1.02]},
        showlegend=False,
        height=HEIGHT_PX,
    )


def confidence_figure(readings: Sequence[Reading]) -> go.Figure:
    """Draw how many right and wrong readings there are by confidence."""
    figure = go.Figure()
    for name, is_right, color in (("right", True, BLUE), ("wrong", False, ORANGE)):
        figure.add_histogram(
            x=[confidence for confidence, right in readings if right == is_right],
            name=name,
            marker_color=color,
            xbins={"start": 0, "end": 1.0001, "size": 0.05},
        )
    return figure.update_layout(
        title="How confident the readings are",
        xaxis={"title": "confidence", "range": [0, 1]},
        yaxis={"title": "pictures", "type": "log"},
        legend=ABOVE,
        height=HEIGHT_PX,
    )


def error_curve(epochs: Sequence[Epoch]) -> go.Figure:
    """Draw the validation CER by epoch."""
    return _curves(epochs, {"cer": ("CER", BLUE)}, "Character error rate, validation split")


def loss_curves(epochs: Sequence[Epoch]) -> go.Figure:
    """Draw the losses of training and validation split by epoch."""
    lines = {"train_loss": ("training", ORANGE), "val_loss": ("validation", BLUE)}
    return _curves(epochs, lines, "Loss")


def _curves(epochs: Sequence[Epoch], lines: dict[str, tuple[str, str]], title: str) -> go.Figure:
    figure = go.Figure()
    for key, (name, color) in lines.items():
        figure.add_scatter(
            x=[record["epoch"] for record in epochs],
            y=[record[key] for record in epochs],
            mode="lines+markers",
            name=name,
            line={"color": color},
        )
    return figure.update_layout(
        title=title,
        xaxis={"title": "epoch", "dtick": max(1, len(epochs) // 10)},
        yaxis={"rangemode": "tozero"},
        legend=ABOVE,
        height=HEIGHT_PX,
    )
