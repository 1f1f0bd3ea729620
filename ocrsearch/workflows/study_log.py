"""Logging a study to TensorBoard and MLflow, once or while a search is running."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import optuna

from ocrsearch.core import OptionError, StudyError
from ocrsearch.reports import Logged, MlflowRuns, RunLog, TensorBoardRuns, study_runs
from ocrsearch.studies import is_searched, open_storage, study_facts, study_folder

FOLLOW_SECONDS = 5.0
"""Seconds between two updates of a log while a search is running."""


@dataclass(frozen=True)
class StudyLog:
    """State of the logs of a study after an update.

    Attributes:
        study: name of the study.
        is_searched: whether a search of the study was running.
        tensorboard: counts of the log of TensorBoard; None if there is none.
        mlflow: counts of the log of MLflow; None if there is none.
    """

    study: str
    is_searched: bool
    tensorboard: Logged | None = None
    mlflow: Logged | None = None

    @property
    def logged(self) -> list[Logged]:
        """Counts of each log."""
        return [logged for logged in (self.tensorboard, self.mlflow) if logged]


def log_study(
    storage_url: str,
    study: optuna.Study,
    *,
    tensorboard: Path | None = None,
    mlflow: str | None = None,
    follow: bool = False,
) -> Iterator[StudyLog]:
    """Write each trained trial of a study as a run, and yield after each update.

    Only what the logs lack is written, so that the call can be repeated.

    Args:
        storage_url: URL of the study database.
        study: study to log.
        tensorboard: folder for TensorBoard. The runs are in a folder with the name of the study.
        mlflow: tracking URI of MLflow, or a local folder. The experiment has the name of the study.
        follow: whether to update the logs until no search is running.

    Raises:
        OptionError: neither place is given, a package is missing, or a log cannot be written.
        StudyError: the study cannot be read any more.
    """
    if tensorboard is None and mlflow is None:
        raise OptionError("where to log is missing; give `tensorboard` or `mlflow`")
    name, facts = study.study_name, study_facts(study)
    identity = facts.id or facts.data_fingerprint  # studies of older versions have no id
    storage, folder = open_storage(storage_url), study_folder(storage_url, name)
    logs: dict[str, RunLog] = {}
    with ExitStack() as stack:
        if mlflow is not None:
            logs["mlflow"] = stack.enter_context(closing(MlflowRuns(mlflow, name, identity)))
        if tensorboard is not None:
            runs_log = TensorBoardRuns(tensorboard, name, identity)
            logs["tensorboard"] = stack.enter_context(closing(runs_log))
        while True:
            # asked first: what a search wrote before its end is then in the last update
            searched = is_searched(storage, folder, name)
            try:
                runs = study_runs(study, facts)
            except KeyError:
                raise StudyError(f"study {name!r}: was deleted meanwhile") from None
            written = {target: log.update(runs) for target, log in logs.items()}
            yield StudyLog(name, searched, **written)
            if not (follow and searched):
                return
            time.sleep(FOLLOW_SECONDS)
