"""Attributes of studies and trials: their names and types.

A database may contain rows from Optuna's dashboard or a script, or damaged rows. A trial or study
is ignored if its values do not have these types; ``rows.py`` checks the stored form first.
``write_attributes`` writes only attributes that are declared here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Final, Literal, NotRequired, Unpack, cast

import optuna
from optuna.trial import FrozenTrial, TrialState
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    with_config,
)
from typing_extensions import TypedDict

from ocrsearch.core import current_content
from ocrsearch.studies.optuna_internals import batched_writes
from ocrsearch.training import Epochs, plain_epochs, read_epochs

MAX_EPOCHS = 10_000
MAX_FOLDS = 20
MAX_SHOWN = 60
"""Maximum length of a value in a message, in characters."""

STRICT = ConfigDict(strict=True, extra="ignore")

Finite = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Text = Annotated[str, Field(max_length=1_000_000)]


@with_config(STRICT)
class _Pooled(TypedDict):
    """Metrics pooled over the finished folds."""

    cer: Positive
    wer: Positive
    exact: Finite
    val_loss: Finite


@with_config(STRICT)
class _Epoch(TypedDict):
    """Record of an epoch, as created by ``session.epoch_record``."""

    epoch: Annotated[int, Field(ge=1, le=MAX_EPOCHS)]
    cer: Positive
    wer: Positive
    exact: Finite
    val_loss: Finite
    train_loss: NotRequired[Finite]
    seconds: Positive
    learning_rate: NotRequired[Positive]
    is_best: NotRequired[bool]
    fold: NotRequired[Annotated[int, Field(ge=1, le=MAX_FOLDS)]]
    n_folds: NotRequired[Annotated[int, Field(ge=1, le=MAX_FOLDS)]]
    pooled: NotRequired[_Pooled]


@with_config(STRICT)
class TrainingOrigin(TypedDict, total=False):
    """Seed, device and versions behind a result; ``ended`` is in seconds since 1970."""

    seed: Count
    config: Text
    device: Text
    precision: Text
    data_fingerprint: Text
    versions: dict[str, Text]
    transfer: dict[str, object] | None
    ended: Positive


@with_config(STRICT)
class WarmStartOrigin(TypedDict):
    """The trial of another study that a trial was copied from: study, number, CER as a fraction."""

    study: Text
    trial: Count
    cer: Positive


EPOCHS: Final = "epochs"
"""Records of all epochs."""

ORIGIN: Final = "origin"
"""Seed, device and versions behind the result."""

PAUSED: Final = "paused"
"""Number of epochs of a paused trial; None after it is resumed."""

REPEATED: Final = "repeated"
"""Whether the trial was skipped because its configuration was tried before."""

HALVED: Final = "halved_batch"
"""Whether the batch size was halved because the whole batch needed too much memory."""

INFEASIBLE: Final = "infeasible"
"""Reasons why the trial is infeasible."""

EXCESS: Final = "excess"
"""Excess over each limit of an infeasible trial, as a fraction of the limit."""

FAILURE: Final = "failure"
"""Reason for the failure of the trial."""

EARLIER: Final = "warm_start"
"""The warm-start trial that the trial was copied from."""

OWNER: Final = "coordinator"
"""Slot of the last coordinator that trained the trial."""


@with_config(STRICT)
class TrialAttributes(TypedDict, total=False):
    """User attributes of a trial; other programs may add more.

    Older versions wrote the entries of ``origin`` and the metrics of the best epoch one by one.
    """

    epochs: Annotated[list[_Epoch], Field(max_length=MAX_EPOCHS)]
    cer: Positive
    wer: Positive
    exact: Finite
    val_loss: Finite
    seconds: Positive
    n_epochs: Count
    best_epoch: Count
    n_parameters: Count
    size_mb: Positive
    multiply_adds: Positive
    latency_ms: Positive
    seed: Count
    architecture: Annotated[str, Field(max_length=100)]
    device: Text
    precision: Text
    data_fingerprint: Text
    config: Text
    versions: dict[str, Text]
    transfer: dict[str, object] | None
    origin: TrainingOrigin
    paused: Annotated[int, Field(ge=1, le=MAX_EPOCHS)] | None
    repeated: bool
    halved_batch: bool
    infeasible: Text
    excess: Annotated[dict[str, Finite], Field(min_length=1)]
    failure: Text
    traceback: Text
    warm_start: WarmStartOrigin
    coordinator: Count


ObjectiveMetric = Literal["cer", "latency_ms", "size_mb", "n_parameters", "multiply_adds"]

METRIC_OF: Mapping[str, ObjectiveMetric] = {
    "cer": "cer",
    "latency_ms": "latency_ms",
    "size_mb": "size_mb",
    "parameters": "n_parameters",
    "multiply_adds": "multiply_adds",
}
"""User attribute of a trial for each objective."""


@with_config(STRICT)
class _SystemAttributes(TypedDict, total=False):
    """System attributes with which Optuna stores a queued configuration."""

    fixed_params: dict[str, object]


class StoredFacts(BaseModel):
    """Facts of a study, as written by ``StudyFacts``; older studies lack some of them."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    version: int = 1
    id: Annotated[str, Field(pattern="^[0-9a-f]{8,64}$")] | None = None
    space_name: Text
    space: dict[str, object]
    search: dict[str, object] | None = None
    data_spec: Text
    data_fingerprint: Text
    n_samples: dict[str, Count] = {}
    data_options: dict[str, object] = {}
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    init: Text | None = None
    objective: Annotated[list[str], Field(min_length=1, max_length=10)] = ["cer"]
    folds: Annotated[int, Field(ge=1, le=MAX_FOLDS)] = 1
    constraints: dict[str, Positive] = {}

    @field_validator("space")
    @classmethod
    def _space_by_current_names(cls, space: dict[str, object]) -> dict[str, object]:
        return current_content(space)

    @field_validator("search")
    @classmethod
    def _search_by_current_names(cls, search: dict[str, object] | None) -> dict[str, object] | None:
        return None if search is None else current_content(search, "search")


_ATTRIBUTES = TypeAdapter(TrialAttributes)
_SYSTEM_ATTRIBUTES = TypeAdapter(_SystemAttributes)


def trial_problem(trial: FrozenTrial, n_objectives: int) -> str | None:
    """Return the reason why a trial is invalid; None if it is valid.

    Args:
        trial: trial as stored.
        n_objectives: number of objective values of a finished trial.
    """
    attrs, state = trial.user_attrs, trial.state
    try:
        _ATTRIBUTES.validate_python(attrs)
        _SYSTEM_ATTRIBUTES.validate_python(trial.system_attrs)
    except ValidationError as error:
        return explain(error)
    epochs = attrs.get(EPOCHS, [])
    if [record["epoch"] for record in epochs] != list(range(1, len(epochs) + 1)):
        return "epochs: must be numbered from 1"
    if state == TrialState.COMPLETE and not epochs:
        return "it is finished without epochs: another program ran it"
    if state == TrialState.COMPLETE and not _are_numbers(trial.values, n_objectives):
        return f"values: found {shown(trial.values)}, must be {n_objectives} finite"
    if attrs.get(PAUSED) is not None and not epochs:
        return "it is paused without epochs"
    return _problem_of_numbers(trial)


def _are_numbers(values: object, n: int) -> bool:
    return isinstance(values, list) and len(values) == n and all(map(math.isfinite, values))


def _problem_of_numbers(trial: FrozenTrial) -> str | None:
    for path, value in trial.params.items():
        plain = value is None or isinstance(value, bool | int | float | str)
        if not plain or (isinstance(value, float) and not math.isfinite(value)):
            return f"{path}: found {shown(value)}, must be a plain value"
    for key, value in trial.system_attrs.items():
        constraints = value if key == "constraints" else [value]
        if key.partition(":")[0] == "constraints" and not _are_constraints(constraints):
            return f"{key}: found {shown(value)}, must be a number"
    return None


def _are_constraints(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and not math.isnan(v) for v in values
    )


def attributes_of(trial: FrozenTrial | optuna.Trial) -> TrialAttributes:
    """Return the user attributes of a trial without a ``trial_problem``."""
    return cast("TrialAttributes", trial.user_attrs)


def write_attributes(trial: optuna.Trial, **attributes: Unpack[TrialAttributes]) -> None:
    """Write user attributes of a trial in one transaction."""
    with batched_writes(trial.study):
        for name, value in attributes.items():
            trial.set_user_attr(name, value)


def trial_epochs(trial: FrozenTrial | optuna.Trial) -> Epochs:
    """Return the epoch records of a trial without a ``trial_problem``."""
    return read_epochs(trial.user_attrs.get(EPOCHS, []))


def write_epochs(trial: optuna.Trial, epochs: Epochs) -> None:
    """Write the epoch records of a trial, in place of the earlier ones."""
    trial.set_user_attr(EPOCHS, plain_epochs(epochs))


def facts_problem(facts: object, n_objectives: int, check: Callable[..., object]) -> str | None:
    """Return the reason why the facts of a study are invalid; None if they are valid.

    Args:
        facts: facts as stored.
        n_objectives: number of directions of the study.
        check: function that raises an exception if the data options are invalid.
    """
    try:
        known = StoredFacts.model_validate(facts)
        check(known.data_options)
    except ValidationError as error:
        return explain(error)
    except Exception as error:  # the options may be anything, and so may the error
        return f"data_options: {shown(error)}"
    if len(known.objective) != n_objectives:
        return f"objective: found {len(known.objective)}, the study has {n_objectives}"
    return None


def text_by_text(value: object) -> dict[str, str]:
    """Return the string entries of a stored dictionary; empty for any other value."""
    if not isinstance(value, dict):
        return {}
    return {key: text for key, text in value.items() if isinstance(text, str)}


def number_or_none(value: object) -> float | None:
    """Return a stored value if it is a positive number, otherwise None."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < math.inf else None  # type: ignore[operator, arg-type]


def explain(error: ValidationError) -> str:
    """Return the first error of a validation in a few words."""
    finding = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in finding["loc"]) or "it"
    message = finding["msg"][:1].lower() + finding["msg"][1:]
    if finding["type"] == "missing":
        return f"{where}: is missing"
    message = message.replace("input should", "must")
    return f"{where}: found {shown(finding['input'])}, {message}"


def shown(value: object) -> str:
    """Return a value for a message, truncated and on a single line."""
    if isinstance(value, str | bytes):
        value = value[: 2 * MAX_SHOWN]
    elif isinstance(value, Mapping | list):
        return f"{type(value).__name__} of {len(value)}"
    elif isinstance(value, int) and value.bit_length() > 200:
        return "a huge number"
    text = " ".join((str(value) if isinstance(value, Exception) else repr(value)).split())
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 3]}..."
