"""Next steps after a search, each by a stated rule with its numbers.

A rule returns no step if its numbers are missing or do not support one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ocrsearch.reports.study_content import Command, Step, StudyContent
from ocrsearch.spaces import Choice, Distribution, Range, Space
from ocrsearch.studies import MIN_COMPLETE, MIN_ENDED, PRACTICALLY_EQUAL, n_ended

FRACTIONS = (0.25, 0.5, 1.0)
"""Fractions of the training split for the learning curve over the number of images."""

MIN_SAVING = 1.0
"""Expected saving in character errors from which more trials are advised, as in a search."""

N_AT_EDGE = 3
"""Number of best trials that must all have a value at the edge of its range."""

EDGE_FRACTION = 0.05
"""Distance from the edge that counts as the edge, as a fraction of a range without steps."""

MAX_NAMES = 30
"""Maximum number of names in a step."""


@dataclass(frozen=True)
class Context:
    """Facts for the commands and rules beyond the content of the report.

    Attributes:
        space: space of the study; None if this version cannot read it.
        data: options that name the data in a command, such as ``{"data": "labels.csv"}``.
        best_seconds: training time of the best trial in seconds.
    """

    space: Space | None
    data: Mapping[str, object]
    best_seconds: float


def next_steps(content: StudyContent, context: Context) -> list[Step]:
    """Return the steps that the numbers of a study support, the most certain first."""
    return [
        *_check_labels(content, context),
        *_search_longer(content, context),
        *_wider_space(content, context.space),
        *_more_images(content),
        *_combine(content),
        *_measure_data(content, context),
    ]


def _check_labels(content: StudyContent, context: Context) -> list[Step]:
    """Advise to check labels that the best networks contradict with one voice."""
    found = content.doubtful
    if not found:
        return []
    n, of = len(found), content.n_validated or 0
    names = tuple(label.name for label in found[:MAX_NAMES])
    reason = (
        f"The {content.n_agreeing} best networks read the same text in {_images(n)} of {of:,}, and "
        f"it differs from the label. Either the label is wrong or the image is hard. Look at "
        f"{'this image' if n == 1 else 'these images'} first"
        + (f" (the first {MAX_NAMES} are named)." if n > MAX_NAMES else ".")
    )
    options = {name: value for name, value in context.data.items() if name != "data"}
    spec = (str(context.data["data"]),) if "data" in context.data else ()
    # reads every image, also those of the training split, with networks that have not seen it
    check = Command("data check", spec, {**options, "study": content.name, **content.storage})
    return [Step(f"Check {_count(n, 'label')}", reason, (check,), names, {"labels": n})]


def _search_longer(content: StudyContent, context: Context) -> list[Step]:
    """Advise for or against more trials, by the expected gain of twice as many."""
    states = content.search.states
    n_trials = sum(states.values())
    run = Command(
        "run",
        options={
            "study": content.name,
            **context.data,
            "trials": 2 * max(n_trials, MIN_ENDED),
            **content.storage,
        },
    )
    n_paused = states["paused"]
    paused = f" The {n_paused} paused trials may be resumed." if n_paused else ""
    saving = content.expected_saving
    if saving is None or content.n_symbols is None:
        few = states["finished"] < MIN_COMPLETE or n_ended(states) < MIN_ENDED
        if content.search.objective != ("cer",) or not few:
            return []
        reason = (
            f"To estimate the gain of more trials, at least {MIN_COMPLETE} must have finished and "
            f"{MIN_ENDED} must have finished, been pruned or been paused; there are "
            f"{states['finished']} and {n_ended(states)}."
        )
        return [Step("Search longer", reason + paused, (run,), numbers={"ended": n_ended(states)})]
    best = content.best
    n_errors = best.rates["cer"].value * content.n_symbols if best else 0.0
    rule = (
        f"Twice as many trials ({2 * n_trials}) are expected to save {saving:.1f} of "
        f"{n_errors:.0f} character errors on {content.n_symbols:,} validation characters. The "
        "estimate is the gain of the last doubling."
    )
    numbers = {"expected_saving": saving, "errors": n_errors}
    if saving < MIN_SAVING:
        rule += f" Less than {MIN_SAVING:g} is not worth the time."
        return [Step("Do not search this space longer", rule, numbers=numbers)]
    return [Step("Search longer", rule + paused, (run,), numbers=numbers)]


def _wider_space(content: StudyContent, space: Space | None) -> list[Step]:
    """Advise to extend the range of a parameter whose best values are all at the same edge."""
    best = content.trials[:N_AT_EDGE]
    if space is None or len(best) < N_AT_EDGE:
        return []
    steps = []
    for parameter in space.parameters:
        values = [trial.params.get(parameter.path) for trial in best]
        edge = common_edge(parameter.distribution, values)
        if edge is None:
            continue
        side, bound = edge
        direction = "larger" if side == "largest" else "smaller"
        trials = ", ".join(str(trial.number) for trial in best)
        reason = (
            f"The best {N_AT_EDGE} trials ({trials}) all have the {side} allowed value, "
            f"{bound:g} ({parameter.distribution.describe()}). Allow {direction} values in a new "
            "study with another space file."
        )
        title = f"Extend the range of {parameter.path} to {direction} values"
        steps.append(Step(title, reason, numbers={"bound": bound}))
    return steps


def common_edge(distribution: Distribution, values: Sequence[object]) -> tuple[str, float] | None:
    """Return "largest" or "smallest" and the bound if all values are at this edge of a range.

    None for a choice that has no order, and at 0, below which there is nothing.
    """
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values) or not numbers:
        return None
    log = False
    if isinstance(distribution, Choice):
        choices = [c for c in distribution.choice if isinstance(c, int | float)]
        if len(choices) < len(distribution.choice) or len(choices) < 2:
            return None
        low, high, near = float(min(choices)), float(max(choices)), 0.0
    elif isinstance(distribution, Range):
        (low, high), log = distribution.bounds, distribution.log
        near = 0.0 if distribution.width else EDGE_FRACTION
    if low == high:
        return None
    if log:
        span = math.log(high / low)
        places = [math.log(v / low) / span for v in numbers]
    else:
        places = [(v - low) / (high - low) for v in numbers]
    margin = near + 1e-9
    if all(place >= 1 - margin for place in places):
        return "largest", float(high)
    if low != 0 and all(place <= margin for place in places):
        return "smallest", float(low)
    return None


def _more_images(content: StudyContent) -> list[Step]:
    """Advise more validation images, as many as the separation needs."""
    found = content.separation
    if found is None or found.n_more is None or found.n_more > PRACTICALLY_EQUAL * found.n:
        return []
    n = float(f"{found.n_more:.2g}")
    reason = (
        f"On {_images(found.n)}, trial {found.best} is not significantly better than "
        f"{len(found.alike)} of the {len(found.compared)} next trials. About {n:,.0f} more "
        f"validation images would distinguish it from trial {found.other} (power 0.8 at a "
        "significance level of 0.05, for the difference measured so far)."
    )
    title = f"Add about {n:,.0f} validation images, or use any of the equally good networks"
    return [Step(title, reason, numbers={"images": n})]


def _combine(content: StudyContent) -> list[Step]:
    """Advise an ensemble if the search cannot distinguish the best networks."""
    found = content.separation
    if found is None or len(found.alike) < 2 or found.no_errors or found.has_folds:
        return []
    reason = (
        f"{len(found.alike)} trials are as good as the best, as far as {_images(found.n)} show. "
        "Networks trained independently make different errors. The command measures the ensemble "
        "on the validation split and prints its CER beside that of the best network."
    )
    options = {"study": content.name, "ensemble": 3, "export": "ensemble.pt", **content.storage}
    command = Command("best", options=options)
    numbers = {"trials": float(len(found.alike))}
    return [Step("Combine the three best networks", reason, (command,), numbers=numbers)]


def _measure_data(content: StudyContent, context: Context) -> list[Step]:
    """Offer the commands that measure the effect of more training images."""
    n_train = content.data.n_samples.get("train", 0)
    best = content.best
    if best is None or not n_train or not context.data:
        return []
    seconds = context.best_seconds * sum(FRACTIONS)
    counts = ", ".join(f"{round(n_train * fraction):,}" for fraction in FRACTIONS)
    reason = (
        "This page cannot tell how much additional training images would help: all trials used the "
        f"same {n_train:,}. These commands train the best configuration on {counts} images, in "
        f"about {duration(seconds)}, and print the validation CER of each. If the CER still falls "
        "from the second to the third, more images will probably help."
    )
    used = context.data.get("train_fraction", 1.0)
    whole = used if isinstance(used, float) else 1.0
    export = {"study": content.name, "export": "best.pt", **content.storage}
    commands = [Command("best", options=export)]
    for fraction in FRACTIONS:
        output = {"output": f"fraction-{fraction:g}.pt"}
        options = {
            "config": "best.pt",
            **context.data,
            "train_fraction": whole * fraction,
            **output,
        }
        commands.append(Command("train", options=options))
    title = "Measure whether more training images help"
    return [Step(title, reason, tuple(commands), numbers={"images": n_train, "seconds": seconds})]


def duration(seconds: float) -> str:
    """Return a duration in words, to two digits."""
    if seconds < 90:
        return _count(round(seconds), "second")
    if seconds < 5400:
        return _count(round(seconds / 60), "minute")
    return f"{seconds / 3600:.1f} hours"


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"


def _images(n: int) -> str:
    return _count(n, "image")
