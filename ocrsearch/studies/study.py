"""A study: the entry in Optuna's database, and the folder with weights and checkpoints.

If a coordinator ends during a trial, the trial stays RUNNING in the database, and the next
coordinator resumes it under the same number. ``sharing`` decides which coordinator that is.
"""

from __future__ import annotations

import json
import logging
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass

import optuna
from optuna import pruners, samplers
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ocrsearch.core import StudyError, flatten
from ocrsearch.spaces import (
    HalvingSettings,
    HyperbandSettings,
    MedianSettings,
    PercentileSettings,
    SamplerName,
    Space,
    Values,
)
from ocrsearch.studies.artifacts import Rank
from ocrsearch.studies.experience import known_prior
from ocrsearch.studies.facts import (
    FACTS,
    ForeignStudyError,
    StudyFacts,
    foreign_reason,
    study_facts,
)
from ocrsearch.studies.guided_sampler import GuidedSampler
from ocrsearch.studies.optuna_internals import (
    ShownStudy,
    backend_of,
    id_of_study,
    id_of_trial,
    stored_trials,
)
from ocrsearch.studies.records import (
    EARLIER,
    EPOCHS,
    PAUSED,
    REPEATED,
    WarmStartOrigin,
    trial_epochs,
    trial_problem,
)
from ocrsearch.studies.rows import DamagedTrial
from ocrsearch.studies.storage import StudyStorage
from ocrsearch.training import Epochs, best_epoch, lacks_folds

logger = logging.getLogger(__name__)

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
SEEDS_APART = 100_003
"""Distance between the sampler seeds of coordinators; more than the trials of a study."""

UPDATED_FACTS = ("data_spec", "data_place", "data_options", "search")
"""Facts that each run updates, if the space and the data are the same."""

MAX_REPORTED = 5
"""Maximum number of ignored trials that are reported one by one."""


@dataclass(frozen=True)
class EarlierTrial:
    """A configuration of another study, for a warm start.

    Attributes:
        values: values of the parameters that both spaces have; the sampler suggests the others.
        origin: study, number and CER of the trial.
    """

    values: Values
    origin: WarmStartOrigin


class ConfigurationStudy(ShownStudy):
    """A study that shows paused trials as PRUNED and ignores invalid trials.

    A paused trial is stored as RUNNING, because Optuna cannot reopen a trial, and a resumed trial
    must keep its row with the whole learning curve. Samplers and ocrsearch treat RUNNING trials as
    in training.
    """

    def __init__(
        self,
        name: str,
        storage: optuna.storages.BaseStorage,
        pruner: optuna.pruners.BasePruner | None = None,
    ) -> None:
        super().__init__(name, storage, pruner=pruner)
        self._valid_ids: set[int] = set()  # ended trials, which need no second check
        self._ignored: dict[int, str] = {}  # problem of each ignored trial, by id

    def shown(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Return the valid trials; paused trials are shown as PRUNED."""
        found = {i: f"trial {d.number}: {d.reason}" for i, d in damaged_trials(self).items()}
        for trial in trials:
            trial_id = id_of_trial(trial)
            if trial_id in self._valid_ids:
                continue
            problem = trial_problem(trial, len(self.directions))
            if problem is not None:
                found[trial_id] = f"trial {trial.number}: {problem}"
            elif trial.state.is_finished():  # Optuna does not read it again
                self._valid_ids.add(trial_id)
        # each invalid trial is reported once
        problems = sorted(found[i] for i in found.keys() - self._ignored.keys())
        for problem in problems[:MAX_REPORTED]:
            logger.warning("study %r: %s; the trial is ignored", self.study_name, problem)
        if len(problems) > MAX_REPORTED:
            n_more = len(problems) - MAX_REPORTED
            logger.warning("study %r: %d more trials are ignored", self.study_name, n_more)
        self._ignored |= found
        return [as_configuration(t) for t in trials if id_of_trial(t) not in found]

    def fail_ignored(self) -> None:
        """Set the ignored trials to FAIL, so that no program waits for them."""
        self.get_trials(deepcopy=False)
        backend = backend_of(self)
        if isinstance(backend, StudyStorage) and self._ignored:
            backend.fail_trials(list(self._ignored))


def damaged_trials(study: optuna.Study) -> dict[int, DamagedTrial]:
    """Return the damaged trials of a study found so far, by id."""
    backend = backend_of(study)
    return backend.damaged_of(id_of_study(study)) if isinstance(backend, StudyStorage) else {}


def is_paused(trial: FrozenTrial) -> bool:
    """Return whether a trial is paused: it may be resumed, while a pruned trial may not."""
    return trial.user_attrs.get(PAUSED) is not None


def as_configuration(trial: FrozenTrial) -> FrozenTrial:
    """Return a trial; if it is paused, a copy in state PRUNED, which ``is_paused`` tells apart."""
    if trial.state != TrialState.RUNNING or not is_paused(trial):
        return trial
    paused = copy(trial)
    paused.state = TrialState.PRUNED
    return paused


def open_study(
    storage: optuna.storages.RDBStorage,
    name: str,
    space: Space,
    facts: StudyFacts,
    earlier: Sequence[EarlierTrial] = (),
    slot: int = 1,
) -> optuna.Study:
    """Create a study, or resume a study of the same space and data.

    Args:
        storage: storage of the study.
        name: name of the study.
        space: space to search.
        facts: facts of this search, compared with the stored ones.
        earlier: configurations of another study for a warm start, if the study is new.
        slot: number of the coordinator, from 1; each coordinator has a different sampler seed.

    Raises:
        StudyError: a study with this name has another space or other data.
    """
    directions = [StudyDirection.MINIMIZE] * len(space.settings.objective)
    if exists(storage, name):
        known = ConfigurationStudy(name, storage)
        check_ours(known)
        if len(known.directions) != len(directions):
            raise StudyError(
                f"study {name!r}: began with {len(known.directions)} objectives, the space has "
                f"{len(directions)} now; give `study` a new name"
            )
    optuna.create_study(
        storage=storage, study_name=name, directions=directions, load_if_exists=True
    )
    study = ConfigurationStudy(name, storage, pruner=build_pruner(space))
    stored = study_facts(study) if FACTS in study.user_attrs else None
    if study.metric_names is None:
        names = [METRIC_TITLES.get(name, name) for name in space.settings.objective]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names(names)
    seed = stored.seed if stored else facts.seed
    study.fail_ignored()
    # with the seed of the first run, the sampler of a resumed study would repeat its suggestions
    n_trials = len(study.get_trials(deepcopy=False))
    study.sampler = _sampler_with_prior(study, space, seed + n_trials + SEEDS_APART * (slot - 1))
    if stored is None:
        for trial in earlier:
            study.enqueue_trial(trial.values, {EARLIER: trial.origin}, skip_if_exists=True)
        for first in space.settings.try_first:
            study.enqueue_trial(flatten(first), skip_if_exists=True)
        study.set_user_attr(FACTS, facts.to_dict())
    else:
        _check_same(name, stored, facts)
        known, now = study.user_attrs[FACTS], facts.to_dict()
        changed = {key: now[key] for key in UPDATED_FACTS}
        if not stored.id:
            changed |= {"id": facts.id, "version": facts.version}
        if any(known.get(key) != value for key, value in changed.items()):
            study.set_user_attr(FACTS, {**known, **changed})
    return study


def exists(storage: optuna.storages.BaseStorage, name: str) -> bool:
    """Return whether a database has a study with a name."""
    return name in optuna.get_all_study_names(storage)


def check_ours(study: ConfigurationStudy) -> None:
    """Check that a study is from ocrsearch, or has only queued trials.

    Raises:
        ForeignStudyError: the study has no facts, or it maximises.
    """
    states = {trial.state for trial in stored_trials(study)}
    untouched = states <= {TrialState.WAITING} and not damaged_trials(study)
    has_facts = FACTS in study.user_attrs
    if reason := foreign_reason(study.directions, has_facts=has_facts or untouched):
        raise ForeignStudyError(
            f"study {study.study_name!r}: not a study of ocrsearch ({reason}); "
            "give `study` a new name"
        )


def _check_same(name: str, stored: StudyFacts, now: StudyFacts) -> None:
    """Check that a study is resumed with the same data, pretrained weights and space.

    Raises:
        StudyError: the data, the weights or the space has changed.
    """
    advice = "rerun with the original settings, or give `study` a new name"
    if stored.data_fingerprint != now.data_fingerprint:
        before = {"extra_train_data": "", **stored.data_options}  # older studies lack it
        after = {"extra_train_data": "", **now.data_options}
        differ = [f"{k} {v!r}" for k, v in before.items() if v != after.get(k)]
        options = f" and {', '.join(differ)}" if differ else ""
        raise StudyError(
            f"study {name!r}: began with other data ({stored.data_spec}{options}, fingerprint "
            f"{stored.data_fingerprint}; now {now.data_spec}, {now.data_fingerprint}); {advice}"
        )
    if stored.init != now.init:
        raise StudyError(
            f"study {name!r}: began with other pretrained weights (init, hash {stored.init}; now "
            f"{now.init}); {advice}"
        )
    space = json.loads(json.dumps(now.space))  # in the form in which the database returns it
    if stored.space != space:
        before, after = flatten(stored.space), flatten(space)
        differ = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
        raise StudyError(
            f"study {name!r}: began with another space that differs in {', '.join(differ[:3])}; "
            f"{advice}"
        )


METRIC_TITLES = {"cer": "validation CER", "latency_ms": "latency (ms)", "size_mb": "size (MB)"}
"""Names of objectives in the dashboard, if they differ from those in a space."""

USE_CONSTRAINTS: frozenset[SamplerName] = frozenset({"tpe", "gp", "nsgaii"})
"""Samplers that support constraints. For other samplers, infeasible trials count as pruned."""


def _sampler_with_prior(study: optuna.Study, space: Space, seed: int) -> samplers.BaseSampler:
    """Build the sampler of a study, with the prior of other datasets if the space wants it."""
    sampler, settings = build_sampler(space, seed), space.settings.sampler
    if settings.name != "tpe" or not settings.prior:
        return sampler
    prior = known_prior(backend_of(study), besides=study.study_name)
    return GuidedSampler(sampler, space, prior, seed)


def build_sampler(space: Space, seed: int) -> samplers.BaseSampler:
    """Build the sampler of a space."""
    n_startup = space.settings.sampler.n_startup_trials
    with warnings.catch_warnings():  # TPE's 'group' and some samplers are experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match space.settings.sampler.name:
            case "tpe":
                # parameters with a condition are absent in some trials: model them in groups
                is_conditional = any(p.condition for p in space.parameters)
                return samplers.TPESampler(
                    n_startup_trials=n_startup, group=is_conditional, seed=seed
                )
            case "gp":
                return samplers.GPSampler(
                    seed=seed, n_startup_trials=n_startup, warn_independent_sampling=False
                )
            case "cmaes":
                return samplers.CmaEsSampler(
                    seed=seed, n_startup_trials=n_startup, warn_independent_sampling=False
                )
            case "random":
                return samplers.RandomSampler(seed=seed)
            case "qmc":
                return samplers.QMCSampler(
                    seed=seed, scramble=True, warn_independent_sampling=False
                )
            case "nsgaii":
                return samplers.NSGAIISampler(seed=seed, population_size=20)


def build_pruner(space: Space) -> pruners.BasePruner:
    """Build the pruner of a space; with promotion, ocrsearch itself prunes trials, not Optuna."""
    match space.settings.pruner:
        case MedianSettings(n_startup_trials=startup, n_warmup_epochs=warmup):
            return pruners.MedianPruner(n_startup_trials=startup, n_warmup_steps=warmup)
        case PercentileSettings(
            keep_percent=percent, n_startup_trials=startup, n_warmup_epochs=warmup
        ):
            return pruners.PercentilePruner(percent, startup, warmup)
        case HalvingSettings(min_epochs=first, reduction_factor=reduction):
            return pruners.SuccessiveHalvingPruner(first, reduction)
        case HyperbandSettings(min_epochs=first, reduction_factor=reduction):
            return pruners.HyperbandPruner(first, max(first, space.max_epochs), reduction)
        case _:
            return pruners.NopPruner()


def finished_trials(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that count towards the total, in order."""
    return [t for t in trials if t.state in FINISHED and REPEATED not in t.user_attrs]


def unfinished_trials(
    study: optuna.Study, wanted: Callable[[FrozenTrial], bool] | None = None
) -> list[tuple[optuna.Trial, int]]:
    """Return the RUNNING trials of a study with their numbers of reported epochs."""
    frozen = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    several = len(study.directions) > 1  # Optuna then stores no intermediate values
    return [
        (
            optuna.Trial(study, id_of_trial(t)),
            len(t.user_attrs.get(EPOCHS, ())) if several else len(t.intermediate_values),
        )
        for t in frozen
        if wanted is None or wanted(t)
    ]


def rank(trial: FrozenTrial) -> Rank:
    """Return the rank of a trained trial."""
    return rank_of(trial_epochs(trial), trial.number)


def rank_of(epochs: Epochs, number: int) -> Rank:
    """Return the rank of a trial with these epoch records."""
    if not epochs:
        return Rank(lacks_folds=False, cer=math.inf, val_loss=math.inf, number=number)
    best = best_epoch(epochs)
    return Rank(lacks_folds(epochs), best.cer, best.val_loss, number)
