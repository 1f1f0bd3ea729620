"""Page of one or more studies: the content as a single HTML file below 2 MB.

The texts are in ``templates/study.html``, which escapes every value. Images with errors fill the
room that the other parts leave; the worst come first.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ocrsearch.core import printable
from ocrsearch.evaluation import rounded_up
from ocrsearch.reports.coverage import coverage_part, coverage_script, coverage_style
from ocrsearch.reports.html import asset, page
from ocrsearch.reports.next_steps import duration
from ocrsearch.reports.study_charts import (
    Chart,
    curve_charts,
    importance_chart,
    parameter_chart,
    plain_value,
)
from ocrsearch.reports.study_content import (
    Command,
    Step,
    StudyContent,
    TrialContent,
    WrongImage,
    are_comparable,
)
from ocrsearch.reports.texts import NOTHING, marked, pair_name

MAX_BYTES = 2_000_000
"""Maximum size of the page."""

RESERVE = 40_000
"""Bytes kept free for the filters, whose options are not known before the images are chosen."""

ARGUMENT = re.compile("`(data|splits|extra_train_data|study|timeout|trials|refit)`")
"""Arguments that messages of the library mark and that are options of commands."""

MAX_STUDIES = 10
MAX_CURVES = 300
"""Maximum number of learning curves on a page."""

MAX_PARAMETERS = 5
"""Maximum number of parameters with a chart."""


@dataclass(frozen=True)
class StudyView:
    """A study with all that the template shows beside its content.

    Attributes:
        study: content of the study.
        id: prefix of the anchors.
        words: description of the best network.
        n_trials: number of trials.
        states: numbers of trials by state, as text.
        test_command: command that evaluates the test split.
        important: parameters with an importance above chance.
        importance_chart: bars of the importances; None without them.
        parameter_charts: CER by the value of the most important parameters.
        curve_charts: learning curves, and error by size and latency.
        n_curves_left_out: number of curves that are not drawn.
        n_edits: number of edits of the best network.
        cards: HTML of the images with errors.
        n_images_left_out: number of images with errors that are not shown.
        filters: name, title, and values with counts of each filter.
        n_more: number of images that separate the best trials, as text.
        steps: next steps with their command lines.
    """

    study: StudyContent
    id: str
    words: str
    n_trials: int
    states: str
    test_command: str
    important: Sequence[str]
    importance_chart: Chart | None
    parameter_charts: Sequence[Chart]
    curve_charts: Sequence[Chart]
    n_curves_left_out: int
    n_edits: int
    cards: Sequence[str]
    n_images_left_out: int
    filters: Sequence[tuple[str, str, Sequence[tuple[str, int]]]]
    n_more: str
    steps: Sequence[tuple[Step, Sequence[str]]]


def study_page(studies: Sequence[StudyContent]) -> str:
    """Return the page of studies as HTML of at most MAX_BYTES bytes."""
    environment = page_environment()
    cards = [_cards(environment, study) for study in studies]
    empty = _render(environment, studies, [[] for _ in studies])
    room = (MAX_BYTES - RESERVE - len(empty.encode())) // max(1, len(studies))
    return _render(environment, studies, [_fitting(found, room) for found in cards])


def page_environment() -> Environment:
    """Return the environment of the templates; all values are escaped."""
    environment = Environment(
        loader=PackageLoader("ocrsearch.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "points": _percentage_points,
        "pair": pair_name,
        "printable": printable,
        "duration": duration,
        "plain": plain_value,
        "coverage": coverage_part,
        "shorten": _shorten,
        "breakable": lambda path: Markup(".<wbr>").join(path.split(".")),
        "for_people": _for_people,
        "rounded_up": rounded_up,
    }
    return environment


def _render(
    environment: Environment, studies: Sequence[StudyContent], cards: Sequence[Sequence[str]]
) -> str:
    names = ", ".join(study.name for study in studies)
    title = f"Search report: {names}"
    views = [
        _view(study, f"s{i}", shown, MAX_CURVES // len(studies))
        for i, (study, shown) in enumerate(zip(studies, cards, strict=True), start=1)
    ]
    body = environment.get_template("study.html").render(
        title=title, views=views, comparable=are_comparable(studies)
    )
    style = asset("study.css") + coverage_style()
    return page(title, [body], style, asset("study.js") + coverage_script())


def _cards(environment: Environment, study: StudyContent) -> list[str]:
    """Return the HTML of each image with errors."""
    template = environment.get_template("error.html")
    found = []
    for image in study.errors.images if study.errors else ():
        label, reading = marked(image.label, image.reading)
        shown = reading or f"<span class='soft'>{NOTHING}</span>"
        found.append(template.render(image=image, label=label, reading=shown))
    return found


def _fitting(cards: Sequence[str], room: int) -> list[str]:
    """Return the first cards that fit into a number of bytes."""
    chosen = []
    for card in cards:
        room -= len(card.encode())
        if room < 0:
            break
        chosen.append(card)
    return chosen


def _view(study: StudyContent, id_: str, cards: Sequence[str], max_curves: int) -> StudyView:
    errors, found = study.errors, study.importances
    states = [f"{n} {state}" for state, n in study.search.states.items() if n]
    parameters = found.parameters if found else []
    curves = study.points[:max_curves]
    separation = study.separation
    n_more = separation.n_more if separation and separation.n_more is not None else 0
    test = Command("report", (study.name,), {"test": True, **study.storage})
    return StudyView(
        study=study,
        id=id_,
        words=_words(study.best) if study.best else "",
        n_trials=sum(study.search.states.values()),
        states=", ".join(states) or "none",
        test_command=command_line(test),
        important=[p.path for p in parameters if p.above_chance],
        importance_chart=importance_chart(parameters) if parameters else None,
        parameter_charts=[parameter_chart(p, study) for p in parameters[:MAX_PARAMETERS]],
        curve_charts=curve_charts(curves, study.points),
        n_curves_left_out=len(study.points) - len(curves),
        n_edits=sum(c.n for c in errors.confusions) if errors else 0,
        cards=cards,
        n_images_left_out=errors.n_wrong - len(cards) if errors else 0,
        filters=_filters(errors.images[: len(cards)]) if errors else (),
        n_more=f"{float(f'{n_more:.2g}'):,.0f}",
        steps=[
            (step, [command_line(command) for command in step.commands]) for step in study.steps
        ],
    )


def _words(best: TrialContent) -> str:
    """Return a description of a network in a few words."""
    parts = [best.architecture or "network"]
    if best.n_parameters is not None:
        parts.append(f"{best.n_parameters:,} weights")
    if best.size_mb is not None:
        parts.append(f"{best.size_mb:.3g} MB")
    if best.latency_ms is not None:
        parts.append(f"{best.latency_ms:.3g} ms for an image of median width")
    return ", ".join(parts)


def _filters(
    images: Sequence[WrongImage],
) -> list[tuple[str, str, Sequence[tuple[str, int]]]]:
    """Return the filters that distinguish the images: name, title and values with counts."""
    pairs = Counter(pair for image in images for pair in image.pairs)
    groups = Counter(image.group for image in images if image.group)
    lengths = Counter(len(image.label) for image in images)
    found: list[tuple[str, str, Sequence[tuple[str, int]]]] = [
        ("pair", "confusion", pairs.most_common()[:200]),
        ("group", "group", sorted(groups.items())[:500]),
        ("length", "characters of the label", [(str(n), k) for n, k in sorted(lengths.items())]),
    ]
    return [(name, title, values) for name, title, values in found if len(values) > 1]


def command_line(command: Command) -> str:
    """Return a command as a line for a shell."""
    words = ["ocrsearch", *command.name.split(), *command.arguments]
    for name, value in command.options.items():
        if value is False:
            continue
        option = f"--{name.replace('_', '-')}"
        words += [option] if value is True else [option, plain_value(value)]
    return shlex.join(words)


def _for_people(text: str) -> str:
    """Return a message of the library with options in place of the arguments that it marks."""
    return ARGUMENT.sub(lambda mark: f"--{mark[1].replace('_', '-')}", text).rstrip(".")


def _percentage_points(rate: float) -> str:
    """Return an error rate in per cent without the sign, with at least two digits."""
    return f"{100 * rate:.2f}" if rate < 0.1 else f"{100 * rate:.1f}"


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
