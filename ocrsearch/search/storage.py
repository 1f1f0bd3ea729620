"""Optuna's storage of studies, with trials read by a few plain queries.

Optuna makes an object of every value of a trial and reads each distribution's text anew: most of
the time that a command on a large study takes, see ``scripts/bench_engine.py large``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import optuna
from optuna.distributions import json_to_distribution
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, or_, select


class StudyStorage(optuna.storages.RDBStorage):
    """Reads the same trials as Optuna's own, faster; all else is Optuna's."""

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
        with self.engine.connect() as connection:
            there = select(models.StudyModel.study_id).where(models.StudyModel.study_id == study_id)
            if connection.scalar(there) is None:
                raise KeyError(models.NOT_FOUND_MSG)
            return _read(connection, chosen)


def _read(connection: Connection, chosen: ColumnElement[bool]) -> list[FrozenTrial]:
    trial, param = models.TrialModel, models.TrialParamModel
    value, step = models.TrialValueModel, models.TrialIntermediateValueModel
    user, system = models.TrialUserAttributeModel, models.TrialSystemAttributeModel
    to_value, to_step = value.stored_repr_to_value, step.stored_repr_to_intermediate_value

    def by_trial(key: Any, *columns: Any) -> dict[int, list[Any]]:
        """Return the rows of a table by the trial that they belong to, in the order of a key."""
        table = key.class_
        query = select(table.trial_id, *columns).join(trial, trial.trial_id == table.trial_id)
        rows: dict[int, list[Any]] = defaultdict(list)
        for row in connection.execute(query.where(chosen).order_by(key)):
            rows[row[0]].append(row)
        return rows

    columns = (trial.trial_id, trial.number, trial.state)
    times = (trial._datetime_start_utc, trial._datetime_complete_utc)
    found = connection.execute(
        select(*columns, *times).where(chosen).order_by(trial.trial_id)
    ).all()
    values = by_trial(value.objective, value.value, value.value_type)
    steps = by_trial(step.step, step.step, step.intermediate_value, step.intermediate_value_type)
    users = by_trial(user.trial_user_attribute_id, user.key, user.value_json)
    systems = by_trial(system.trial_system_attribute_id, system.key, system.value_json)
    params = by_trial(param.param_id, param.param_name, param.param_value, param.distribution_json)
    return [
        FrozenTrial(
            number=number,
            state=state,
            value=None,
            values=[to_value(v, kind) for _, v, kind in values[trial_id]] or None,
            datetime_start=_local(start),
            datetime_complete=_local(end),
            params={
                name: _distribution(text).to_external_repr(v)
                for _, name, v, text in params[trial_id]
            },
            distributions={name: _distribution(text) for _, name, _, text in params[trial_id]},
            user_attrs={key: json.loads(text) for _, key, text in users[trial_id]},
            system_attrs={key: json.loads(text) for _, key, text in systems[trial_id]},
            intermediate_values={s: to_step(v, kind) for _, s, v, kind in steps[trial_id]},
            trial_id=trial_id,
        )
        for trial_id, number, state, start, end in found
    ]


@lru_cache(maxsize=4096)
def _distribution(text: str) -> optuna.distributions.BaseDistribution:
    return json_to_distribution(text)


def _local(stored: datetime | None) -> datetime | None:
    """Return a time stored in UTC as local time, both without a zone, as Optuna's trials have."""
    return stored and stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
