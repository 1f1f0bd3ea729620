"""Optuna's study storage with a faster and more robust way to read trials.

Optuna creates an object for every value of a trial and parses every distribution again, which takes
most of the time of a command on a large study (see ``scripts/bench_engine.py large``). It also
fails on all trials if a single row is damaged. Here a few plain queries are used, and damaged
trials are skipped.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, delete, select, update
from sqlalchemy.exc import SQLAlchemyError

from ocrsearch.core import StudyError
from ocrsearch.studies.optuna_internals import END_COLUMN, FrozenStudy, RowStorage, models
from ocrsearch.studies.rows import (
    DamagedTrial,
    as_stored,
    read_directions,
    read_rows,
    read_study_attributes,
    read_trials,
)
from ocrsearch.studies.sqlite_files import OVER_TIME, TIME_LIMIT_S

DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, UnicodeDecodeError)
"""Errors raised by damaged databases. A SQLite message that quotes a name may not be UTF-8."""


class StudyStorage(RowStorage):
    """Optuna's storage with another implementation for reading.

    Attributes:
        damaged: trials that could not be read, by study id and trial id.
    """

    damaged: dict[int, dict[int, DamagedTrial]]

    def select_trials(self, study_id: int, chosen: ColumnElement[bool]) -> list[FrozenTrial]:
        """Return the trials of a study that meet a condition on their table.

        Damaged trials are skipped and added to ``damaged``.

        Raises:
            KeyError: the study does not exist.
            StudyError: the database cannot be read.
        """
        with self._reading() as connection:
            there = select(models.StudyModel.study_id).where(models.StudyModel.study_id == study_id)
            if connection.scalar(there) is None:
                raise KeyError(models.NOT_FOUND_MSG)
            trials, damaged = read_trials(connection, chosen)
        self.damaged_of(study_id).update(damaged)
        return trials

    def damaged_of(self, study_id: int) -> dict[int, DamagedTrial]:
        """Return the damaged trials of a study found so far, by id."""
        if not hasattr(self, "damaged"):
            self.damaged = {}
        return self.damaged.setdefault(study_id, {})

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """Return a trial.

        Raises:
            KeyError: the trial does not exist.
            StudyError: the trial is damaged.
        """
        with self._reading() as connection:
            trials, damaged = read_trials(connection, models.TrialModel.trial_id == trial_id)
        for found in damaged.values():
            raise StudyError(f"trial {found.number} is damaged in the database: {found.reason}")
        if not trials:
            raise KeyError(models.NOT_FOUND_MSG)
        return trials[0]

    def get_all_studies(self) -> list[FrozenStudy]:
        """Return all studies; attributes that are not JSON are None."""
        study = models.StudyModel
        with self._reading() as connection:
            query = select(study.study_id, as_stored(study.study_name)).order_by(study.study_id)
            rows = read_rows(connection, query)
            ids = [study_id for study_id, name in rows if isinstance(name, str)]
            directions = {study_id: read_directions(connection, study_id) for study_id in ids}
            user = {study_id: read_study_attributes(connection, study_id) for study_id in ids}
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
        """Return the directions of a study; NOT_SET for an unknown direction."""
        with self._reading() as connection:
            return read_directions(connection, study_id)

    def get_study_user_attrs(self, study_id: int) -> dict[str, object]:
        """Return the user attributes of a study; attributes that are not JSON are None."""
        with self._reading() as connection:
            return read_study_attributes(connection, study_id)

    def get_study_system_attrs(self, study_id: int) -> dict[str, object]:
        """Return the system attributes of a study; attributes that are not JSON are skipped."""
        with self._reading() as connection:
            found = read_study_attributes(connection, study_id, models.StudySystemAttributeModel)
        return {key: value for key, value in found.items() if value is not None}

    def get_study_id_from_name(self, study_name: str) -> int:
        """Return the id of a study.

        Raises:
            KeyError: the study does not exist.
        """
        study = models.StudyModel
        with self._reading() as connection:
            query = select(study.study_id).where(study.study_name == study_name)
            found = connection.scalars(query.order_by(study.study_id)).first()
        if found is None:
            raise KeyError(models.NOT_FOUND_MSG)
        return int(found)

    def delete_study(self, study_id: int) -> None:
        """Delete a study with all its rows, including damaged rows."""
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
        """Set unfinished trials to FAIL."""
        trial = models.TrialModel
        with self.engine.begin() as connection:
            for trial_id in trial_ids:
                unfinished = trial.state.in_([TrialState.RUNNING, TrialState.WAITING])
                ended = {END_COLUMN: datetime.now(UTC).replace(tzinfo=None)}
                connection.execute(
                    update(trial)
                    .where(trial.trial_id == trial_id, unfinished)
                    .values(state=TrialState.FAIL, **ended)
                )

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Open a connection for reading, and report errors of the database in one line.

        Raises:
            StudyError: a table is missing, or the database reports another error.
        """
        try:
            self.flush()
            with self.engine.connect() as connection:
                yield connection
        except (*DATABASE_ERRORS, OverflowError) as error:
            shown_url = self.engine.url.render_as_string(hide_password=True)
            where = self.engine.url.database if self.engine.name == "sqlite" else shown_url
            raise StudyError(
                f"{where}: cannot read the study database: {database_reason(error)}"
            ) from None


def database_reason(error: BaseException) -> str:
    """Return the message of a database error in one line, without the SQL statement."""
    cause = getattr(error, "orig", None) or error
    if isinstance(cause, UnicodeDecodeError):
        return "its tables are damaged"
    first = cause.args[0] if cause.args else ""
    said = first.get("M", "") if isinstance(first, dict) else str(cause)
    if OVER_TIME in said:
        return f"a query takes over {TIME_LIMIT_S:g} s; ocrsearch did not create this database"
    return " ".join(str(said).split()) or type(cause).__name__
