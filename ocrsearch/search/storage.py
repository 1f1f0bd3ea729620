"""Optuna's storage of studies, with trials read by a few plain queries and row by row.

Optuna makes an object of every value of a trial and reads each distribution's text anew: most of
the time that a command on a large study takes, see ``scripts/bench_engine.py large``. It also
fails on all trials when a single row is damaged. Here such a trial is set aside.
"""

from __future__ import annotations

import json
import shlex
import sqlite3
from collections import defaultdict
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    json_to_distribution,
)
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, case, delete, func, or_, select, update
from sqlalchemy import types as sql_types
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.expression import type_coerce

from ocrsearch.errors import StudyError
from ocrsearch.search.guarded_sqlite import OVER_TIME, TIME_LIMIT_S
from ocrsearch.search.records import shown

MAX_TEXT = 8_000_000
"""Longest text of one value, in characters; a longer one is not read."""

MAX_TOTAL_TEXT = 500_000_000
"""Most characters that are read of one table."""

MAX_ROWS = 2_000_000
"""Most rows that are read of one table."""

MAX_NUMBER = 10**7
"""Largest number of a trial."""


@dataclass(frozen=True)
class DamagedTrial:
    """A trial whose rows cannot be read.

    Attributes:
        number: number of the trial, or the id of its row if the number is damaged.
        reason: part that is damaged, and the value found.
    """

    number: int
    reason: str


DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, UnicodeDecodeError)
"""Raised by damaged databases. SQLite's own message need not be UTF-8 if it quotes a name."""


class StudyStorage(optuna.storages.RDBStorage):
    """Reads the same trials as Optuna's own, faster; all else is Optuna's.

    Attributes:
        damaged: trials that could not be read, by study and by id.
    """

    damaged: dict[int, dict[int, DamagedTrial]]

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        known = models.TrialModel
        older = [i for i in included_trial_ids if i <= trial_id_greater_than]
        chosen = known.study_id == study_id
        if trial_id_greater_than > -1:
            newer = known.trial_id > trial_id_greater_than
            chosen &= or_(newer, known.trial_id.in_(older)) if older else newer
        if states is not None:
            chosen &= known.state.in_([s for s in TrialState if s in states])
        with self._reading() as connection:
            there = select(models.StudyModel.study_id).where(models.StudyModel.study_id == study_id)
            if connection.scalar(there) is None:
                raise KeyError(models.NOT_FOUND_MSG)
            trials, damaged = _read(connection, chosen)
        self.damaged_of(study_id).update(damaged)
        return trials

    def damaged_of(self, study_id: int) -> dict[int, DamagedTrial]:
        """Return the trials of a study that could not be read so far, by id."""
        if not hasattr(self, "damaged"):
            self.damaged = {}
        return self.damaged.setdefault(study_id, {})

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial.

        Raises:
            KeyError: there is none of this id.
            StudyError: it is damaged.
        """
        with self._reading() as connection:
            trials, damaged = _read(connection, models.TrialModel.trial_id == trial_id)
        for found in damaged.values():
            raise StudyError(f"trial {found.number} is damaged in the database: {found.reason}")
        if not trials:
            raise KeyError(models.NOT_FOUND_MSG)
        return trials[0]

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies; an attribute that is not JSON is None."""
        study = models.StudyModel
        with self._reading() as connection:
            query = select(study.study_id, _raw(study.study_name)).order_by(study.study_id)
            rows = _rows(connection, query)
            ids = [study_id for study_id, name in rows if isinstance(name, str)]
            directions = {study_id: _directions(connection, study_id) for study_id in ids}
            user = {study_id: _study_attributes(connection, study_id) for study_id in ids}
        return [
            FrozenStudy(
                study_name=name,
                direction=None,
                directions=directions[study_id],
                user_attrs=user[study_id],
                system_attrs={},
                study_id=study_id,
            )
            for study_id, name in rows
            if isinstance(name, str)
        ]

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        """Return the directions of a study; NOT_SET for an unknown one."""
        with self._reading() as connection:
            return _directions(connection, study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        """Return the attributes of a study; an attribute that is not JSON is None."""
        with self._reading() as connection:
            return _study_attributes(connection, study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """Return Optuna's own attributes of a study, without those that are not JSON."""
        with self._reading() as connection:
            found = _study_attributes(connection, study_id, models.StudySystemAttributeModel)
        return {key: value for key, value in found.items() if value is not None}

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of a study.

        Raises:
            KeyError: there is none of this name.
        """
        study = models.StudyModel
        with self._reading() as connection:
            query = select(study.study_id).where(study.study_name == study_name)
            found = connection.scalars(query.order_by(study.study_id)).first()
        if found is None:
            raise KeyError(models.NOT_FOUND_MSG)
        return int(found)

    def delete_study(self, study_id: int) -> None:
        """Delete a study with all that belongs to it, damaged rows too."""
        trials = select(models.TrialModel.trial_id).where(models.TrialModel.study_id == study_id)
        of_trials = (
            *(models.TrialValueModel, models.TrialIntermediateValueModel, models.TrialParamModel),
            *(models.TrialUserAttributeModel, models.TrialSystemAttributeModel),
            models.TrialHeartbeatModel,
        )
        of_study = (
            *(models.TrialModel, models.StudyDirectionModel, models.StudyUserAttributeModel),
            *(models.StudySystemAttributeModel, models.StudyModel),
        )
        with self.engine.begin() as connection:
            for table in of_trials:
                connection.execute(delete(table).where(table.trial_id.in_(trials)))
            for table in of_study:
                connection.execute(delete(table).where(table.study_id == study_id))

    def fail_trials(self, trial_ids: Sequence[int]) -> None:
        """Set trials that nobody understands to FAIL, if they are not finished yet."""
        trial = models.TrialModel
        with self.engine.begin() as connection:
            for trial_id in trial_ids:
                unfinished = trial.state.in_([TrialState.RUNNING, TrialState.WAITING])
                connection.execute(
                    update(trial)
                    .where(trial.trial_id == trial_id, unfinished)
                    .values(
                        state=TrialState.FAIL,
                        _datetime_complete_utc=datetime.now(UTC).replace(tzinfo=None),
                    )
                )

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        # Optuna would look for one among the rows of other trials, which may be damaged; the
        # space of a study never changes
        previous = previous_distribution or distribution
        super()._set_trial_param(trial_id, param_name, param_value_internal, distribution, previous)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Open a connection to read from, and explain in one line why reading fails.

        Raises:
            StudyError: a table is missing, or anything else that the database says is wrong.
        """
        try:
            with self.engine.connect() as connection:
                yield connection
        except (*DATABASE_ERRORS, OverflowError) as error:
            shown_url = self.engine.url.render_as_string(hide_password=True)
            where = self.engine.url.database if self.engine.name == "sqlite" else shown_url
            raise StudyError(
                f"{where}: cannot read the study database: {database_reason(error)}"
            ) from None


def database_reason(error: BaseException) -> str:
    """Return in a line what a database says is wrong, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, UnicodeDecodeError):
        return "its tables are damaged"
    first = cause.args[0] if cause.args else ""
    said = first.get("M", "") if isinstance(first, dict) else str(cause)
    if OVER_TIME in said:
        return f"a query takes over {TIME_LIMIT_S:g} s; ocrsearch did not write this database"
    return " ".join(str(said).split()) or type(cause).__name__


def schema_problem(error: BaseException, url: str) -> str | None:
    """Return what to do about tables of another version of Optuna, None if it is not that.

    Args:
        error: raised by Optuna.
        url: of the database, without its password.
    """
    said = str(error)
    if not isinstance(error, RuntimeError) or "table schema" not in said:
        return None
    if "storage upgrade" in said:
        command = shlex.join(["optuna", "storage", "upgrade", "--storage", url])
        return f"an older Optuna made its tables; make a copy of it, then convert it by {command}"
    return "a newer Optuna made its tables; install that by pip install -U optuna"


def _raw(column: Any) -> ColumnElement[Any]:
    """Return a column as it is stored: a value of any type must not end the query."""
    return type_coerce(column, sql_types.NullType())


def _text(column: Any) -> ColumnElement[Any]:
    """Return a column of texts, with None in place of one that is too long."""
    return case((func.length(column) > MAX_TEXT, None), else_=_raw(column))


def _rows(connection: Connection, query: Any) -> list[Any]:
    """Return the rows of a query.

    Raises:
        StudyError: there are more than any study has.
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


def _directions(connection: Connection, study_id: int) -> list[StudyDirection]:
    table = models.StudyDirectionModel
    query = select(_raw(table.objective), _raw(table.direction)).where(table.study_id == study_id)
    rows = _rows(connection, query.order_by(table.objective))
    known = {direction.name: direction for direction in StudyDirection}
    return [known.get(str(name), StudyDirection.NOT_SET) for _, name in rows]


def _study_attributes(
    connection: Connection, study_id: int, table: Any = models.StudyUserAttributeModel
) -> dict[str, Any]:
    query = select(_raw(table.key), _text(table.value_json)).where(table.study_id == study_id)
    return {str(key): _json_or_none(text) for key, text in _rows(connection, query)}


def _json_or_none(text: object) -> Any:
    try:
        return _from_json(text)
    except (ValueError, RecursionError):
        return None


def _from_json(text: object) -> Any:
    """Return a JSON value.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(text, str):
        raise ValueError("too long" if text is None else "not a text")
    return json.loads(text)


def _read(
    connection: Connection, chosen: ColumnElement[bool]
) -> tuple[list[FrozenTrial], dict[int, DamagedTrial]]:
    """Return the chosen trials in the order of their ids, and those that are damaged by id."""
    trial, param = models.TrialModel, models.TrialParamModel
    value, step = models.TrialValueModel, models.TrialIntermediateValueModel
    user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel

    def by_trial(key: Any, *columns: Any) -> dict[int, list[Any]]:
        """Return the rows of a table by the trial that they belong to, in the order of a key."""
        table = key.class_
        query = select(table.trial_id, *columns).join(trial, trial.trial_id == table.trial_id)
        rows: dict[int, list[Any]] = defaultdict(list)
        for row in _rows(connection, query.where(chosen).order_by(key)):
            rows[row[0]].append(row[1:])
        return rows

    columns = (trial.number, trial.state, trial._datetime_start_utc, trial._datetime_complete_utc)
    query = select(trial.trial_id, *map(_raw, columns)).where(chosen).order_by(trial.trial_id)
    found = _rows(connection, query)
    parts = {
        "values": by_trial(value.objective, _raw(value.value), _raw(value.value_type)),
        "intermediate values": by_trial(
            step.step,
            *(_raw(step.step), _raw(step.intermediate_value), _raw(step.intermediate_value_type)),
        ),
        "user attribute": by_trial(user.trial_user_attribute_id, user.key, _text(user.value_json)),
        "system attribute": by_trial(
            system.trial_system_attribute_id, system.key, _text(system.value_json)
        ),
        "parameter": by_trial(
            param.param_id,
            param.param_name,
            _raw(param.param_value),
            _text(param.distribution_json),
        ),
    }
    return _checked(found, parts)


def _checked(
    found: list[Any], parts: dict[str, dict[int, list[Any]]]
) -> tuple[list[FrozenTrial], dict[int, DamagedTrial]]:
    trials: list[FrozenTrial] = []
    damaged: dict[int, DamagedTrial] = {}
    numbers: set[int] = set()
    for row in found:
        trial_id, number = row[0], row[1]
        try:
            made = _trial(row, {name: rows[trial_id] for name, rows in parts.items()})
            if number in numbers:
                raise _DamagedError(f"number: another trial has {number} too")
        except _DamagedError as error:
            there = isinstance(number, int) and 0 <= number <= MAX_NUMBER
            damaged[trial_id] = DamagedTrial(number if there else trial_id, str(error))
            continue
        numbers.add(number)
        trials.append(made)
    return trials, damaged


class _DamagedError(Exception):
    """A part of a trial that cannot be read."""


def _trial(row: Any, parts: dict[str, list[Any]]) -> FrozenTrial:
    """Return a trial made of its rows.

    Raises:
        _DamagedError: some part is not of the type that Optuna writes.
    """
    trial_id, number, state, start, end = row
    params = {
        _name(name): _part(name, _parameter, stored, text)
        for name, stored, text in parts["parameter"]
    }
    return FrozenTrial(
        number=_part("number", _number, number),
        state=_part("state", _state, state),
        value=None,
        values=[_part("value", _value, *pair) for pair in parts["values"]] or None,
        datetime_start=_part("start time", _local, start),
        datetime_complete=_part("end time", _local, end),
        params={name: external for name, (external, _) in params.items()},
        distributions={name: distribution for name, (_, distribution) in params.items()},
        user_attrs={_name(k): _part(k, _from_json, text) for k, text in parts["user attribute"]},
        system_attrs={
            _name(k): _part(k, _from_json, text) for k, text in parts["system attribute"]
        },
        intermediate_values={
            _part("step", _number, s): _part(f"value of step {s}", _value, v, kind)
            for s, v, kind in parts["intermediate values"]
        },
        trial_id=trial_id,
    )


def _part(name: object, read: Any, *stored: Any) -> Any:
    """Read a part of a trial; whatever goes wrong, say which part it was."""
    try:
        return read(*stored)
    except Exception as error:  # the values may be of any type, and fail in any way
        found = f"found {shown(stored[-1])}"
        problem = f" ({shown(error)})" if str(error) else ""
        raise _DamagedError(f"{shown(name).strip(chr(39))}: {found}{problem}") from None


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise _DamagedError(f"name: found {shown(name)}, must be a text")
    return name


def _number(stored: object) -> int:
    if not isinstance(stored, int) or not 0 <= stored <= MAX_NUMBER:
        raise ValueError(f"must be from 0 to {MAX_NUMBER}")
    return stored


def _state(stored: object) -> TrialState:
    return TrialState[str(stored)]


def _value(stored: object, kind: object) -> float:
    """Return a value, which is infinite or no number if its kind says so."""
    special = {"INF_POS": float("inf"), "INF_NEG": float("-inf"), "NAN": float("nan")}
    if kind in special:
        return special[str(kind)]
    if kind != "FINITE" or not isinstance(stored, int | float):
        raise ValueError("not a number")
    return float(stored)


def _parameter(stored: object, text: object) -> tuple[Any, BaseDistribution]:
    if not isinstance(text, str) or not isinstance(stored, int | float):
        raise ValueError("not a number with a distribution")
    distribution = _distribution(text)
    if isinstance(distribution, CategoricalDistribution) and not distribution._contains(stored):
        raise ValueError("not among the choices")
    return distribution.to_external_repr(stored), distribution


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    return json_to_distribution(text)


def _local(stored: object) -> datetime | None:
    """Return a time stored in UTC as local time, both without a zone, as Optuna's trials have."""
    if stored is None:
        return None
    time = stored if isinstance(stored, datetime) else datetime.fromisoformat(str(stored))
    return time.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
