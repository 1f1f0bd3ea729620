"""What becomes of a configuration whose training broke off."""

from __future__ import annotations

from optuna.trial import TrialState

from ocrsearch.config import Config

MAX_ATTEMPTS = {"crash": 2, "died": 5, "killed": 5}
"""A configuration whose training broke off is tried so many times in all, unless it gets on; a
worker that dies may have been killed for what is not the configuration's fault."""

NOT_ITS_FAULT = ("crash", "died")
"""Failures that say nothing about a configuration. A worker that is killed again and again without
finishing an epoch says that it needs too much memory."""

HALVED = "halved_batch"
"""User attribute of a trial that is trained at half its batch size: the whole took too much."""


def with_half_batch(config: Config) -> Config:
    """Return a configuration with half the batch size, at least 1."""
    batch_size = max(1, config.training.batch_size // 2)
    training = config.training.model_copy(update={"batch_size": batch_size})
    return config.model_copy(update={"training": training})


def failure_state(kind: str) -> TrialState:
    """Return the state of a trial whose training broke off.

    A loss that diverged or too little memory say something about the configuration, and TPE
    learns nothing from trials that FAILED; only what is not the configuration's fault fails.
    """
    return TrialState.FAIL if kind in NOT_ITS_FAULT else TrialState.PRUNED
