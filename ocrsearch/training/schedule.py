"""Learning rates and optimisers.

The rate warms up over some batches, stays constant, and falls only in the last epochs. Unlike
a cosine or one-cycle schedule it does not depend on how long training will last, so early
epochs of different trials can be compared, and a stopped trial can be continued.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn, optim

from ocrsearch.config import OptimizerName, TrainingConfig

FINAL_SHARE = 0.02
"""Share of the constant rate that is left at the end of the decay."""


@dataclass(frozen=True)
class Schedule:
    """When the final decay begins and how long it lasts, in epochs."""

    decay_start: float
    decay_epochs: float

    @classmethod
    def from_config(cls, config: TrainingConfig) -> Schedule:
        """The decay fills the last ``decay_share`` of the epochs."""
        decay_epochs = round(config.epochs * config.decay_share)
        return cls(config.epochs - decay_epochs, decay_epochs)

    @property
    def end(self) -> int:
        """The number of epochs in all."""
        return round(self.decay_start + self.decay_epochs)

    def ending_within(self, n_epochs: int, epoch: int) -> Schedule:
        """Return a schedule whose rate falls from now on, from where it is, if this one is longer.

        Args:
            n_epochs: number of epochs that are left.
            epoch: number of epochs trained so far.
        """
        if epoch + n_epochs >= self.end:
            return self
        left = self._left(epoch)
        decay_epochs = n_epochs / left
        return Schedule(epoch + n_epochs - decay_epochs, decay_epochs)

    def _left(self, epochs: float) -> float:
        """Return which share of the constant rate is left after so many epochs."""
        past = epochs - self.decay_start
        if past <= 0 or self.decay_epochs == 0:
            return 1.0
        return max(FINAL_SHARE, 1.0 - past / self.decay_epochs)

    def rate(self, base: float, step: int, steps_an_epoch: int, warmup_steps: int) -> float:
        """Return the learning rate of a batch.

        Args:
            base: the constant rate.
            step: number of batches trained before this one.
            steps_an_epoch: number of batches in an epoch.
            warmup_steps: batches over which the rate rises linearly.
        """
        rate = base * min(1.0, (step + 1) / max(1, warmup_steps))
        return rate * self._left(step / steps_an_epoch)


OPTIMIZERS: dict[OptimizerName, Callable[..., optim.Optimizer]] = {
    "adamw": lambda params, **kw: optim.AdamW(params, fused=True, **kw),
    "adam": lambda params, **kw: optim.Adam(params, fused=True, **kw),
    "nadam": lambda params, **kw: optim.NAdam(
        params, decoupled_weight_decay=True, foreach=True, **kw
    ),
    "radam": lambda params, **kw: optim.RAdam(
        params, decoupled_weight_decay=True, foreach=True, **kw
    ),
    "rmsprop": lambda params, **kw: optim.RMSprop(params, foreach=True, **kw),
    "sgd": lambda params, **kw: optim.SGD(params, momentum=0.9, nesterov=True, fused=True, **kw),
}


def build_optimizer(config: TrainingConfig, network: nn.Module) -> optim.Optimizer:
    """Build the optimiser of a configuration; norms and biases get no weight decay."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[config.optimizer](groups, lr=config.learning_rate)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate
