"""The ``search`` part of a space: who suggests, who stops, what a network may be, what is small."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from ocrsearch.core import Frozen, Integer, Number

MAX_COUNT = 1_000_000
"""Most trials or epochs that a setting can speak of."""

MAX_LIMIT = 1e15
"""Highest limit of a network: bytes, weights or multiply-adds."""

SamplerName = Literal["tpe", "gp", "cmaes", "random", "qmc", "nsgaii"]


class SamplerSettings(Frozen):
    """Who suggests configurations."""

    name: SamplerName = Field("tpe", description="Optuna's sampler.")
    startup_trials: Integer = Field(
        10, ge=1, le=MAX_COUNT, description="Random configurations before TPE, GP or CMA-ES begin."
    )


class PromotionSettings(Frozen):
    """Stop all at rungs of epochs, and continue the best third of each from its checkpoint.

    When the time of a search runs short, the best that wait go on instead of new ones.
    """

    name: Literal["promotion"] = "promotion"
    rungs: tuple[Annotated[Integer, Field(le=MAX_COUNT)], ...] = Field(
        (), description="Epochs, rising; by default a third of the most, and a third of that."
    )

    @field_validator("rungs")
    @classmethod
    def _rising(cls, rungs: tuple[int, ...]) -> tuple[int, ...]:
        if any(b <= a for a, b in pairwise((0, *rungs))):
            raise ValueError("must be epochs that rise from 1")
        return rungs


class MedianSettings(Frozen):
    """Stop what is worse than the median of the others at the same epoch."""

    name: Literal["median"] = "median"
    startup_trials: Integer = Field(
        5, ge=0, le=MAX_COUNT, description="Trials that are never stopped, at first."
    )
    warmup_epochs: Integer = Field(
        5, ge=0, le=MAX_COUNT, description="Epochs in which a trial is never stopped."
    )


class PercentileSettings(Frozen):
    """Stop what is not among the best share of the others at the same epoch."""

    name: Literal["percentile"] = "percentile"
    keep_percent: Number = Field(25.0, ge=0.0, le=100.0, description="Share that goes on.")
    startup_trials: Integer = Field(
        5, ge=0, le=MAX_COUNT, description="Trials that are never stopped, at first."
    )
    warmup_epochs: Integer = Field(
        5, ge=0, le=MAX_COUNT, description="Epochs in which a trial is never stopped."
    )


class HalvingSettings(Frozen):
    """Optuna's successive halving: stop at rungs all but the best share, for good."""

    name: Literal["successive_halving"] = "successive_halving"
    min_epochs: Integer = Field(
        5, ge=1, le=MAX_COUNT, description="First rung; each is reduction times the last."
    )
    reduction: Integer = Field(3, ge=2, le=MAX_COUNT, description="One in so many goes on.")


class HyperbandSettings(Frozen):
    """Optuna's hyperband: successive halving with several first rungs."""

    name: Literal["hyperband"] = "hyperband"
    min_epochs: Integer = Field(
        5, ge=1, le=MAX_COUNT, description="First rung of the first bracket."
    )
    reduction: Integer = Field(3, ge=2, le=MAX_COUNT, description="One in so many goes on.")


class NoPruner(Frozen):
    """Train every configuration in full."""

    name: Literal["none"] = "none"


PrunerSettings = Annotated[
    PromotionSettings
    | MedianSettings
    | PercentileSettings
    | HalvingSettings
    | HyperbandSettings
    | NoPruner,
    Field(discriminator="name"),
]


class ConstraintSettings(Frozen):
    """Limits of a network; what is over one is never trained, and the sampler learns of it."""

    size_mb: Number | None = Field(
        None, gt=0.0, le=MAX_LIMIT, description="Weights of 4 bytes, in megabytes."
    )
    parameters: Integer | None = Field(None, ge=1, le=MAX_LIMIT, description="Number of weights.")
    multiply_adds: Number | None = Field(
        None, gt=0.0, le=MAX_LIMIT, description="Of the network, for a picture of median width."
    )
    memory_mb: Number | None = Field(
        None, gt=0.0, le=MAX_LIMIT, description="Estimate of what training takes, in megabytes."
    )
    latency_ms: Number | None = Field(
        None,
        gt=0.0,
        le=MAX_LIMIT,
        description="Time of the network for a picture of median width, alone and in one thread, "
        "measured once for each network before it is trained.",
    )


MAX_FOLDS = 20

ObjectiveName = Literal["cer", "latency_ms", "size_mb", "parameters", "multiply_adds"]

DEFAULT_PRUNER = "promotion"


class SearchSettings(Frozen):
    """The ``search`` part of a space."""

    objective: tuple[ObjectiveName, ...] = Field(
        ("cer",),
        description="What is to be small: cer, or a list of cer and others; then there is no one "
        "best, but a set of those that nothing beats in all.",
    )
    sampler: SamplerSettings = SamplerSettings()
    pruner: PrunerSettings = PromotionSettings()
    constraints: ConstraintSettings = ConstraintSettings()
    folds: Annotated[Integer, Field(ge=1, le=MAX_FOLDS)] | Literal["auto"] = Field(
        "auto",
        description="Number of folds for cross-validation: a configuration that is among the best "
        "on the first fold is trained on the others too, and judged by all. 1: the validation "
        "split alone. auto: 5 or fewer for 24 to 300 training and validation images, else 1.",
    )
    try_first: tuple[dict[str, Any], ...] = Field(
        (), description="Configurations to try first; what they leave out is suggested."
    )

    @model_validator(mode="before")
    @classmethod
    def _train_in_full(cls, values: Any) -> Any:
        """Stop nothing early for several objectives, unless the space says so."""
        several = isinstance(values, dict) and isinstance(values.get("objective"), list)
        if several and len(values["objective"]) > 1 and "pruner" not in values:
            return {**values, "pruner": {"name": "none"}}
        return values

    @model_validator(mode="after")
    def _objectives_go_together(self) -> SearchSettings:
        names = list(self.objective)
        if names[:1] != ["cer"] or len(set(names)) < len(names):
            raise ValueError(f"objective: found {names}, must be cer and then others, each once")
        if len(names) > 1 and self.pruner.name not in ("promotion", "none"):
            raise ValueError(
                f"pruner: found {self.pruner.name}, must be promotion or none where there are "
                "several objectives"
            )
        if len(names) > 1 and self.sampler.name == "cmaes":
            raise ValueError("sampler: found cmaes, which knows one objective; tpe knows several")
        return self

    @model_validator(mode="after")
    def _folds_need_promotion(self) -> SearchSettings:
        if self.folds not in ("auto", 1) and not self._can_fold:
            raise ValueError(
                f"folds: found {self.folds}, must be 1 or auto unless the pruner is promotion and "
                "the objective is cer"
            )
        return self

    @property
    def _can_fold(self) -> bool:
        return isinstance(self.pruner, PromotionSettings) and len(self.objective) == 1

    @property
    def n_folds(self) -> int | None:
        """Number of folds, None if it follows from the data."""
        if not self._can_fold:
            return 1
        return None if self.folds == "auto" else self.folds

    @field_validator("folds", mode="before")
    @classmethod
    def _auto_or_a_number(cls, value: Any) -> Any:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if value != "auto" and not (is_number and 1 <= value <= MAX_FOLDS):
            raise ValueError(f"must be auto, or a number from 1 to {MAX_FOLDS}")
        return value

    @field_validator("objective", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @field_validator("pruner", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str):
            raise ValueError(f"must be a section, as {{name: {value}}}")
        return {"name": DEFAULT_PRUNER, **value} if isinstance(value, dict) else value
