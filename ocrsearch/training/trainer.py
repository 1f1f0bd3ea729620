"""Trainer: trains one configuration an epoch at a time.

The trainer owns the network, the optimiser and the random state. It can be saved and restored
between any two epochs, and continues as if it had not stopped. It writes no files; the caller of
``run_epoch`` decides whether there is another epoch.

Once a network reads, the mean of its weights over an epoch is validated and kept
(``WeightAverage``). Training continues from the latest weights.

The learning rate warms up, stays constant and decays only in the last epochs. Unlike a cosine or
one-cycle schedule it does not depend on the length of the training before the decay, so early
epochs of different trials can be compared, and a paused trial can be resumed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn, optim

from ocrsearch.core import (
    DEFAULT_RECIPE,
    Config,
    DivergedError,
    OptimizerName,
    RecipeConfig,
    TrainingConfig,
)
from ocrsearch.data import BATCHES_A_POOL, Batch, Dataset, training_batches, training_epochs
from ocrsearch.data.images import scaled_lines
from ocrsearch.evaluation import Metrics, compute_metrics
from ocrsearch.models import (
    best_path_error,
    build_network,
    consistency_loss,
    n_parameters,
    read_lines,
)
from ocrsearch.training.averaging import WeightAverage
from ocrsearch.training.device import Precision, set_precision
from ocrsearch.training.pretrained import StartWeights, transfer_weights

FINAL_SHARE = 0.02
"""Fraction of the constant learning rate at the end of the decay."""


@dataclass(frozen=True)
class Schedule:
    """When the final decay begins and how long it lasts, in epochs."""

    decay_start: float
    decay_epochs: float

    @classmethod
    def from_config(cls, config: TrainingConfig) -> Schedule:
        """The decay fills the last ``decay_fraction`` of the epochs."""
        decay_epochs = config.decay_epochs(config.epochs)
        return cls(config.epochs - decay_epochs, decay_epochs)

    @property
    def end(self) -> int:
        """Total number of epochs."""
        return round(self.decay_start + self.decay_epochs)

    def ending_within(self, n_epochs: int, epoch: int) -> Schedule:
        """Return a schedule that ends within some epochs, unchanged if this one already does.

        The learning rate decays from its present value.

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
        """Return the fraction of the constant learning rate after a number of epochs."""
        past = epochs - self.decay_start
        if past <= 0 or self.decay_epochs == 0:
            return 1.0
        return max(FINAL_SHARE, 1.0 - past / self.decay_epochs)

    def rate(self, base: float, step: int, steps_an_epoch: int, warmup_steps: int) -> float:
        """Return the learning rate of a batch.

        Args:
            base: learning rate between warm-up and decay.
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
    groups: list[dict[str, object]] = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return OPTIMIZERS[config.optimizer](groups, lr=config.learning_rate)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all groups."""
    for group in optimizer.param_groups:
        group["lr"] = rate


N_WATCHED = 64
"""Training images whose errors say whether a network reads, if there is no validation split."""


@dataclass(frozen=True)
class EpochReport:
    """Report of an epoch.

    Attributes:
        epoch: number of epochs finished, from 1.
        train_loss: mean loss over the batches.
        val_loss: mean loss over the validation split.
        metrics: error rates on the validation split.
        is_best: whether this is the best epoch so far, by CER and then by loss.
        learning_rate: learning rate at the end of the epoch.
        seconds: duration of training and validation in seconds.
    """

    epoch: int
    train_loss: float
    val_loss: float
    metrics: Metrics
    is_best: bool
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class Progress:
    """Progress of a training; ``Trainer.state`` saves it beside the tensors.

    Attributes:
        epoch: number of epochs finished.
        best: lowest CER so far, and the validation loss of that epoch.
        best_epoch: number of that epoch.
        aligned: whether the flat start is over.
    """

    epoch: int = 0
    best: tuple[float, float] = (math.inf, math.inf)
    best_epoch: int = 0
    aligned: bool = False


@dataclass(frozen=True)
class TrainerOptions:
    """Settings of a trainer that often keep their defaults.

    Attributes:
        precision: precision of convolutions and LSTMs.
        start: pretrained weights, copied where shapes match; None for random weights.
        recipe: constants of the recipe, for ablations.
    """

    precision: Precision = "fp32"
    start: StartWeights | None = None
    recipe: RecipeConfig = DEFAULT_RECIPE


class Trainer:
    """Trains the network of one configuration.

    Attributes:
        read_texts: text recognised in each validation image after the last epoch.
    """

    def __init__(
        self,
        config: Config,
        dataset: Dataset,
        seed: int,
        device: torch.device,
        options: TrainerOptions | None = None,
    ) -> None:
        """Build the network and scale the images. On the CPU the same seed has the same result.

        Args:
            config: configuration of network and training.
            dataset: training and validation samples. Without validation samples the schedule is
                followed to its end, each epoch counts as the best, and the error rates are
                measured on training images.
            seed: random seed for weights, data order, augmentation and dropout.
            device: device to compute on.
            options: precision and pretrained weights; None for float32 and random weights.
        """
        options = options or TrainerOptions()
        start = options.start
        self.config = config
        self.recipe = options.recipe
        self.charset = dataset.charset
        self.device = device
        val = dataset.splits["val"]
        self.validates = bool(val)
        val = val if self.validates else dataset.splits["train"].first(N_WATCHED)
        self.epochs = training_epochs(dataset, config.images)
        self.val_lines = scaled_lines(val, dataset.charset, config.images)
        self.val_texts = val.texts
        self.read_texts: list[str] = []
        network = build_network(config, len(dataset.charset), seed)
        self.transfer = transfer_weights(start, network, config, self.charset) if start else None
        self.network = network.to(device)
        self.network.recipe = options.recipe
        set_precision(self.network, options.precision)
        self.n_parameters = n_parameters(self.network)
        self.optimizer = build_optimizer(config.training, self.network)
        self.schedule = Schedule.from_config(config.training)
        self._average = WeightAverage(self.network)
        reads = self.transfer is not None and self.transfer.reads
        starts_flat = self.network.has_flat_start and self.recipe.flat_start and not reads
        self.progress = Progress(aligned=not starts_flat)
        self.rng = np.random.default_rng(seed)
        torch.manual_seed(seed)  # dropout draws from the global state, whatever we do

    @property
    def finished(self) -> bool:
        """Whether the schedule is finished."""
        return self.progress.epoch >= self.schedule.end

    def run_epoch(self) -> EpochReport:
        """Train one epoch and validate, and perhaps begin the final decay.

        The decay begins early if no epoch was better for ``decay_patience`` epochs. An epoch is
        better if its CER is lower, or if its CER is equal and its loss lower. There is
        deliberately no rule for a CER of 0: the loss still falls, and so does the error on other
        images.

        Raises:
            DivergedError: the loss became NaN or infinite.
        """
        start = time.perf_counter()
        epoch = self.progress.epoch + 1
        train_loss = self.train_epoch()
        with self._average.in_place():
            val_loss, metrics = self.validate()
        if not math.isfinite(train_loss + val_loss):
            raise DivergedError(f"the loss became {train_loss + val_loss} in epoch {epoch}")
        is_best = not self.validates or (metrics.cer, val_loss) < self.progress.best
        aligned = self.progress.aligned or metrics.cer <= self.recipe.reads_below_cer
        self.progress = replace(self.progress, epoch=epoch, aligned=aligned)
        if is_best:
            self.progress = replace(self.progress, best=(metrics.cer, val_loss), best_epoch=epoch)
        stalls = epoch - self.progress.best_epoch >= self.config.training.decay_patience
        if stalls and epoch < self.schedule.decay_start:
            self.schedule = replace(self.schedule, decay_start=epoch)
        return EpochReport(
            epoch=epoch,
            train_loss=train_loss,
            val_loss=val_loss,
            metrics=metrics,
            is_best=is_best,
            learning_rate=self.optimizer.param_groups[0]["lr"],
            seconds=time.perf_counter() - start,
        )

    def train_epoch(self) -> float:
        """Train on the batches of an epoch and return their mean loss."""
        training = self.config.training
        reads = self.progress.best[0] <= self.recipe.reads_below_cer
        self._average.clear()
        self.network.train()
        for module in self.network.modules():
            if isinstance(module, nn.Dropout2d):
                module.train(reads)
        strength = training.augment.strength
        if not reads:
            strength = min(strength, self.recipe.plateau_strength)
        augment = training.augment.model_copy(update={"strength": strength})
        n_batches = math.ceil(len(self.epochs) / training.batch_size)
        step = self.progress.epoch * n_batches
        # two views of the same few images would delay reading
        n_views = 2 if reads and training.consistency > 0 else 1
        losses = []
        for lines in self.epochs.parts(self.progress.epoch, training.batch_size * BATCHES_A_POOL):
            for batch in training_batches(lines, training.batch_size, augment, self.rng, n_views):
                rate = self.schedule.rate(
                    training.learning_rate, step, n_batches, training.warmup_steps
                )
                set_rate(self.optimizer, rate)
                losses.append(self._step(batch.to(self.device), step, n_views))
                step += 1
                if reads and self.recipe.average_weights:
                    self._average.add()
        return float(torch.stack(losses).mean())

    def _step(self, batch: Batch, step: int, n_views: int) -> torch.Tensor:
        """Train on a batch and return its loss. The flat start ends if the batch is read."""
        self.optimizer.zero_grad(set_to_none=True)
        output = self.network.encode(batch.images, batch.widths)
        if not self.progress.aligned and step % self.recipe.reading_interval == 0:
            log_probs = self.network.ctc_log_probs(output)
            error = best_path_error(log_probs, batch, len(self.charset))
            self.progress = replace(self.progress, aligned=error <= self.recipe.reads_below_cer)
        loss = self.network.loss(output, batch, step, flat=not self.progress.aligned)
        if n_views == 2:
            log_probs = self.network.ctc_log_probs(output)
            loss = loss + self.config.training.consistency * consistency_loss(log_probs, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        max_norm = self.config.training.clip_grad_norm
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), max_norm)
        self.optimizer.step()
        return loss.detach()

    def validate(self) -> tuple[float, Metrics]:
        """Return loss and error rates on the validation split, and keep the texts that were read.

        See ``read_texts``.
        """
        reading = read_lines(self.network, self.val_lines, self.device, with_loss=True)
        self.read_texts = [self.charset.decode(h.ids) for h in reading.hypotheses]
        return reading.loss, compute_metrics(self.val_texts, self.read_texts)

    def weights(self) -> dict[str, torch.Tensor]:
        """Return copies of the weights with which the latest epoch was validated."""
        with self._average.in_place():
            return {name: value.clone() for name, value in self.network.state_dict().items()}

    def end_within(self, n_epochs: int) -> None:
        """End the training after a number of further epochs at most, with a final decay."""
        self.schedule = self.schedule.ending_within(n_epochs, self.progress.epoch)

    def state(self) -> dict[str, object]:
        """Return everything that ``restore`` needs, as tensors and plain values."""
        randomness = {"torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            randomness["cuda"] = torch.cuda.get_rng_state(self.device)
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": asdict(self.schedule),
            "progress": asdict(self.progress),
            "numpy": json.dumps(self.rng.bit_generator.state),
            "randomness": randomness,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore a state, to continue as if the training had not stopped."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule = Schedule(**state["schedule"])
        self.progress = Progress(**{**state["progress"], "best": tuple(state["progress"]["best"])})
        self.rng.bit_generator.state = json.loads(state["numpy"])
        torch.set_rng_state(state["randomness"]["torch"])
        if self.device.type == "cuda" and "cuda" in state["randomness"]:
            torch.cuda.set_rng_state(state["randomness"]["cuda"], self.device)
