"""HTML page of an evaluation: error rates with intervals, curves, confusions and the worst errors.

For a decoder with attention the page also shows attention maps for some errors and some correct
lines. The page is a single file and works offline. All text from data or model files is escaped.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ocrsearch.data import LabelledImages
from ocrsearch.evaluation import Confusion, ConfusionMatrix, calibration_error, confidence_bins
from ocrsearch.inference import Evaluation, OnnxModel
from ocrsearch.reports.coverage import coverage_section, coverage_style
from ocrsearch.reports.drawings import attention_maps, draw_attention
from ocrsearch.reports.html import figure_part, page, png_url
from ocrsearch.reports.texts import NOTHING, marked, pair_name
from ocrsearch.training import Epochs, Model

BLUE, ORANGE, GRAY = "#3f7fd6", "#dd7430", "#8a94a3"

MAX_CONFUSIONS = 20
"""Maximum number of confusions in the figure."""

HEIGHT_PX = 360

ABOVE = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"}
"""Layout that places the legend above the figure."""

Reading = tuple[float, bool]
"""Confidence of a prediction, and whether it is correct."""


def matrix_figure(matrix: ConfusionMatrix) -> go.Figure:
    """Draw a confusion matrix; errors have their own colour scale to stand out."""
    names = [html.escape(symbol) for symbol in matrix.symbols]
    rows = matrix.counts.tolist()
    right = [[n if i == j and n else None for j, n in enumerate(row)] for i, row in enumerate(rows)]
    wrong = [[n if i != j and n else None for j, n in enumerate(row)] for i, row in enumerate(rows)]
    figure = go.Figure()
    for counts, color, name in ((right, BLUE, "correct"), (wrong, ORANGE, "wrong")):
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
        title="Confusion matrix",
        xaxis={**axis, "title": "read as", "categoryarray": names},
        yaxis={**axis, "title": "label", "categoryarray": names, "autorange": "reversed"},
        height=max(320, 140 + 30 * len(names)),
    )


def confusions_figure(confusions: Sequence[Confusion]) -> go.Figure:
    """Draw the most frequent confusions as bars, coloured by kind."""
    shown = confusions[:MAX_CONFUSIONS]
    names = [html.escape(pair_name(c)) for c in shown]
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
        xaxis={"title": "count"},
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


def calibration_figure(readings: Sequence[Reading]) -> go.Figure:
    """Draw the fraction of correct predictions by confidence; the diagonal is ideal."""
    bins = confidence_bins([confidence for confidence, _ in readings], [r for _, r in readings])
    figure = go.Figure()
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line={"color": GRAY, "dash": "dot"})
    figure.add_scatter(
        x=[b.confidence for b in bins],
        y=[b.right for b in bins],
        text=[f"{b.n} images" for b in bins],
        mode="lines+markers",
        marker={"size": 9},
        line={"color": BLUE},
    )
    return figure.update_layout(
        title=f"Calibration: expected calibration error {calibration_error(bins):.3f}",
        xaxis={"title": "confidence", "range": [-0.02, 1.02]},
        yaxis={"title": "fraction correct", "range": [-0.02, 1.02]},
        showlegend=False,
        height=HEIGHT_PX,
    )


def confidence_figure(readings: Sequence[Reading]) -> go.Figure:
    """Draw the number of correct and wrong predictions by confidence."""
    figure = go.Figure()
    for name, is_right, color in (("correct", True, BLUE), ("wrong", False, ORANGE)):
        figure.add_histogram(
            x=[confidence for confidence, right in readings if right == is_right],
            name=name,
            marker_color=color,
            xbins={"start": 0, "end": 1.0001, "size": 0.05},
        )
    return figure.update_layout(
        title="Distribution of the confidence",
        xaxis={"title": "confidence", "range": [0, 1]},
        yaxis={"title": "images", "type": "log"},
        legend=ABOVE,
        height=HEIGHT_PX,
    )


def error_curve(epochs: Epochs) -> go.Figure:
    """Draw the validation CER by epoch."""
    return _curves(epochs, {"cer": ("CER", BLUE)}, "Character error rate, validation split")


def loss_curves(epochs: Epochs) -> go.Figure:
    """Draw the training and validation loss by epoch."""
    lines = {"train_loss": ("training", ORANGE), "val_loss": ("validation", BLUE)}
    return _curves(epochs, lines, "Loss")


def _curves(epochs: Epochs, lines: dict[str, tuple[str, str]], title: str) -> go.Figure:
    figure = go.Figure()
    for key, (name, color) in lines.items():
        figure.add_scatter(
            x=[record.epoch for record in epochs],
            y=[getattr(record, key) for record in epochs],
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


MAX_ERRORS = 60
"""Maximum number of errors shown on a page."""

MAX_WRONG_MAPS, MAX_RIGHT_MAPS = 8, 4
"""Number of attention maps for the worst errors and for the first correct lines."""

MAX_DRAWN_SYMBOLS = 40
"""Maximum size of a readable matrix; above it the most frequent confusions are drawn instead."""

TILES = {
    "exact": "exact match",
    "cer": "character error rate",
    "wer": "word error rate",
    "ser": "sequence error rate",
}

STYLE = """
.tiles { display: grid; gap: .75rem; margin-top: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); }
.tile, .error { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .75rem 1rem; min-width: 0; }
.tile b { display: block; font-size: 1.7rem; font-weight: 600; line-height: 1.3; }
.note { border-left: 3px solid var(--bad); padding-left: .75rem; margin-top: 1rem; }
.errors { display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); }
.errors.single { grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr)); }
.error img { display: block; max-width: 100%; max-height: 6rem; margin-bottom: .5rem; }
.single img { height: 4.5rem; image-rendering: pixelated; }
.error dl { display: grid; grid-template-columns: auto 1fr; gap: 0 .75rem; margin: 0; }
.error dt { color: var(--soft); }
.error dd { margin: 0; white-space: pre-wrap; }
.maps { display: flex; flex-wrap: wrap; gap: .75rem; margin-top: .75rem; }
.map { max-width: 100%; }
.map svg { display: block; margin-bottom: .5rem; }
.map image { image-rendering: pixelated; }
.map text { fill: var(--ink); font-size: 13px; text-anchor: end; }
.error p { font-size: .85rem; margin-top: .35rem; }
mark { border-radius: .2rem; padding: 0 .1em; }
.label mark { color: var(--good); background: var(--good-paper); }
.read mark { color: var(--bad); background: var(--bad-paper); }
"""


@dataclass(frozen=True)
class Subject:
    """Subject of an evaluation, for the heading of the page.

    Attributes:
        model: name of the model file.
        data: specification of the dataset.
        split: evaluated split, or "all".
        decoder: description of the decoder.
        n_bad: number of skipped samples.
        unknown_symbols: characters of the labels outside the charset of the model.
        n_views: number of widths for test-time augmentation. With more than 1, as with several
            networks, no attention is drawn.
    """

    model: str
    data: str
    split: str
    decoder: str
    n_bad: int
    unknown_symbols: Sequence[str]
    n_views: int = 1


def evaluation_page(
    subject: Subject, bundle: Model, data: LabelledImages, evaluation: Evaluation
) -> str:
    """Return the page as HTML.

    Args:
        subject: facts for the heading.
        bundle: model, for learning curves and provenance.
        data: labelled images.
        evaluation: evaluation of these images, in the same order.
    """
    predictions = zip(evaluation.predictions, evaluation.references, strict=True)
    readings = [(p.confidence, p.text == reference) for p, reference in predictions]
    epochs, curves = bundle.provenance.epochs, ""
    if epochs:
        heading = "Learning curves" + (" of the first network" if len(bundle.members) > 1 else "")
        curves = _figures(heading, [error_curve(epochs), loss_curves(epochs)])
    parts = [
        _summary(subject, evaluation),
        _confusions(evaluation),
        _worst(data, evaluation),
        _attention(bundle, data, evaluation) if subject.n_views == 1 else "",
        _figures("Confidence", [calibration_figure(readings), confidence_figure(readings)]),
        coverage_section(readings),
        curves,
        _provenance(subject, bundle),
    ]
    return page(f"{subject.model}: evaluation", parts, STYLE + coverage_style())


def _summary(subject: Subject, evaluation: Evaluation) -> str:
    """Return the heading, and a tile for each error rate with its interval."""
    part = "all" if subject.split == "all" else f"the {subject.split} split"
    skipped = f", {subject.n_bad} skipped as unusable" if subject.n_bad else ""
    n_images = evaluation.metrics.n
    images = f"{n_images} image{'s' * (n_images != 1)}{skipped}"
    line = f"{part} of {subject.data}: {images}, {subject.decoder}"
    head = f"<h1>{html.escape(subject.model)}</h1><p class='soft'>{html.escape(line)}</p>"
    if subject.unknown_symbols:
        unknown = html.escape(" ".join(subject.unknown_symbols))
        note = f"Characters outside the model's charset count as errors: {unknown}"
        head += f"<p class='note'>{note}</p>"
    tiles = []
    for name, meaning in TILES.items():
        low, high = (100 * rate for rate in evaluation.intervals[name])
        tiles.append(
            f"<div class='tile'><span class='soft'>{meaning}</span>"
            f"<b>{100 * getattr(evaluation.metrics, name):.2f} %</b>"
            f"<span class='soft'>95 % interval {low:.2f} to {high:.2f}</span></div>"
        )
    return f"{head}<div class='tiles'>{''.join(tiles)}</div>"


def _confusions(evaluation: Evaluation) -> str:
    """Return the confusion matrix or the most frequent confusions, and a report by character."""
    matrix, parts = evaluation.matrix, []
    if matrix and len(matrix.symbols) <= MAX_DRAWN_SYMBOLS:
        parts.append(figure_part(matrix_figure(matrix)))
    elif evaluation.confusions:
        parts.append(figure_part(confusions_figure(evaluation.confusions)))
    if matrix:
        columns = ("precision", "recall", "f1-score", "support")
        rows = [["", *columns]]
        for name, values in matrix.report_values.items():
            if isinstance(values, dict):
                figures = [f"{values[c]:.4f}" for c in columns[:3]]
                rows.append([name, *figures, f"{values['support']:.0f}"])
        parts.append(f"<div class='wide'>{_table(rows)}</div>")
    return f"<h2>Confusions</h2><div class='figures'>{''.join(parts)}</div>" if parts else ""


def _worst(data: LabelledImages, evaluation: Evaluation) -> str:
    """Return the worst errors, each with its image, label and prediction."""
    worst = evaluation.worst()
    if not worst:
        return "<h2>Errors</h2><p>All images were recognised correctly.</p>"
    cards = [
        f"<div class='error'><img alt='{html.escape(evaluation.references[i])}' "
        f"src='{png_url(data.images[i])}'>{_texts(evaluation, i)}</div>"
        for i in worst[:MAX_ERRORS]
    ]
    n = f"{len(worst)} image{'s' * (len(worst) != 1)} with errors"
    shown = f"{n}; the worst {MAX_ERRORS}" if len(worst) > MAX_ERRORS else f"{n}, the worst first"
    kind = "errors single" if evaluation.matrix else "errors"
    return f"<h2>Errors</h2><p class='soft'>{shown}</p><div class='{kind}'>{''.join(cards)}</div>"


def _texts(evaluation: Evaluation, i: int) -> str:
    """Return the label and the prediction of an image, with their differences marked."""
    prediction = evaluation.predictions[i]
    label, read = marked(evaluation.references[i], prediction.text)
    read = read or f"<span class='soft'>{NOTHING}</span>"
    return (
        f"<dl><dt>label</dt><dd class='label' dir='auto'>{label}</dd>"
        f"<dt>read</dt><dd class='read' dir='auto'>{read}</dd></dl>"
        f"<p class='soft'>confidence {prediction.confidence:.2f}, "
        f"{html.escape(evaluation.names[i])}</p>"
    )


def _attention(bundle: Model, data: LabelledImages, evaluation: Evaluation) -> str:
    """Return attention maps for the worst errors and some correct lines, of a model in PyTorch."""
    is_single = len(bundle.members) == 1  # an ensemble has no common map
    if not bundle.config.model.has_attention or not is_single or isinstance(bundle, OnnxModel):
        return ""
    from ocrsearch.training import Bundle  # loads torch

    assert isinstance(bundle, Bundle)
    wrong = evaluation.worst()
    right = [i for i in range(len(data)) if i not in set(wrong)]
    shown = [*wrong[:MAX_WRONG_MAPS], *right[:MAX_RIGHT_MAPS]]
    maps = attention_maps(bundle, [(data.images[i], evaluation.predictions[i].text) for i in shown])
    cards = [
        f"<div class='error wide map'>{draw_attention(drawn)}{_texts(evaluation, i)}</div>"
        for i, drawn in zip(shown, maps, strict=True)
    ]
    note = "Each row is a character of the output; darker areas have more attention."
    return f"<h2>Attention</h2><p class='soft'>{note}</p><div class='maps'>{''.join(cards)}</div>"


def _figures(heading: str, figures: Iterable[go.Figure]) -> str:
    drawn = "".join(figure_part(figure) for figure in figures)
    return f"<h2>{heading}</h2><div class='figures'>{drawn}</div>"


def _provenance(subject: Subject, bundle: Model) -> str:
    """Return a table of the origin of the model: its data, training and validation metrics."""
    facts: dict[str, object] = {"model file": subject.model, "evaluated on": subject.data}
    architecture = bundle.config.model.architecture
    n_members = len(bundle.members)
    more = f", the first of {n_members} networks in an ensemble" if len(bundle.members) > 1 else ""
    facts["architecture"] = f"{architecture}{more}"
    facts["characters"] = f"{len(bundle.charset)}: {' '.join(bundle.charset.symbols)}"
    known = bundle.provenance.to_plain()
    facts |= {key: value for key, value in known.items() if key != "epochs"}
    facts["trained on"] = facts.pop("data", "?")
    for key, value in bundle.metrics.items():
        facts[f"validation {key}" if key in TILES else key] = value
    rows = [[name.replace("_", " "), _plain(value)] for name, value in facts.items()]
    return f"<h2>Provenance</h2>{_table(rows)}"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(v)}" for key, v in value.items())
    if isinstance(value, list):
        return "; ".join(map(_plain, value))
    return f"{value:.5g}" if isinstance(value, float) else str(value)


def _table(rows: Sequence[Sequence[str]]) -> str:
    body = "".join(
        f"<tr><th>{html.escape(row[0])}</th>"
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return f"<table>{body}</table>"
