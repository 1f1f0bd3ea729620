"""Sampler that lets a prior choose among the proposals of another sampler."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from ocrsearch.core import Config
from ocrsearch.spaces import Space, Values
from ocrsearch.studies.experience import describing_point
from ocrsearch.studies.prior import Prior

GUIDED_SHARE = 0.5
"""Fraction of the proposals that the prior chooses, so that a wrong prior costs at most this."""

N_GUIDED = 50
"""Number of trials after which a study knows more than the prior, and the prior is not asked."""

N_RANDOM = 64
"""Number of random candidates while the other sampler has too few trials."""

N_PROPOSED = 4
"""Number of candidates of the other sampler afterwards; each takes it some 20 ms."""


N_CHECKED = 16
"""Number of candidates, the most promising first, that are checked until one is accepted."""


class GuidedSampler(BaseSampler):
    """Returns the most promising of several proposals of another sampler, or its only proposal.

    Attributes:
        accepts: returns whether a configuration meets the constraints of a search, which sets it.
    """

    def __init__(self, base: BaseSampler, space: Space, prior: Prior, seed: int) -> None:
        """Wrap a sampler.

        Args:
            base: sampler that proposes.
            space: space of the configurations.
            prior: what is known from other datasets.
            seed: random seed.
        """
        self._base, self._space, self._prior = base, space, prior
        self._generator = np.random.default_rng(seed)
        self._random = RandomSampler(int(self._generator.integers(2**31)))  # not that of TPE
        self._chosen: tuple[int, Values] = (-1, {})  # number of the trial, and its values
        self.accepts: Callable[[Config], bool] = lambda _: True

    def reseed_rng(self) -> None:
        """Reseed, in a process of its own."""
        self._base.reseed_rng()

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the parameters that the other sampler samples together."""
        return self._base.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return values of the parameters that are sampled together."""
        if trial.number >= N_GUIDED or self._generator.random() >= GUIDED_SHARE:
            return self._base.sample_relative(study, trial, search_space)
        ended = (TrialState.COMPLETE, TrialState.PRUNED)
        n_ended = len(study.get_trials(deepcopy=False, states=ended))
        begins = n_ended < self._space.settings.sampler.n_startup_trials
        sampler = self._random if begins else self._base
        candidates = []
        for _ in range(N_RANDOM if begins else N_PROPOSED):
            known = {} if begins else sampler.sample_relative(study, trial, search_space)
            proposal = Proposal(sampler, study, trial, known)
            candidates.append(self._space.suggest(proposal))
        points = [describing_point(self._space, values) for values in candidates]
        order = self._prior.expected_ranks(points).argsort()
        ranked = [candidates[i] for i in order[:N_CHECKED]]
        best = next((c for c in ranked if self.accepts(self._space.resolve(c))), ranked[0])
        self._chosen = trial.number, best
        return {name: best[name] for name in search_space if name in best}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return the value of a parameter that is sampled alone."""
        number, values = self._chosen
        if number == trial.number and param_name in values:
            return values[param_name]
        return self._base.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Tell the other sampler that a trial begins."""
        self._base.before_trial(study, trial)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any
    ) -> None:
        """Tell the other sampler that a trial ended."""
        self._base.after_trial(study, trial, state, values)


class Proposal:
    """Stands for a trial while a sampler proposes values, without a trial in the study."""

    def __init__(
        self,
        sampler: BaseSampler,
        study: optuna.Study,
        trial: FrozenTrial,
        known: Mapping[str, Any],
    ) -> None:
        self._sampler, self._study, self._trial, self._known = sampler, study, trial, known

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of the choices."""
        return self._value(name, optuna.distributions.CategoricalDistribution(choices))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> Any:
        """Return an integer of a range."""
        return self._value(name, optuna.distributions.IntDistribution(low, high, log, step))

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> Any:
        """Return a number of a range."""
        return self._value(name, optuna.distributions.FloatDistribution(low, high, log, step))

    def _value(self, name: str, distribution: BaseDistribution) -> Any:
        if name in self._known:
            return self._known[name]
        return self._sampler.sample_independent(self._study, self._trial, name, distribution)
