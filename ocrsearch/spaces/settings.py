"""The ``search`` section of a space: sampler, pruner, constraints, objectives and folds."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ocrsearch.core import Frozen, Integer, Number

MAX_COUNT = 1_000_000
"""Largest number of trials or epochs in a setting."""

MAX_LIMIT = 1e15
"""Largest value of a constraint."""

SamplerName = Literal["tpe", "gp", "cmaes", "random", "qmc", "nsgaii"]


class SamplerSettings(Frozen):
    """Sampler, which suggests configurations."""

    name: SamplerName = Field("tpe", description="Sampler of Optuna.")
    n_startup_trials: Integer = Field(
        10,
        ge=1,
        le=MAX_COUNT,
        description="Number of random trials before TPE, GP or CMA-ES.",
    )
    prior: bool = Field(
        True,
        description="Let results on other datasets choose among proposals of TPE, half of the "
        "time.",
    )


class AshaSettings(Frozen):
    """Asynchronous successive halving (ASHA): pause at rungs of epochs, resume the best third.

    When the time of a search runs short, the best paused trials are resumed before new ones begin.
    """

    name: Literal["asha"] = "asha"
    rungs: tuple[Annotated[Integer, Field(le=MAX_COUNT)], ...] = Field(
        (),
        description="Epochs in rising order; by default 1/3 of the epochs, 1/9 and so on.",
    )
    tested: bool = Field(
        True,
        description="Compare trials at a rung below the last only if the order there agrees with "
        "the order at the next rung; until this is known, all trials pass.",
    )

    @field_validator("rungs")
    @classmethod
    def _rising(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if any(b <= a for a, b in pairwise((0, *rungs))):
            raise ValueError("must be epochs from 1, in rising order")
        return rungs


class MedianSettings(Frozen):
    """Prune trials that are worse than the median of the others at the same epoch."""

    name: Literal["median"] = "median"
    n_startup_trials: Integer = Field(
        5, ge=0, le=MAX_COUNT, description="Number of first trials that are never pruned."
    )
    n_warmup_epochs: Integer = Field(
        5, ge=0, le=MAX_COUNT, description="Number of first epochs in which no trial is pruned."
    )


class PercentileSettings(Frozen):
    """Prune trials that are not among the best percentage at the same epoch."""

    name: Literal["percentile"] = "percentile"
    keep_percent: Number = Field(25.0, ge=0.0, le=100.0, description="Percentage of trials kept.")
    n_startup_trials: Integer = Field(
        5, ge=0, le=MAX_COUNT, description="Number of first trials that are never pruned."
    )
    n_warmup_epochs: Integer = Field(
        5, ge=0, le=MAX_COUNT, description="Number of first epochs in which no trial is pruned."
    )


class HalvingSettings(Frozen):
    """Successive halving of Optuna: prune all but the best fraction at each rung."""

    name: Literal["successive_halving"] = "successive_halving"
    min_epochs: Integer = Field(
        5,
        ge=1,
        le=MAX_COUNT,
        description="First rung in epochs; the next is reduction_factor times as high.",
    )
    reduction_factor: Integer = Field(
        3, ge=2, le=MAX_COUNT, description="1 of this many trials is kept."
    )


class HyperbandSettings(Frozen):
    """Hyperband of Optuna: successive halving with several first rungs."""

    name: Literal["hyperband"] = "hyperband"
    min_epochs: Integer = Field(
        5, ge=1, le=MAX_COUNT, description="First rung of the first bracket, in epochs."
    )
    reduction_factor: Integer = Field(
        3, ge=2, le=MAX_COUNT, description="1 of this many trials is kept."
    )


class NoPruner(Frozen):
    """Train every configuration in full."""

    name: Literal["none"] = "none"


PrunerSettings = Annotated[
    AshaSettings
    | MedianSettings
    | PercentileSettings
    | HalvingSettings
    | HyperbandSettings
    | NoPruner,
    Field(discriminator="name"),
]


class ConstraintSettings(Frozen):
    """Limits of a network. Trials over a limit are not trained; tpe, gp and nsgaii learn it."""

    size_mb: Number | None = Field(
        None,
        gt=0.0,
        le=MAX_LIMIT,
        description="Size of the weights as float32, in megabytes.",
    )
    int8_mb: Number | None = Field(
        None,
        gt=0.0,
        le=MAX_LIMIT,
        description="Estimated size of the exported file with weights of 8 bits, in megabytes.",
    )
    parameters: Integer | None = Field(None, ge=1, le=MAX_LIMIT, description="Number of weights.")
    multiply_adds: Number | None = Field(
        None,
        gt=0.0,
        le=MAX_LIMIT,
        description="Multiply-adds for an image of median width.",
    )
    memory_mb: Number | None = Field(
        None, gt=0.0, le=MAX_LIMIT, description="Estimated memory for training, in megabytes."
    )
    latency_ms: Number | None = Field(
        None,
        gt=0.0,
        le=MAX_LIMIT,
        description="Time for one image of median width in one thread, in milliseconds. It is "
        "measured once for each network before training.",
    )


MAX_FOLDS = 20

ObjectiveName = Literal["cer", "latency_ms", "size_mb", "parameters", "multiply_adds"]

DEFAULT_PRUNER = "asha"


class SearchSettings(Frozen):
    """The ``search`` section of a space."""

    objective: tuple[ObjectiveName, ...] = Field(
        ("cer",),
        description="Quantities to minimise: cer, or a list of cer and others. With several, the "
        "result is a Pareto front instead of one best trial.",
    )
    sampler: SamplerSettings = SamplerSettings()
    pruner: PrunerSettings = AshaSettings()
    constraints: ConstraintSettings = ConstraintSettings()
    folds: Annotated[Integer, Field(ge=1, le=MAX_FOLDS)] | Literal["auto"] = Field(
        "auto",
        description="Number of folds for cross-validation. The best trials of the first fold are "
        "trained on the others too and compared on all of them. 1: validation split only. auto: "
        "5 or fewer for 24 to 300 training and validation images, otherwise 1.",
    )
    try_first: tuple[dict[str, object], ...] = Field(
        (), description="Configurations to try first; the sampler suggests missing values."
    )

    @model_validator(mode="before")
    @classmethod
    def _train_in_full(cls, values: Any) -> Any:
        """Disable pruning for several objectives, unless the space names a pruner."""
        several = isinstance(values, dict) and isinstance(values.get("objective"), list)
        if several and len(values["objective"]) > 1 and "pruner" not in values:
            return {**values, "pruner": {"name": "none"}}
        return values

    @model_validator(mode="after")
    def _parts_go_together(self) -> SearchSettings:
        names = list(self.objective)
        if names[:1] != ["cer"] or len(set(names)) < len(names):
            raise ValueError(f"objective: found {names}, must be cer and then others, each once")
        if len(names) > 1 and self.pruner.name not in ("asha", "none"):
            raise ValueError(
                f"pruner: found {self.pruner.name}, must be asha or none with several objectives"
            )
        if len(names) > 1 and self.sampler.name == "cmaes":
            raise ValueError("sampler: found cmaes, which supports one objective only; use tpe")
        if self.folds not in ("auto", 1) and not self.can_fold:
            raise ValueError(
                f"folds: found {self.folds}, must be 1 or auto unless the pruner is asha and "
                "the objective is cer"
            )
        return self

    @property
    def can_fold(self) -> bool:
        """Whether trials can be trained on several folds: the pruner has to pause them between."""
        return isinstance(self.pruner, AshaSettings) and len(self.objective) == 1

    @property
    def n_folds(self) -> int | None:
        """Number of folds; None if it depends on the data."""
        if not self.can_fold:
            return 1
        return None if self.folds == "auto" else self.folds

    @field_validator("folds", mode="before")
    @classmethod
    def _auto_or_a_number(cls, value: Any) -> Any:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if value != "auto" and not (is_number and 1 <= value <= MAX_FOLDS):
            raise ValueError(f"must be auto or a number from 1 to {MAX_FOLDS}")
        return value

    @field_validator("objective", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("pruner", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"must be a section such as {{name: {value}}}")
        return {"name": DEFAULT_PRUNER, **value} if isinstance(value, dict) else value
