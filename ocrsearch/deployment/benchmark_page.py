"""The page of a benchmark: error rate against milliseconds, with the size as marker."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import sqrt

import plotly.graph_objects as go

from ocrsearch.core import printable
from ocrsearch.deployment.benchmark import RUNTIME_NAMES, Measurement
from ocrsearch.reports import figure_part, page

SMALLEST_PX, LARGEST_PX = 10.0, 44.0
"""Diameters of the markers; their areas are in proportion to the sizes of the files."""


def benchmark_page(measurements: Sequence[Measurement], about: str) -> str:
    """Return a page with a figure for each number of threads.

    Args:
        measurements: results of ``run_benchmark``.
        about: model files and data, as plain text.
    """
    threads = sorted({m.n_threads for m in measurements if m.cer is not None})
    parts = [f"<h1>Benchmark</h1><p class='soft'>{escape(printable(about))}</p>"]
    parts += [
        figure_part(benchmark_figure([m for m in measurements if m.n_threads == n]))
        for n in threads
    ]
    problems = [f"{m.name}, {RUNTIME_NAMES[m.runtime]}: {m.problem}" for m in measurements]
    lacking = [text for text, m in zip(problems, measurements, strict=True) if m.problem]
    parts += [f"<p>Not measured: {escape(printable(text))}</p>" for text in lacking]
    return page("Benchmark", parts)


def benchmark_figure(measurements: Sequence[Measurement]) -> go.Figure:
    """Return the figure of measurements with the same number of threads."""
    measured = [m for m in measurements if m.cer is not None and m.timings]
    largest = max((m.size_mb for m in measured), default=1.0)
    figure = go.Figure()
    for m in measured:
        timing = m.timings[0]
        assert m.cer is not None
        assert m.cer_low is not None
        assert m.cer_high is not None
        name = escape(printable(f"{m.name}, {RUNTIME_NAMES[m.runtime]}"))
        errors = {"array": [m.cer_high - m.cer], "arrayminus": [m.cer - m.cer_low], "type": "data"}
        size = max(SMALLEST_PX, LARGEST_PX * sqrt(m.size_mb / largest))
        label = f"{name}<br>{m.size_mb:.2f} MB, {m.peak_memory_mb:.0f} MB of memory"
        figure.add_scatter(
            x=[timing.median_ms],
            y=[m.cer],
            error_y={**errors, "symmetric": False, "thickness": 1},
            mode="markers",
            marker={"size": size, "opacity": 0.7},
            name=f"{name} ({m.size_mb:.2f} MB)",
            hovertemplate=f"{label}<br>%{{x:.2f}} ms, CER %{{y:.4f}}<extra></extra>",
        )
    n = measurements[0].n_threads if measurements else 1
    figure.update_layout(
        title=f"{n} thread{'s' * (n != 1)}, one image at a time; area: size of the file",
        xaxis={"title": "milliseconds per image (median)", "rangemode": "tozero"},
        yaxis={"title": "CER with 95 % interval", "rangemode": "tozero"},
        showlegend=True,
    )
    return figure
