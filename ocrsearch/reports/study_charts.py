"""Charts of the report of a study, from its content: importances, parameters, curves and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ocrsearch.reports.charts import Series, bars_chart, lines_chart, number, percent, points_chart
from ocrsearch.reports.study_content import StudyContent, TrialPoint
from ocrsearch.studies import Importance

MAX_BARS = 12
"""Maximum number of bars of importances."""

N_HIGHLIGHTED = 3
"""Number of best trials with a line of their own among the learning curves."""


@dataclass(frozen=True)
class Chart:
    """A chart with its caption, and the names and styles of its legend."""

    title: str
    svg: str
    legend: Sequence[tuple[str, str]] = ()


def importance_chart(parameters: Sequence[Importance]) -> Chart:
    """Return the importances as bars."""
    bars = {p.path.rpartition(".")[2]: p.share for p in parameters[:MAX_BARS]}
    solid = [p.path.rpartition(".")[2] for p in parameters if p.above_chance]
    title = "Importance of the parameters"
    if len(parameters) > MAX_BARS:
        title += f", the first {MAX_BARS} of {len(parameters)}"
    return Chart(title, bars_chart(bars, title, solid))


def parameter_chart(parameter: Importance, study: StudyContent) -> Chart:
    """Return the CER at the common number of epochs by the value of a parameter."""
    best = {trial.number for trial in study.trials[:N_HIGHLIGHTED]}
    named = any(isinstance(value, bool | str) for value in parameter.values)
    order = sorted(
        range(len(parameter.values)), key=lambda i: str(parameter.values[i]) if named else ""
    )
    rows = [
        (
            str(parameter.values[i]) if named else parameter.values[i],
            parameter.cers[i],
            parameter.trials[i],
        )
        for i in order
    ]
    series = []
    for name, style, inside in (("other trials", "", False), (_best_name(best), "best", True)):
        own = [row for row in rows if (row[2] in best) == inside]
        if own:
            titles = [f"trial {n}: {plain_value(x)}, CER {percent(cer)}" for x, cer, n in own]
            series.append(
                Series(name, style, [x for x, _, _ in own], [y for _, y, _ in own], titles)
            )
    title = parameter.path
    n_epochs = study.importances.epoch if study.importances else 0
    svg = points_chart(series, f"CER by {title}", "value", f"CER within {n_epochs} epochs")
    return Chart(title, svg, [(s.name, f"dots {s.style}") for s in series])


def _best_name(best: set[int]) -> str:
    return f"lowest CERs: trial{'s' * (len(best) > 1)} {', '.join(map(str, sorted(best)))}"


def curve_charts(curves: Sequence[TrialPoint], points: Sequence[TrialPoint]) -> list[Chart]:
    """Return the learning curves, and the error by size and by latency where these differ."""
    if not points:
        return []
    lines = []
    for i, point in reversed(list(enumerate(curves))):  # the best are drawn last
        style = f"line-{i + 1}" if i < N_HIGHLIGHTED else "other"
        name = f"trial {point.number}" if i < N_HIGHLIGHTED else "others"
        x = [float(k) for k in range(1, len(point.curve) + 1)]
        lines.append(Series(name, style, x, point.curve))
    legend = [(s.name, s.style) for s in reversed(lines[-N_HIGHLIGHTED:])]
    if len(lines) > N_HIGHLIGHTED:
        n = len(lines) - N_HIGHLIGHTED
        legend.append((f"{n} other{'s' * (n != 1)}", "other"))
    title = "Learning curves"
    svg = lines_chart(lines, title, "epoch", "validation CER")
    charts = [Chart(title, svg, legend)]
    for title, x_title, attribute in (
        ("Error against size", "size in MB (float32)", "size_mb"),
        ("Error against latency", "latency in ms", "latency_ms"),
    ):
        known = [point for point in points if getattr(point, attribute) is not None]
        if len({getattr(point, attribute) for point in known}) > 1:  # one size shows nothing
            best = {point.number for point in points[:N_HIGHLIGHTED]}
            charts.append(_cost_chart(title, x_title, attribute, known, best))
    return charts


def _cost_chart(
    title: str, x_title: str, attribute: str, points: Sequence[TrialPoint], best: set[int]
) -> Chart:
    """Return the lowest CER of each trial by its size or latency.

    Args:
        title: caption.
        x_title: title of the axis.
        attribute: "size_mb" or "latency_ms".
        points: trials with a known value.
        best: numbers of the best trials, to highlight.
    """
    top = [point for point in points if point.number in best]
    rest = [point for point in points if point.number not in best]
    finished = [point for point in rest if point.state == "finished"]
    others = [point for point in rest if point.state != "finished"]
    series = [
        _cost_series("pruned, paused or unfinished trials", "weak", attribute, others),
        _cost_series("other finished trials", "", attribute, finished),
        _cost_series(_best_name({point.number for point in top}), "best", attribute, top),
    ]
    series = [s for s in series if s.x]
    svg = points_chart(series, title, x_title, "lowest validation CER")
    return Chart(title, svg, [(s.name, f"dots {s.style}") for s in series])


def _cost_series(name: str, style: str, attribute: str, points: Sequence[TrialPoint]) -> Series:
    x = [float(getattr(point, attribute)) for point in points]
    titles = [
        f"trial {point.number}, {point.state}: {number(value)}, CER {percent(point.cer)}"
        for point, value in zip(points, x, strict=True)
    ]
    return Series(name, style, x, [point.cer for point in points], titles)


def plain_value(value: object) -> str:
    """Return a value of a parameter or an option as text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
