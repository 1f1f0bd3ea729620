"""Significance test: can the validation split separate the best configurations of a study?

All configurations are evaluated on the same images, so their edits are compared image by image with
the exact two-sided sign-flip test (Fisher, 1935). If two configurations are equally good, the sign
of each difference is random.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import optuna

from ocrsearch.core import StudyError
from ocrsearch.evaluation import EditCounts, read_counts
from ocrsearch.studies.results import BestTrial, best_trials
from ocrsearch.training import VALIDATED

ALPHA = 0.05
"""Significance level of the test."""

POWER_FACTOR = (1.960 + 0.842) ** 2
"""Factor for a power of 0.8 at a two-sided significance level of 0.05."""

PRACTICALLY_EQUAL = 50
"""Multiple of the validation images above which more images are no sensible advice."""

MAX_COMPARED = 10
"""Maximum number of configurations to compare with the best."""

MAX_STEPS = 200_000_000
"""Number of steps above which the normal approximation replaces the exact test."""


@dataclass(frozen=True)
class Separation:
    """Comparison of the best configuration with others on the same images.

    Attributes:
        n: number of validation images.
        best: number of the best trial.
        compared: numbers of the trials compared with the best.
        alike: numbers of the trials without a significant difference from the best.
        other: number of the first of these trials with a different number of edits, None without
            such a trial.
        n_more: estimated number of additional images to separate ``other`` from the best.
        no_errors: whether the best trial makes no error.
        has_folds: whether the study has folds.
        lacks_folds: whether the best trial has not finished all folds.
        p_values: p-value of the test for each trial of ``compared``.
    """

    n: int
    best: int
    compared: list[int]
    alike: list[int]
    other: int | None = None
    n_more: int | None = None
    no_errors: bool = False
    has_folds: bool = False
    lacks_folds: bool = False
    p_values: tuple[float, ...] = ()

    def describe(self) -> list[str]:
        """Return lines for people; empty if all others are significantly worse."""
        if not self.alike:
            return []
        others = f"trial{'s' * (len(self.alike) > 1)} {', '.join(map(str, self.alike))}"
        lines = [f"trial {self.best} is not significantly better than {others} on {self.n} images"]
        if self.n_more is not None and self.n_more > PRACTICALLY_EQUAL * self.n:
            lines[0] += f"; trial {self.other} is practically equal"
        elif self.n_more is not None:
            about = float(f"{self.n_more:.2g}")
            lines[0] += f"; about {about:,.0f} more would separate it from trial {self.other}"
        elif self.no_errors:
            lines[0] += "; none of them makes an error"
        if self.lacks_folds:
            advice = "search longer to finish the other folds, or add labelled images"
        elif self.has_folds:
            advice = "add labelled images; the model is already an ensemble of all folds"
        else:
            advice = "add validation images, or combine the best networks (`ensemble=3`)"
        return [*lines, f"to improve the result, {advice}"]


def compare_best(
    study: optuna.Study, folder: Path, limits: Mapping[str, float] | None = None
) -> Separation | None:
    """Compare the best configuration of a study with the next best that have weights.

    Args:
        study: study with its trials.
        folder: folder of the study.
        limits: upper limits for metrics, see ``best_trials``.

    Returns:
        The comparison; None if there are fewer than two trials to compare, or an older version
        trained them.
    """
    try:
        trials = best_trials(study, folder, limits or {}, None)
    except StudyError:
        return None
    best = trials[0]
    alike = [t for t in trials if t.n_folds == best.n_folds][: MAX_COMPARED + 1]
    known: dict[int, EditCounts] = {}
    for trial in alike:
        counts = validated_counts(trial)
        if counts is not None:
            known[trial.trial] = counts
    found = separation(known) if best.trial in known else None
    if found is None:
        return None
    return replace(found, has_folds=best.epochs[-1].n_folds > 0, lacks_folds=best.lacks_folds)


def validated_counts(trial: BestTrial) -> EditCounts | None:
    """Return the edits of a trial in each validation image, of all finished folds in order.

    None if a file is missing or damaged; older versions did not write it.
    """
    folds = [read_counts(path.with_name(VALIDATED)) for path in trial.all_weights]
    tables = [counts.table() for counts in folds if counts is not None]
    return EditCounts.from_table(np.concatenate(tables)) if len(tables) == len(folds) else None


def separation(counts: Mapping[int, EditCounts]) -> Separation | None:
    """Compare the first configuration with the others.

    Args:
        counts: edits in each image, by trial number, the best trial first. Trials with other
            images than the first trial are skipped.
    """
    (best, first), *others = counts.items()
    others = [(n, c) for n, c in others if np.array_equal(c.symbols, first.symbols)]
    if not others:
        return None
    differences = {number: c.edits - first.edits for number, c in others}
    chances = {n: sign_flip_p(d) for n, d in differences.items()}
    alike = [n for n, p in chances.items() if p >= ALPHA]
    other = next((n for n in alike if differences[n].sum()), None)
    n_more = None if other is None else n_more_images(differences[other])
    no_errors = not first.edits.any()
    return Separation(
        *(len(first.edits), best, list(differences), alike, other, n_more, no_errors),
        p_values=tuple(chances.values()),
    )


def sign_flip_p(differences: np.ndarray) -> float:
    """Return the two-sided p-value of the sign-flip test.

    It is the probability of a sum at least as far from 0 if the sign of each difference is random.

    Args:
        differences: difference of the edits in each image, (N,) integers.
    """
    sizes = np.abs(differences[differences != 0]).astype(np.int64)
    total, observed = int(sizes.sum()), abs(int(differences.sum()))
    if not observed:
        return 1.0
    if len(sizes) * total > MAX_STEPS:
        return math.erfc(observed / math.sqrt(2 * float((sizes**2).sum())))
    chances = np.zeros(2 * total + 1)  # of each sum, from -total to total
    chances[total] = 1.0
    for size in sizes:
        chances = (np.roll(chances, size) + np.roll(chances, -size)) / 2
    sums = np.abs(np.arange(-total, total + 1))
    return float(chances[sums >= observed].sum())


def n_more_images(differences: np.ndarray) -> int:
    """Return the number of additional images needed to detect a difference of this size.

    The usual formula for paired differences gives (z_0.975 + z_0.8)^2 variance / mean^2 images.
    """
    mean, variance = float(differences.mean()), float(differences.var())
    needed = POWER_FACTOR * variance / mean**2
    return max(1, math.ceil(needed) - len(differences))


def separation_content(found: Separation | None) -> dict[str, object] | None:
    """Return plain values for JSON."""
    if found is None:
        return None
    names = ("n", "best", "compared", "alike", "n_more")
    return {name: getattr(found, name) for name in names}
