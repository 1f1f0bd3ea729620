"""Constraints of a search: its limits, and the excess over them that the sampler learns from.

The space sets most limits. A trial that ran out of memory sets one for the memory. Workers measure
the latency once for each network; every other figure is known before a training.
"""

from __future__ import annotations

import optuna

from ocrsearch.core import Config
from ocrsearch.data import LabelledImages
from ocrsearch.spaces import (
    Finding,
    Space,
    examine,
    network_figures,
    over_limit,
)
from ocrsearch.studies import USE_CONSTRAINTS, batched_writes, number_or_none, study_facts

MEMORY_LIMIT_KEY = "memory_mb_limit"
"""Study user attribute with the learned memory limit, in megabytes; see ``learn_memory``."""


class Constraints:
    """Limits of a study. The excess of each trial is stored for the sampler."""

    def __init__(self, study: optuna.Study, space: Space, train: LabelledImages) -> None:
        self._study, self._train = study, train
        self._max_invalid = study_facts(study).options().max_invalid
        self._limits = space.settings.constraints
        self._sampler_knows = space.settings.sampler.name in USE_CONSTRAINTS
        self._latencies: dict[str, float] = {}

    def broken(self, trial: optuna.Trial, config: Config) -> list[Finding]:
        """Return the limits that a configuration exceeds, without building its network."""
        limits = self._limits
        learned = number_or_none(self._study.user_attrs.get(MEMORY_LIMIT_KEY))
        if learned is not None and (limits.memory_mb is None or learned < limits.memory_mb):
            limits = limits.model_copy(update={"memory_mb": learned})
        findings = examine(config, self._train, limits, self._max_invalid)
        with batched_writes(self._study):
            for finding in findings:
                self._tell(trial, finding.name, finding.excess)
        broken = [finding for finding in findings if finding.excess > 0.0]
        latency_ms = self.latency_ms(config)
        if latency_ms is not None and (slow := self.note_latency(trial, config, latency_ms)):
            broken.append(slow)
        return broken

    def allow(self, config: Config) -> bool:
        """Return whether a configuration meets all limits, as far as this is known."""
        findings = examine(config, self._train, self._limits, self._max_invalid)
        latency_ms, limit = self.latency_ms(config), self._limits.latency_ms
        is_slow = latency_ms is not None and limit is not None and latency_ms > limit
        return not is_slow and all(finding.excess <= 0.0 for finding in findings)

    def latency_ms(self, config: Config) -> float | None:
        """Return the measured latency of a network, None if it is unknown."""
        return self._latencies.get(_network_key(config))

    def note_latency(
        self, trial: optuna.Trial, config: Config, latency_ms: float
    ) -> Finding | None:
        """Remember the latency of a network; return a finding if it is over the limit."""
        self._latencies[_network_key(config)] = latency_ms
        limit = self._limits.latency_ms
        if limit is None:
            return None
        excess = latency_ms / limit - 1.0
        self._tell(trial, "latency_ms", excess)
        reason = over_limit("latency_ms", latency_ms, limit)
        return Finding("latency_ms", excess, reason) if excess > 0.0 else None

    def learn_memory(self, trial: optuna.Trial, config: Config) -> None:
        """Lower the memory limit below the estimate for a trial that ran out of memory."""
        estimate = network_figures(config, self._train)["memory_mb"]
        known = number_or_none(self._study.user_attrs.get(MEMORY_LIMIT_KEY)) or estimate
        self._study.set_user_attr(MEMORY_LIMIT_KEY, min(known, 0.999 * estimate))
        self._tell(trial, "memory_mb", 1.0)

    def _tell(self, trial: optuna.Trial, name: str, value: float) -> None:
        if self._sampler_knows and name not in trial.constraints:  # other samplers would warn
            trial.set_constraint(name, value)


def _network_key(config: Config) -> str:
    """Return a key that identifies a network and the size of its images."""
    return f"{config.images.model_dump_json()} {config.model.model_dump_json()}"
