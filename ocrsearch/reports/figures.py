"""Plotly figures of a study, for notebooks: ``Study.figures()``.

The report of ``ocrsearch report`` has charts of its own, see ``charts.py``. A study is
converted to plain tuples, and these to figures, so each step can be tested alone.
Parameter importances and parallel coordinates come from Optuna, with shortened names.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import optuna
import plotly.graph_objects as go
from optuna.trial import TrialState

from ocrsearch.reports.html import TEMPLATE
from ocrsearch.studies import is_paused, learning_curves, trial_epochs
from ocrsearch.training import Epochs, best_epoch

MIN_TRIALS_FOR_IMPORTANCE = 4
NAMED_CURVES = 20
"""Number of named curves; more colours are hard to distinguish."""

DRAWN_LINES = 300


@dataclass(frozen=True)
class TrialPoint:
    """Data of a trial for the figures."""

    number: int
    state: str
    cer: float
    architecture: str
    size_mb: float | None


def trial_points(study: optuna.Study) -> list[TrialPoint]:
    """Return the trials that reported a CER, with their lowest CER."""
    points = []
    for trial in study.get_trials(deepcopy=False):
        values = [*trial.intermediate_values.values()]
        if values:
            attrs = trial.user_attrs
            architecture = str(attrs.get("architecture", "?"))
            size = attrs.get("size_mb")
            state = "paused" if is_paused(trial) else trial.state.name.lower()
            epochs = trial_epochs(trial)
            cer = best_epoch(epochs).cer if epochs else min(values)
            points.append(TrialPoint(trial.number, state, cer, architecture, size))
    return points


def optimization_history(points: Sequence[TrialPoint]) -> go.Figure:
    """Draw the CER of each trial, and the best CER so far."""
    figure = go.Figure()
    for state in sorted({p.state for p in points}):
        group = [p for p in points if p.state == state]
        figure.add_scatter(
            x=[p.number for p in group],
            y=[p.cer for p in group],
            mode="markers",
            name=state,
            text=[p.architecture for p in group],
        )
    complete = [p for p in points if p.state == "complete"]
    best = list(itertools.accumulate((p.cer for p in complete), min))
    numbers = [p.number for p in complete]
    figure.add_scatter(x=numbers, y=best, mode="lines", line_shape="hv", name="best so far")
    return _titled(figure, "Optimisation history", "trial", "validation CER")


def learning_curves_figure(curves: dict[int, Epochs]) -> go.Figure:
    """Draw the validation CER of every trial by epoch; only the best trials are named."""

    def lowest(number: int) -> float:
        return min((record.cer for record in curves[number]), default=1.0)

    best = set(sorted(curves, key=lowest)[:NAMED_CURVES])
    others = [epochs for number, epochs in curves.items() if number not in best]
    figure = go.Figure()
    if others:  # None ends a line
        figure.add_scatter(
            x=[x for epochs in others for x in (*_line(epochs, "epoch"), None)],
            y=[y for epochs in others for y in (*_line(epochs, "cer"), None)],
            mode="lines",
            line={"width": 1, "color": "rgba(128, 128, 128, 0.4)"},
            name=f"{len(others)} others",
        )
    for number in sorted(best):
        figure.add_scatter(
            x=_line(curves[number], "epoch"),
            y=_line(curves[number], "cer"),
            mode="lines+markers",
            marker_size=4,
            name=f"trial {number}",
        )
    return _titled(figure, "Learning curves", "epoch", "validation CER")


def _line(epochs: Epochs, name: Literal["epoch", "cer"]) -> list[float | None]:
    """Return a value of each epoch, with None between folds."""
    values: list[float | None] = []
    for i, record in enumerate(epochs):
        if i and record.fold != epochs[i - 1].fold:
            values.append(None)
        values.append(getattr(record, name))
    return values


def error_against_size(points: Sequence[TrialPoint]) -> go.Figure | None:
    """Draw the CER of finished trials by model size, with a line through the Pareto front.

    None if no finished trial has a known size.
    """
    sized = sorted(
        (p for p in points if p.size_mb is not None and p.state == "complete"),
        key=lambda p: (p.size_mb or 0.0, p.cer),
    )
    if not sized:
        return None
    figure = go.Figure()
    for architecture in sorted({p.architecture for p in sized}):
        group = [p for p in sized if p.architecture == architecture]
        figure.add_scatter(
            x=[p.size_mb for p in group],
            y=[p.cer for p in group],
            mode="markers",
            name=architecture,
            text=[f"trial {p.number}" for p in group],
        )
    lowest = [float("inf"), *itertools.accumulate((p.cer for p in sized), min)]
    front = [p for p, before in zip(sized, lowest, strict=False) if p.cer < before]
    figure.add_scatter(
        x=[p.size_mb for p in front],
        y=[p.cer for p in front],
        mode="lines",
        line_shape="hv",
        name="Pareto front",
    )
    return _titled(figure, "Error against model size", "size in MB (fp32)", "validation CER")


def parameter_importances(study: optuna.Study) -> go.Figure | None:
    """Draw parameter importances by PED-ANOVA; None if there are too few finished trials."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < MIN_TRIALS_FOR_IMPORTANCE:
        return None
    try:
        with warnings.catch_warnings():  # Optuna warns that the method is experimental
            warnings.simplefilter("ignore")
            importances = optuna.importance.get_param_importances(
                study, target=lambda trial: trial.values[0]
            )
    except (ValueError, RuntimeError):  # all values equal, or no parameter in all trials
        return None
    if not importances:
        return None
    names = list(importances)[::-1]
    figure = go.Figure(
        go.Bar(x=[importances[n] for n in names], y=[_short(n) for n in names], orientation="h")
    )
    return _titled(figure, "Parameter importances", "importance", "")


def parallel_coordinates(study: optuna.Study) -> go.Figure | None:
    """Draw the best finished trials over their common parameters; None if there are none."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    shared = set.intersection(*(set(t.params) for t in complete)) if complete else set()
    if not shared:
        return None
    drawn = optuna.create_study(directions=study.directions)
    drawn.add_trials(sorted(complete, key=lambda trial: trial.values[0])[:DRAWN_LINES])
    figure = optuna.visualization.plot_parallel_coordinate(
        drawn, params=sorted(shared), target=lambda trial: trial.values[0], target_name="CER"
    )
    figure.layout.xaxis.ticktext = ["CER", *map(_short, sorted(shared))]  # Optuna truncates them
    title = "Parallel coordinates"
    if len(complete) > DRAWN_LINES:
        title += f" of the best {DRAWN_LINES}"
    return figure.update_layout(title=title, template=TEMPLATE)


def study_figures(study: optuna.Study) -> list[go.Figure]:
    """Return the figures for which the study has data."""
    points, curves = trial_points(study), learning_curves(study)
    figures = [
        optimization_history(points) if points else None,
        learning_curves_figure(curves) if any(curves.values()) else None,
        parameter_importances(study),
        parallel_coordinates(study),
        error_against_size(points),
    ]
    return [figure for figure in figures if figure is not None]


def _titled(figure: go.Figure, title: str, x: str, y: str) -> go.Figure:
    figure.update_layout(title=title, xaxis_title=x, yaxis_title=y, template=TEMPLATE)
    return figure.update_yaxes(rangemode="nonnegative")


def _short(path: str) -> str:
    return path.rpartition(".")[2]
