"""Configurations that were trained before: those that come with the program, and the user's own.

``known_prior`` fits a prior to them. ``scripts/bench_search/make_prior.py`` writes the file of the
configurations that come with the program.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import optuna

from ocrsearch.core import OcrSearchError
from ocrsearch.spaces import Space, Values, rebuild_space
from ocrsearch.studies.facts import checked_facts
from ocrsearch.studies.prior import Point, Prior, ranks_within
from ocrsearch.studies.records import trial_epochs, trial_problem

PRIOR_FILE = Path(__file__).with_name("prior.json")
"""Configurations of the recorded tables, with their ranks."""

MIN_TRIALS = 10
"""Number of trained trials from which a study counts."""

MAX_STUDIES = 5
"""Number of studies of a database that count: the latest ones. Reading takes time."""

MAX_TRIALS = 100
"""Number of trials of a study that count: the first ones, which are chosen most evenly."""


def describing_point(space: Space, values: Values) -> Point:
    """Return all values of a configuration, and whether its weights are pretrained.

    Args:
        space: space of the configuration.
        values: values of the searched parameters.
    """
    fixed = {leaf.path: leaf.value for leaf in space.fixed}
    return {**fixed, **values, "pretrained": float(space.init is not None)}


@cache
def recorded_configurations() -> tuple[list[Point], list[float]]:
    """Return the configurations that come with the program, and their ranks."""
    content = json.loads(PRIOR_FILE.read_text(encoding="utf-8"))
    paths = content["paths"]
    points: list[Point] = [
        {path: value for path, value in zip(paths, row, strict=True) if value is not None}
        for row in content["points"]
    ]
    return points, content["ranks"]


def known_prior(storage: optuna.storages.BaseStorage, besides: str = "") -> Prior:
    """Return the prior of the recorded configurations and of the studies in a database.

    Args:
        storage: storage of the studies.
        besides: name of a study to leave out.
    """
    recorded, recorded_ranks = recorded_configurations()
    points, ranks = [*recorded], [*recorded_ranks]
    names = [s.study_name for s in storage.get_all_studies() if s.study_name != besides]
    for name in names[-MAX_STUDIES:]:
        found = _trained(optuna.Study(name, storage))
        if len(found) >= MIN_TRIALS:
            points += [point for point, _ in found]
            ranks += ranks_within([cer for _, cer in found])
    return Prior(points, ranks)


def _trained(study: optuna.Study) -> list[tuple[Point, float]]:
    """Return the configurations of a study with their lowest CERs.

    A trial that was promoted further had a lower CER before, so that the lowest CERs of trainings
    of different lengths have a meaningful order.
    """
    try:
        facts = checked_facts(study.study_name, study.directions, study.user_attrs)
        space = rebuild_space(facts.space, facts.space_name)
    except OcrSearchError:  # a study of another program, or a damaged one
        return []
    found: list[tuple[Point, float]] = []
    for trial in study.get_trials(deepcopy=False):
        if len(found) == MAX_TRIALS:
            break
        epochs = [] if trial_problem(trial, len(study.directions)) else trial_epochs(trial)
        if epochs and not space.refusal(trial.params):
            found.append((describing_point(space, trial.params), min(e.cer for e in epochs)))
    return found
