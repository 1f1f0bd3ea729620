"""Access to private parts of Optuna, all of it in this module.

Optuna has no public way to filter the trials of a study, to read its tables, or to get the id of a
trial. If a new version of Optuna changes these parts, adapt this module.
``tests/studies/test_optuna_internals.py`` compares each function with plain Optuna.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator
from contextlib import contextmanager, nullcontext
from datetime import datetime
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    distribution_to_json,
)
from optuna.storages._rdb import models
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, delete, insert, or_, select
from sqlalchemy.orm import InstrumentedAttribute

__all__ = [
    "END_COLUMN",
    "FrozenStudy",
    "RowStorage",
    "ShownStudy",
    "backend_of",
    "batched_writes",
    "id_of_study",
    "id_of_trial",
    "is_choice",
    "models",
    "stored_trial",
    "stored_trials",
    "time_columns",
]

TimeColumn = InstrumentedAttribute[datetime | None]

END_COLUMN = "_datetime_complete_utc"
"""Column of the trial table with the end time of a trial, in UTC."""


def id_of_study(study: optuna.Study) -> int:
    """Return the id of a study in its storage."""
    return study._study_id


def id_of_trial(trial: FrozenTrial | optuna.Trial) -> int:
    """Return the id of a trial in its storage, unlike its number, which is local to the study."""
    return trial._trial_id


def stored_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return all trials of a study as stored, without the filter of the study."""
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def stored_trial(study: optuna.Study, trial: optuna.Trial) -> FrozenTrial:
    """Return the current stored state of a trial."""
    return study._storage.get_trial(trial._trial_id)


def backend_of(study: optuna.Study) -> optuna.storages.BaseStorage:
    """Return the storage of a study, without Optuna's cache around it."""
    storage = study._storage
    backend: optuna.storages.BaseStorage = getattr(storage, "_backend", storage)
    return backend


def is_choice(distribution: CategoricalDistribution, stored: float) -> bool:
    """Return whether a stored number is the index of a choice."""
    return distribution._contains(stored)


def time_columns() -> tuple[TimeColumn, TimeColumn]:
    """Return the columns with the start and end times of trials, in UTC."""
    trial = models.TrialModel
    return trial._datetime_start_utc, trial._datetime_complete_utc


class ShownStudy(optuna.Study):
    """A study that filters or converts its stored trials for users and samplers."""

    def shown(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        """Return the visible trials for the stored trials."""
        raise NotImplementedError

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = self.shown(super()._get_trials(deepcopy, None, use_cache))
        return [t for t in trials if states is None or t.state in states]


@contextmanager
def batched_writes(study: optuna.Study) -> Iterator[None]:
    """Write the parameters and attributes of trials in one transaction, at the end of the body.

    Optuna opens a transaction and reads the trial for each of them, which takes most of the time
    between two trials. A storage that is not ours, such as the storage in memory, writes at once.
    """
    backend = backend_of(study)
    with backend.batch() if isinstance(backend, RowStorage) else nullcontext():
        yield


Written = tuple[Any, int, str]
"""Place of a value that waits to be written: its table, the id of the trial and the key."""


class RowStorage(optuna.storages.RDBStorage):
    """Optuna's storage with a custom method to read trials, and with batches of writes."""

    _pending: dict[Written, dict[str, Any]] | None = None

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Collect parameters and attributes of trials, and write them at the end of the body.

        Reading, and a change of a trial's state, write first. Batches can be nested; the outermost
        batch writes.
        """
        if self._pending is not None:
            yield
            return
        self._pending = {}
        try:
            yield
        finally:
            try:
                self.flush()
            finally:
                self._pending = None

    def flush(self) -> None:
        """Write the values that wait.

        Raises:
            UpdateFinishedTrialError: a trial has finished in the meantime.
        """
        if not self._pending:
            return
        waiting, self._pending = self._pending, {}
        trial, ids = models.TrialModel, {trial_id for _, trial_id, _ in waiting}
        with self.engine.begin() as connection:
            states = select(trial.trial_id, trial.state).where(trial.trial_id.in_(ids))
            for trial_id, state in connection.execute(states).all():
                self.check_trial_is_updatable(trial_id, state)
            for table in dict.fromkeys(table for table, _, _ in waiting):
                key_column = _key_column(table)
                rows = [row for (of, _, _), row in waiting.items() if of is table]
                for trial_id in ids:
                    keys = [key for of, n, key in waiting if of is table and n == trial_id]
                    old = (table.trial_id == trial_id) & key_column.in_(keys)
                    connection.execute(delete(table).where(old))
                connection.execute(insert(table), rows)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a user attribute of a trial."""
        if not self._waits(models.TrialUserAttributeModel, trial_id, key, value):
            super().set_trial_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Set a system attribute of a trial."""
        if not self._waits(models.TrialSystemAttributeModel, trial_id, key, value):
            super().set_trial_system_attr(trial_id, key, value)

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Any = None) -> bool:
        """Set the state of a trial, and its values if there are any."""
        self.flush()
        return super().set_trial_state_values(trial_id, state, values)

    def _waits(self, table: Any, trial_id: int, key: str, value: Any) -> bool:
        if self._pending is None:
            return False
        row = {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
        self._pending[table, trial_id, key] = row
        return True

    def select_trials(self, study_id: int, chosen: ColumnElement[bool]) -> list[FrozenTrial]:
        """Return the trials of a study that meet a condition on their table.

        Raises:
            KeyError: the study does not exist.
        """
        raise NotImplementedError

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
        return self.select_trials(study_id, chosen)

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        # Optuna would look for a distribution in the rows of other trials, which may be damaged;
        # the space of a study never changes
        if self._pending is None:
            previous = previous_distribution or distribution
            super()._set_trial_param(
                trial_id, param_name, param_value_internal, distribution, previous
            )
            return
        self._pending[models.TrialParamModel, trial_id, param_name] = {
            "trial_id": trial_id,
            "param_name": param_name,
            "param_value": param_value_internal,
            "distribution_json": distribution_to_json(distribution),
        }


def _key_column(table: Any) -> InstrumentedAttribute[str]:
    """Return the column with the name of a parameter or attribute."""
    return table.param_name if table is models.TrialParamModel else table.key
