"""How many texts need no check: those that a model accepts at a confidence, and their errors.

The page shows the curve with a slider (``templates/coverage.js``). Without a script it shows the
curve and the table of promises.
"""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ocrsearch.evaluation import accept, images_needed, rounded_up, upper_error_bound
from ocrsearch.reports.charts import Series, cursor_chart, percent
from ocrsearch.reports.html import asset

PROMISES = (0.005, 0.01, 0.02, 0.05)
"""Error rates in the table."""

MAX_POINTS = 200
"""Maximum number of places of the slider."""

MIN_SHOWN, BOUND_RATIO = 0.05, 1.5
"""The upper bound is drawn up to this rate, and up to this multiple of the largest error rate."""


@dataclass(frozen=True)
class CoveragePoint:
    """Texts with at least some confidence.

    Attributes:
        confidence: lowest confidence.
        n_accepted: number of texts.
        n_wrong: number of texts with an error.
        upper_bound: upper 95 % bound of their error rate.
    """

    confidence: float
    n_accepted: int
    n_wrong: int
    upper_bound: float


@dataclass(frozen=True)
class Promise:
    """An error rate that is promised for the texts with at least some confidence.

    Attributes:
        max_error: promised error rate.
        confidence: lowest confidence; None if none keeps the promise.
        coverage: fraction of the texts with at least this confidence.
        n_needed: estimated number of images for the promise; None if there is a confidence, or if
            too many of the most confident texts have an error.
    """

    max_error: float
    confidence: float | None
    coverage: float
    n_needed: int | None


@dataclass(frozen=True)
class CoverageContent:
    """Coverage and error of a model at each confidence.

    Attributes:
        n: number of labelled images.
        points: texts by descending confidence; some are left out if there are many.
        promises: promised error rates.
    """

    n: int
    points: Sequence[CoveragePoint]
    promises: Sequence[Promise]

    def promise(self, max_error: float) -> Promise:
        """Return the promise of an error rate in PROMISES."""
        return next(p for p in self.promises if p.max_error == max_error)


def coverage_content(
    confidences: Sequence[float], is_right: Sequence[bool]
) -> CoverageContent | None:
    """Return coverage and error at each confidence; None without texts.

    Args:
        confidences: confidence of each text, 0 to 1.
        is_right: whether each text has no error.
    """
    n = len(confidences)
    if n == 0:
        return None
    order = np.argsort(-np.asarray(confidences, np.float64), kind="stable")
    ranked = np.asarray(confidences, np.float64)[order]
    n_wrong = np.cumsum(~np.asarray(is_right, bool)[order])
    ends = np.flatnonzero(np.append(np.diff(ranked) < 0, True))  # equal ones belong together
    if len(ends) > MAX_POINTS:
        ends = ends[np.linspace(0, len(ends) - 1, MAX_POINTS).round().astype(int)]
    points = [
        CoveragePoint(
            float(ranked[i]),
            int(i) + 1,
            int(n_wrong[i]),
            upper_error_bound(int(n_wrong[i]), int(i) + 1),
        )
        for i in ends
    ]
    promises = []
    for max_error in PROMISES:
        found = accept(confidences, is_right, max_error)
        needed = None if found else images_needed(confidences, is_right, max_error)
        coverage = found.coverage if found else 0.0
        threshold = found.threshold if found else None
        promises.append(Promise(max_error, threshold, coverage, needed))
    return CoverageContent(n, points, promises)


def coverage_style() -> str:
    """Return the style sheet of the part."""
    return asset("coverage.css")


def coverage_script() -> str:
    """Return the script that moves the cursor of each part on a page."""
    return asset("coverage.js")


def coverage_part(content: CoverageContent) -> str:
    """Return the curve, the slider and the table of promises as HTML."""
    points = content.points
    shares = [100 * p.n_accepted / content.n for p in points]
    errors = [p.n_wrong / p.n_accepted for p in points]
    limit = max(MIN_SHOWN, BOUND_RATIO * max(errors))
    bounds = [p.upper_bound if p.upper_bound <= limit else float("nan") for p in points]
    title = "Error of the accepted texts by their share"
    chart, places = cursor_chart(
        [Series("error", "line-1", shares, errors), Series("bound", "line-2", shares, bounds)],
        *(title, "accepted texts in %", "texts with an error"),
    )
    rows = [
        (p.confidence, p.n_accepted, p.n_wrong, p.upper_bound, *place)
        for p, place in zip(points, places, strict=True)
    ]
    data = html.escape(json.dumps({"n": content.n, "rows": rows}), quote=True)
    last = len(points) - 1
    legend = "".join(
        f"<span><svg viewBox='0 0 28 14'><path class='{style}' d='M2 7H26'/></svg>{name}</span>"
        for style, name in (("line-1", "error"), ("line-2", "upper 95 % bound"))
    )
    return (
        f"<div class='coverage' data-points=\"{data}\"><figure><figcaption>{title}</figcaption>"
        f"{chart}<div class='legend'>{legend}</div></figure>"
        "<label class='slider' hidden>Lowest confidence of an accepted text, from high to low"
        f"<input type='range' min='0' max='{last}' value='{last}'></label>"
        "<p class='chosen' aria-live='polite'></p>"
        f"{_table(content)}</div>"
    )


def coverage_section(readings: Sequence[tuple[float, bool]]) -> str:
    """Return the part with its heading and script; empty without texts.

    Args:
        readings: confidence of each text, and whether it has no error.
    """
    content = coverage_content([c for c, _ in readings], [right for _, right in readings])
    if content is None:
        return ""
    script = f"<script>{coverage_script()}</script>"
    return f"<h2>How many texts need no check</h2>{coverage_part(content)}{script}"


def _table(content: CoverageContent) -> str:
    """Return the table of promises."""
    rows = []
    for promise in content.promises:
        if promise.confidence is not None:
            cells = f"{promise.confidence:.4g}", f"{100 * promise.coverage:.1f} %"
        elif promise.n_needed is not None:
            cells = (
                "too few images",
                f"needs about {rounded_up(promise.n_needed):,} images, there are {content.n:,}",
            )
        else:
            cells = "none", "too many of the most confident texts have an error"
        columns = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f"<tr><th scope='row'>{percent(promise.max_error)}</th>{columns}</tr>")
    heads = "".join(
        f"<th scope='col'>{head}</th>"
        for head in ("largest error rate", "lowest confidence", "texts that need no check")
    )
    return (
        f"<div class='wide'><table><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></div><p class='soft'>An error rate holds with 95 % certainty for images of the "
        "same kind. An export of the model can store one of these confidences. Then every way to "
        "use the model marks the texts below it.</p>"
    )
