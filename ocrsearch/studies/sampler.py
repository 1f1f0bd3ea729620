"""Optuna samplers and pruners, built from the settings of a space."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import optuna
from optuna import pruners, samplers

from ocrsearch.spaces import (
    HalvingSettings,
    HyperbandSettings,
    MedianSettings,
    PercentileSettings,
    SamplerName,
    Space,
)

USE_CONSTRAINTS: frozenset[SamplerName] = frozenset({"tpe", "gp", "nsgaii"})
"""Samplers that support constraints. For other samplers, infeasible trials count as pruned."""


def build_sampler(space: Space, seed: int) -> samplers.BaseSampler:
    """Build the sampler of a space."""
    with warnings.catch_warnings():  # TPE's 'group' and some samplers are experimental
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return SAMPLERS[space.settings.sampler.name](space, seed)


def build_pruner(space: Space) -> pruners.BasePruner:
    """Build the pruner of a space; with asha, ocrsearch prunes instead of Optuna."""
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


def _tpe(space: Space, seed: int) -> samplers.BaseSampler:
    conditional = any(p.condition for p in space.parameters)
    return samplers.TPESampler(
        n_startup_trials=space.settings.sampler.n_startup_trials, group=conditional, seed=seed
    )


def _gp(space: Space, seed: int) -> samplers.BaseSampler:
    n_startup = space.settings.sampler.n_startup_trials
    return samplers.GPSampler(
        seed=seed, n_startup_trials=n_startup, warn_independent_sampling=False
    )


def _cmaes(space: Space, seed: int) -> samplers.BaseSampler:
    return samplers.CmaEsSampler(
        seed=seed,
        n_startup_trials=space.settings.sampler.n_startup_trials,
        warn_independent_sampling=False,
    )


def _random(space: Space, seed: int) -> samplers.BaseSampler:  # noqa: ARG001
    return samplers.RandomSampler(seed=seed)


def _qmc(space: Space, seed: int) -> samplers.BaseSampler:  # noqa: ARG001
    return samplers.QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


def _nsgaii(space: Space, seed: int) -> samplers.BaseSampler:  # noqa: ARG001
    return samplers.NSGAIISampler(seed=seed, population_size=20)


SAMPLERS: dict[SamplerName, Callable[[Space, int], samplers.BaseSampler]] = {
    "tpe": _tpe,
    "gp": _gp,
    "cmaes": _cmaes,
    "random": _random,
    "qmc": _qmc,
    "nsgaii": _nsgaii,
}
