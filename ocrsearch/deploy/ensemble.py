"""Ensembles: the best networks of a study in one model, which read together.

Networks that were trained apart err apart (Hansen and Salamon, 1990, IEEE TPAMI 12(10)), and a
search has trained several already: together they mostly read better than the best of them alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from ocrsearch.data.usable import Progress
from ocrsearch.deploy.bundle import ADDED, Bundle, bundle_trial
from ocrsearch.deploy.predictor import Predictor
from ocrsearch.deploy.study_data import UNMOVED, DataPlace, load_study_data
from ocrsearch.errors import StudyError
from ocrsearch.results.query import BestTrial, best_trials, load_study
from ocrsearch.search.database import study_folder
from ocrsearch.search.facts import study_facts
from ocrsearch.training.metrics import Metrics

WORST_RATIO, WORST_MARGIN = 2.0, 0.01
"""No member's CER is more than so many times that of the best, and so much."""


@dataclass(frozen=True)
class Ensemble:
    """Networks that read together, and what that brings on the validation split.

    Attributes:
        study: its name.
        n_asked: networks that were asked for.
        members: the trials, the best first; perhaps fewer.
        bundle: the model; its metrics are those of all together.
        alone: error rates of the best of them.
        together: error rates of all.
    """

    study: str
    n_asked: int
    members: list[BestTrial]
    bundle: Bundle
    alone: Metrics
    together: Metrics


def make_ensemble(
    storage_url: str,
    name: str | None,
    n: int,
    limits: Mapping[str, float] | None = None,
    progress: Progress | None = None,
    place: DataPlace = UNMOVED,
) -> Ensemble:
    """Join the best networks of a study and read its validation split with them.

    Args:
        storage_url: of the study database.
        name: of the study; None for the latest.
        n: networks, 2 or more; fewer are taken where the limits have no room for more, or where
            the others are much worse than the best.
        limits: the most that a metric of all together may be, see ``best_trial``.
        progress: told how many pictures of the validation split are read.
        place: where the data of the study is, if it was moved.

    Raises:
        OcrSearchError: no such study, fewer than two networks, or other data than the study's.
    """
    study = load_study(storage_url, name)
    name, facts = study.study_name, study_facts(study)
    if facts.get("folds", 1) > 1:
        raise StudyError(
            f"study {name!r}: cross-validated on {facts['folds']} folds, and the networks of all "
            "folds are exported together already; leave out --ensemble"
        )
    limits = limits or {}
    trained = best_trials(study, study_folder(storage_url, name), limits, len(study.trials))
    found = [trial for trial in trained if trial.weights.exists()]
    members = choose_members(found, limits, n)
    if len(members) < 2:
        raise StudyError(
            f"study {name!r}: --ensemble needs two networks whose weights are kept, there is "
            f"{_none_beside(members)}; search for longer, or leave it out"
        )
    bundles = [bundle_trial(member, facts) for member in members]
    validation = load_study_data(name, facts, place).splits["val"]
    first = Predictor(bundles[0]).evaluate(validation)
    joined = replace(bundles[0], others=tuple(bundles[1:]))
    together = Predictor(joined).evaluate(validation, progress)
    rates = {key: value for key, value in asdict(together.metrics).items() if key != "n"}
    metrics = {**rates, **_sums(members)}
    about = [{"trial": member.trial, "cer": member.value} for member in members]
    provenance = {**joined.provenance, "members": about}
    bundle = replace(joined, metrics=metrics, provenance=provenance)
    return Ensemble(name, n, members, bundle, first.metrics, together.metrics)


def choose_members(found: list[BestTrial], limits: Mapping[str, float], n: int) -> list[BestTrial]:
    """Return the best, one after the other, that are good enough and together keep to limits."""
    members: list[BestTrial] = []
    for trial in found:
        worst = WORST_RATIO * found[0].value + WORST_MARGIN
        sums = _sums([*members, trial])
        fits = trial.value <= worst and all(sums[key] <= limits[key] for key in limits)
        if fits and len(members) < n:
            members.append(trial)
    return members


def _none_beside(members: list[BestTrial]) -> str:
    if not members:
        return "none"
    best = members[0]
    return (
        f"none beside trial {best.trial} that is nearly as good (its CER is {best.value:.4f}) and "
        "keeps to the limits together with it"
    )


def _sums(members: list[BestTrial]) -> dict[str, float]:
    known = [key for key in ADDED if all(key in m.metrics for m in members)]
    return {key: sum(m.metrics[key] for m in members) for key in known}
