"""Rows of Optuna's tables, checked one by one: a damaged row affects only its trial.

Values are read as stored, with limits on their length and number, and converted here.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    json_to_distribution,
)
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, case, func, select
from sqlalchemy import types as sql_types
from sqlalchemy.sql.expression import type_coerce

from ocrsearch.core import StudyError, current_path, current_value, current_values
from ocrsearch.studies.optuna_internals import is_choice, models, time_columns
from ocrsearch.studies.records import shown

MAX_TEXT = 8_000_000
"""Maximum length of a value, in characters; longer values are not read."""

MAX_TOTAL_TEXT = 500_000_000
"""Maximum number of characters to read from a table."""

MAX_ROWS = 2_000_000
"""Maximum number of rows to read from a table."""

QUEUED = "fixed_params"
"""System attribute of Optuna with the values of a queued trial."""

MAX_NUMBER = 10**7
"""Maximum trial number."""


@dataclass(frozen=True)
class DamagedTrial:
    """A trial with damaged rows.

    Attributes:
        number: number of the trial, or its id if the number is damaged.
        reason: name of the damaged part, and the value found.
    """

    number: int
    reason: str


def as_stored(column: Any) -> ColumnElement[Any]:
    """Return a column without type conversion, so that a value of the wrong type cannot fail."""
    return type_coerce(column, sql_types.NullType())


def _text(column: Any) -> ColumnElement[Any]:
    """Return a text column, with None in place of values that are too long."""
    return case((func.length(column) > MAX_TEXT, None), else_=as_stored(column))


def read_rows(connection: Connection, query: Any) -> list[Any]:
    """Return the rows of a query.

    Raises:
        StudyError: there are too many rows or characters.
    """
    rows: list[Any] = []
    n_characters = 0
    for row in connection.execute(query.limit(MAX_ROWS + 1)):
        rows.append(row)
        n_characters += len(row[-1]) if isinstance(row[-1], str | bytes) else 0
        if len(rows) > MAX_ROWS or n_characters > MAX_TOTAL_TEXT:
            url = connection.engine.url.render_as_string(hide_password=True)
            raise StudyError(
                f"{url}: a table holds more than {MAX_ROWS:,} rows or {MAX_TOTAL_TEXT:,} "
                "characters, which is more than ocrsearch reads"
            )
    return rows


def read_directions(connection: Connection, study_id: int) -> list[StudyDirection]:
    """Return the directions of a study; NOT_SET for an invalid value."""
    table = models.StudyDirectionModel
    query = select(as_stored(table.objective), as_stored(table.direction)).where(
        table.study_id == study_id
    )
    rows = read_rows(connection, query.order_by(table.objective))
    known = {direction.name: direction for direction in StudyDirection}
    return [known.get(str(name), StudyDirection.NOT_SET) for _, name in rows]


def read_study_attributes(
    connection: Connection, study_id: int, table: Any = models.StudyUserAttributeModel
) -> dict[str, object]:
    """Return the attributes of a study; None for a value that is not JSON."""
    query = select(as_stored(table.key), _text(table.value_json)).where(table.study_id == study_id)
    attributes: dict[str, object] = {}
    for key, text in read_rows(connection, query):
        try:
            attributes[str(key)] = _from_json(text)
        except (ValueError, RecursionError):
            attributes[str(key)] = None
    return attributes


def _from_json(text: object) -> Any:
    """Parse a JSON value.

    Raises:
        ValueError: the text is missing or not JSON.
    """
    if not isinstance(text, str):
        raise ValueError("too long" if text is None else "not a text")
    return json.loads(text)


def read_trials(
    connection: Connection, chosen: ColumnElement[bool]
) -> tuple[list[FrozenTrial], dict[int, DamagedTrial]]:
    """Return the selected trials sorted by id, and the damaged trials by id."""
    trial, param = models.TrialModel, models.TrialParamModel
    value, step = models.TrialValueModel, models.TrialIntermediateValueModel
    user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel

    def by_trial(key: Any, *columns: Any) -> dict[int, list[Any]]:
        """Return the rows of a table by trial, sorted by a key."""
        table = key.class_
        query = select(table.trial_id, *map(as_stored, columns)).join(
            trial, trial.trial_id == table.trial_id
        )
        rows: dict[int, list[Any]] = defaultdict(list)
        for row in read_rows(connection, query.where(chosen).order_by(key)):
            rows[row[0]].append(row[1:])
        return rows

    columns = (trial.number, trial.state, *time_columns())
    query = select(trial.trial_id, *map(as_stored, columns)).where(chosen).order_by(trial.trial_id)
    found = read_rows(connection, query)
    parts = {
        "values": by_trial(value.objective, value.value, value.value_type),
        "intermediate values": by_trial(
            step.step, step.step, step.intermediate_value, step.intermediate_value_type
        ),
        "user attribute": by_trial(user.trial_user_attribute_id, user.key, _text(user.value_json)),
        "system attribute": by_trial(
            system.trial_system_attribute_id, system.key, _text(system.value_json)
        ),
        "parameter": by_trial(
            param.param_id, param.param_name, param.param_value, _text(param.distribution_json)
        ),
    }
    return _checked(found, parts)


def _checked(
    found: list[Any], parts: dict[str, dict[int, list[Any]]]
) -> tuple[list[FrozenTrial], dict[int, DamagedTrial]]:
    """Return the trials built from these rows, and the damaged trials by id."""
    trials: list[FrozenTrial] = []
    damaged: dict[int, DamagedTrial] = {}
    numbers: set[int] = set()
    for row in found:
        trial_id, number = row[0], row[1]
        try:
            made = _trial(row, {name: rows[trial_id] for name, rows in parts.items()})
            if number in numbers:  # both would use the same folder
                raise _DamagedError(f"number: another trial has {number} too")
        except _DamagedError as error:
            there = isinstance(number, int) and 0 <= number <= MAX_NUMBER
            damaged[trial_id] = DamagedTrial(number if there else trial_id, str(error))
            continue
        numbers.add(number)
        trials.append(made)
    return trials, damaged


class _DamagedError(Exception):
    """Raised if a part of a trial cannot be read."""


def _trial(row: Any, parts: dict[str, list[Any]]) -> FrozenTrial:
    """Build a trial from its rows.

    Raises:
        _DamagedError: a part does not have the type that Optuna writes.
    """
    trial_id, number, state, start, end = row
    params = {
        _name(name): _part(name, _parameter, name, stored, text)
        for name, stored, text in parts["parameter"]
    }
    system_attrs = {_name(k): _part(k, _from_json, text) for k, text in parts["system attribute"]}
    if isinstance(queued := system_attrs.get(QUEUED), dict):
        system_attrs[QUEUED] = _by_current_names(queued)
    values = {name: external for name, (external, _) in params.items()}
    distributions = {current_path(name): found for name, (_, found) in params.items()}
    return FrozenTrial(
        number=_part("number", _number, number),
        state=_part("state", lambda stored: TrialState[str(stored)], state),
        value=None,
        values=[_part("value", _value, *pair) for pair in parts["values"]] or None,
        datetime_start=_part("start time", _local, start),
        datetime_complete=_part("end time", _local, end),
        params=_by_current_names(values),
        distributions=distributions,
        user_attrs={_name(k): _part(k, _from_json, text) for k, text in parts["user attribute"]},
        system_attrs=system_attrs,
        intermediate_values={
            _part("step", _number, s): _part(f"value of step {s}", _value, v, kind)
            for s, v, kind in parts["intermediate values"]
        },
        trial_id=trial_id,
    )


def _part(name: object, read: Any, *stored: Any) -> Any:
    """Read a part of a trial; if that fails, raise an error with the name of the part."""
    try:
        return read(*stored)
    except Exception as error:  # a value of any type can cause any error
        found = f"found {shown(stored[-1])}"
        problem = f" ({shown(error)})" if str(error) else ""
        raise _DamagedError(f"{shown(name).strip(chr(39))}: {found}{problem}") from None


def _name(name: object) -> str:
    """Return the name of an attribute or a parameter."""
    if not isinstance(name, str):
        raise _DamagedError(f"name: found {shown(name)}, must be a text")
    return name


def _number(stored: object) -> int:
    if not isinstance(stored, int) or not 0 <= stored <= MAX_NUMBER:
        raise ValueError(f"must be from 0 to {MAX_NUMBER}")
    return stored


def _value(stored: object, kind: object) -> float:
    """Return a value; its kind marks infinity and NaN."""
    special = {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}
    if kind in special:
        return special[str(kind)]
    if kind != "FINITE" or not isinstance(stored, int | float):
        raise ValueError("not a number")
    return float(stored)


def _by_current_names(values: dict[str, Any]) -> dict[str, Any]:
    """Return parameters with the names and values of this version.

    Raises:
        _DamagedError: a parameter has its former and its current name.
    """
    try:
        return current_values(values)
    except ValueError as error:
        raise _DamagedError(str(error)) from None


def _parameter(name: str, stored: object, text: object) -> tuple[Any, BaseDistribution]:
    """Return the value of a parameter in its own type, and its distribution."""
    if not isinstance(text, str) or not isinstance(stored, int | float):
        raise ValueError("not a number with a distribution")
    distribution = _distribution(current_path(name), text)
    if isinstance(distribution, CategoricalDistribution) and not is_choice(distribution, stored):
        raise ValueError("not among the choices")
    return distribution.to_external_repr(stored), distribution


@lru_cache(maxsize=4096)
def _distribution(path: str, text: str) -> BaseDistribution:
    found = json_to_distribution(text)
    if isinstance(found, CategoricalDistribution):
        return CategoricalDistribution(current_value(path, found.choices))
    return found


def _local(stored: object) -> datetime | None:
    """Convert a naive UTC time to naive local time, as in Optuna's trials."""
    if stored is None:
        return None
    time = stored if isinstance(stored, datetime) else datetime.fromisoformat(str(stored))
    return time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
