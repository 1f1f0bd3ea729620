"""Parameter importances over all trials that trained, also the pruned and paused ones.

Optuna's evaluators use finished trials only, which are few if most trials are pruned. Here all
trials are compared at the same number of epochs. The evaluator is PED-ANOVA (Watanabe, Bansal and
Hutter, 2023): it compares the values of the best trials with those of all trials. A parameter
without any effect has an importance above 0 too, so each importance is compared with those after
the CERs are dealt to the trials at random.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState, create_trial

from ocrsearch.spaces import Scalar
from ocrsearch.studies.records import trial_epochs
from ocrsearch.training import Epochs, n_of_first_fold

MIN_TRIALS = 10
"""Minimum number of trials for importances."""

BEST_FRACTION = 0.5
"""Fraction of the trials that count as the best.

Optuna's default, a tenth, is six of 60 trials: then single trials decide which parameter comes
first. The better half uses all trials, and so shows parameters that make networks bad as well.
"""

REACHED_FRACTION = 0.8
"""Fraction of the trials that reach the epoch at which they are compared."""

N_SHUFFLES = 19
"""Number of random deals of the CERs. An importance above all of them has a p-value of 0.05."""


@dataclass(frozen=True)
class Importance:
    """Importance of a searched parameter.

    Attributes:
        path: path of the parameter.
        share: importance as a fraction of the sum of all importances.
        above_chance: whether it is higher than after each random deal of the CERs.
        values: value in each trial that has the parameter.
        cers: CER of these trials.
        trials: numbers of these trials.
    """

    path: str
    share: float
    above_chance: bool
    values: list[Scalar]
    cers: list[float]
    trials: list[int]


@dataclass(frozen=True)
class Importances:
    """Importances of the searched parameters, the most important first.

    Attributes:
        epoch: number of epochs at which the trials are compared.
        n_trials: number of trials compared.
        n_shorter: number of trials with fewer epochs, which are not compared.
        n_best: number of trials that count as the best.
        parameters: importance of each parameter with more than one value.
    """

    epoch: int
    n_trials: int
    n_shorter: int
    n_best: int
    parameters: list[Importance]


def common_epoch(lengths: Sequence[int]) -> int:
    """Return the largest number of epochs that REACHED_FRACTION of the trials reach.

    Args:
        lengths: number of epochs of each trial, at least one.
    """
    ordered = sorted(lengths, reverse=True)
    return ordered[int(np.ceil(REACHED_FRACTION * len(ordered))) - 1]


def parameter_importances(study: optuna.Study) -> Importances | None:
    """Return the importances of the parameters.

    None with fewer than MIN_TRIALS trials, if all have the same CER, or if the values of a trial
    do not fit their distributions.
    """
    first_folds = {}
    for trial in study.get_trials(deepcopy=False):
        epochs = trial_epochs(trial)
        if epochs and trial.state != TrialState.FAIL:
            first_folds[trial.number] = (trial, epochs[: n_of_first_fold(epochs)])
    if len(first_folds) < MIN_TRIALS:
        return None
    epoch = common_epoch([len(epochs) for _, epochs in first_folds.values()])
    compared = [
        (trial, _lowest(epochs[:epoch]))
        for trial, epochs in first_folds.values()
        if len(epochs) >= epoch
    ]
    trials, cers = [t for t, _ in compared], [cer for _, cer in compared]
    if len(trials) < MIN_TRIALS or len(set(cers)) == 1:
        return None
    n_best = int(np.ceil(BEST_FRACTION * len(trials)))
    try:
        view, paths = _finished_view(trials), _varied(trials)
    except ValueError:  # another program wrote values outside their distribution
        return None
    found = _evaluate(view, paths, cers, n_best)
    rng = np.random.default_rng(0)
    chance = [
        _evaluate(view, paths, rng.permutation(cers).tolist(), n_best) for _ in range(N_SHUFFLES)
    ]
    total = sum(found.values()) or 1.0
    parameters = []
    for path, value in sorted(found.items(), key=lambda item: (-item[1], item[0])):
        having = [(t, cer) for t, cer in compared if path in t.params]
        parameters.append(
            Importance(
                path,
                value / total,
                all(value > shuffled.get(path, 0.0) for shuffled in chance),
                [t.params[path] for t, _ in having],
                [cer for _, cer in having],
                [t.number for t, _ in having],
            )
        )
    n_shorter = len(first_folds) - len(trials)
    return Importances(epoch, len(trials), n_shorter, n_best, parameters)


def _lowest(epochs: Epochs) -> float:
    return min(record.cer for record in epochs)


def _finished_view(trials: Sequence[FrozenTrial]) -> optuna.Study:
    """Return a study in memory in which all trials are finished; the evaluator needs that."""
    study = optuna.create_study()
    study.add_trials(
        create_trial(value=0.0, params=trial.params, distributions=trial.distributions)
        for trial in trials
    )
    return study


def _varied(trials: Sequence[FrozenTrial]) -> list[str]:
    """Return the paths of the parameters with more than one value."""
    seen: dict[str, set[Scalar]] = {}
    for trial in trials:
        for path, value in trial.params.items():
            seen.setdefault(path, set()).add(value)
    return sorted(path for path, values in seen.items() if len(values) > 1)


def _evaluate(
    study: optuna.Study, paths: list[str], cers: Sequence[float], n_best: int
) -> dict[str, float]:
    """Return the importance of each parameter, not normalised.

    Args:
        study: study from ``_finished_view``.
        paths: parameters.
        cers: CER of each trial, in the order of the study.
        n_best: number of trials that count as the best.
    """
    with warnings.catch_warnings():  # the method is experimental, and rare values are reported
        warnings.simplefilter("ignore")
        evaluator = PedAnovaImportanceEvaluator(target_quantile=n_best / len(cers))
        return evaluator.evaluate(study, paths, target=lambda trial: cers[trial.number])
