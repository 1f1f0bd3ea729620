"""Whether a validation split can tell the best configurations of a study apart.

They all read the same images, so their edits are compared image by image: the exact two-sided
sign-flip test (Fisher, 1935) on the differences. If two configurations were equally good, either
could as well have made the other's edits in each image.
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
"""Probability below which a difference is taken for a real one."""

POWER_FACTOR = (1.960 + 0.842) ** 2
"""For a difference to be found with a probability of 0.8 at a level of 0.05, two-sided."""

MAX_COMPARED = 10
"""Configurations that are compared with the best, if their weights are kept."""

MAX_STEPS = 200_000_000
"""Number of steps above which the normal approximation replaces the exact test."""


@dataclass(frozen=True)
class Separation:
    """How the best configuration compares with others on the same images.

    Attributes:
        n: number of validation images.
        best: number of the best trial.
        compared: numbers of the trials that were compared with it.
        alike: numbers of those trials that cannot be distinguished from the best.
        other: number of the best such trial with another number of edits, None without any.
        n_more: number of further images that would separate it from the best.
        no_errors: whether the best made no error.
        has_folds: whether the study has folds.
        lacks_folds: whether the best is not trained on all of them yet.
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

    def describe(self) -> list[str]:
        """Return the comparison in lines for people, none if all others are worse."""
        if not self.alike:
            return []
        trials = _trials(self.alike)
        them = f"{len(self.alike)} of the {len(self.compared)} compared with it"
        lines = [f"trial {self.best} cannot be told from {them} on {self.n} images: {trials}"]
        if self.other is not None:
            lines[0] += (
                f"; to tell it from trial {self.other} takes about {self.n_more} more "
                "validation images"
            )
        elif self.no_errors:
            lines[0] += "; none of them makes an error there"
        if self.lacks_folds:
            helps = "more time, for the other folds, or more labelled images"
        elif self.has_folds:
            helps = "more labelled images; the model joins the networks of all folds already"
        else:
            helps = "more validation images, or the best networks together (`ensemble=3`)"
        return [*lines, f"what helps: {helps}"]


def compare_best(
    study: optuna.Study, folder: Path, limits: Mapping[str, float] | None = None
) -> Separation | None:
    """Compare the best configuration of a study with the next ones whose weights are kept.

    Args:
        study: study with its trials.
        folder: folder of the study.
        limits: see ``best_trials``.

    Returns:
        None if there are not two to compare, or an older version trained them.
    """
    try:
        trials = best_trials(study, folder, limits or {}, None)
    except StudyError:
        return None
    alike = [t for t in trials if t.n_folds == trials[0].n_folds][: MAX_COMPARED + 1]
    known = [(trial.trial, counts) for trial in alike if (counts := _counts(trial))]
    if not known or known[0][0] != trials[0].trial:
        return None
    found = separation(dict(known))
    if found is None:
        return None
    best = trials[0]
    return replace(found, has_folds=best.epochs[-1].n_folds > 0, lacks_folds=best.lacks_folds)


def separation(counts: Mapping[int, EditCounts]) -> Separation | None:
    """Compare the first of some configurations with the others.

    Args:
        counts: edits in each image by the number of the trial, the best first; those of other
            images than the first's are skipped.
    """
    (best, first), *others = counts.items()
    others = [(n, c) for n, c in others if np.array_equal(c.symbols, first.symbols)]
    if not others:
        return None
    differences = {number: c.edits - first.edits for number, c in others}
    alike = [n for n, d in differences.items() if sign_flip_p(d) >= ALPHA]
    other = next((n for n in alike if differences[n].sum()), None)
    n_more = None if other is None else n_more_images(differences[other])
    no_errors = not first.edits.any()
    return Separation(len(first.edits), best, list(differences), alike, other, n_more, no_errors)


def sign_flip_p(differences: np.ndarray) -> float:
    """Return the probability of a sum as far from 0 if the sign of each difference were random.

    Args:
        differences: integers, one an image.
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
    """Return the number of further images with which a difference like this one would be found.

    By the usual formula for paired differences: (z_0.975 + z_0.8)^2 variance / mean^2 images.
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


def _counts(trial: BestTrial) -> EditCounts | None:
    """Return the edits of a trial in the images of its folds; None if they are not known."""
    found = [read_counts(path.with_name(VALIDATED)) for path in trial.all_weights]
    tables = [counts.table() for counts in found if counts is not None]
    return EditCounts.from_table(np.concatenate(tables)) if len(tables) == len(found) else None


def _trials(numbers: list[int]) -> str:
    shown = ", ".join(map(str, numbers))
    return f"trial {shown}" if len(numbers) == 1 else f"trials {shown}"
