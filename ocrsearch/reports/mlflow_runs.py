"""Runs for MLflow: an experiment for each study, in it a run for each trial.

The runs of a study are found by a tag with the id of the study. Another tag has a hash of the run,
so that unchanged runs cost no request. MLflow keeps every value of a metric, so the history of a
changed run is read first, and only the epochs that it lacks are added.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import posixpath
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import SQLAlchemyError

from ocrsearch.core import OptionError, extra
from ocrsearch.reports.runs import TOTAL_SECONDS, Logged, Run, RunLog

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.entities import Run as MlflowRun

OPTION = "mlflow"
PREFIX = "ocrsearch."
"""Prefix of our tags."""

DIGEST, STUDY_ID, TRIAL = f"{PREFIX}digest", f"{PREFIX}study_id", f"{PREFIX}trial"

STATUS = {
    "finished": "FINISHED",
    "pruned": "KILLED",
    "failed": "FAILED",
    "paused": "SCHEDULED",
    "unfinished": "RUNNING",
}
"""Status of a run for each state of a trial. The tag ``ocrsearch.state`` has the state itself."""

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Values for environment variables of MLflow that are not set.

No usage statistics are sent, nothing is printed for each run or for each table of a new database,
and an unreachable server is soon reported.
"""

MAX_ENTITIES, MAX_TEXTS = 1000, 100
"""Maximum numbers of metrics, and of parameters or tags, in a request."""

MAX_KEY, MAX_TEXT = 250, 500
"""Maximum lengths of keys and texts, in characters, that every version of MLflow takes."""

DATABASE = "mlflow.db"
"""Name of the database in a local folder."""


class MlflowRuns(RunLog):
    """Runs of a study on a server or in a database of MLflow."""

    def __init__(self, place: str, study: str, study_id: str) -> None:
        """Open or create the experiment of a study.

        Args:
            place: tracking URI of MLflow, or a local folder.
            study: name of the study and of the experiment.
            study_id: id of the study.

        Raises:
            OptionError: MLflow is not installed, or the server or database cannot be used.
        """
        if OPTION not in sys.modules:
            for name, value in SETTINGS.items():
                os.environ.setdefault(name, value)
        try:
            from mlflow import MlflowClient
        except ImportError:
            raise OptionError(
                f"MLflow is not installed; install it with: {extra('mlflow')}", OPTION
            ) from None
        self._study_id = study_id
        self._uri, artifacts = _local_store(place) or (place, None)
        with _one_line(self._uri):
            self._client = MlflowClient(tracking_uri=self._uri)
            found = self._client.get_experiment_by_name(study)
            self._experiment: str = (
                found.experiment_id
                if found
                else self._client.create_experiment(study, artifact_location=artifacts)
            )

    def update(self, runs: Sequence[Run]) -> Logged:
        """Write the runs and epochs that the experiment lacks."""
        n_new = n_updated = n_epochs = 0
        with _one_line(self._uri):
            there = self._runs_by_trial()
            for run in runs:
                found, digest = there.get(str(run.number)), _digest(run)
                if found and found.data.tags.get(DIGEST) == digest:
                    continue
                n_epochs += self._write(run, found, digest)
                n_new, n_updated = n_new + (not found), n_updated + bool(found)
        return Logged(without_password(self._uri), len(runs), n_new, n_updated, n_epochs)

    def _runs_by_trial(self) -> dict[str, MlflowRun]:
        """Return the runs of the study by the number of the trial, as text."""
        chosen, token = f"tags.`{STUDY_ID}` = '{self._study_id}'", None
        found: dict[str, MlflowRun] = {}
        while True:
            page = self._client.search_runs(
                [self._experiment], chosen, max_results=MAX_ENTITIES, page_token=token
            )
            found |= {run.data.tags[TRIAL]: run for run in page if TRIAL in run.data.tags}
            if not (token := page.token):
                return found

    def _write(self, run: Run, found: MlflowRun | None, digest: str) -> int:
        """Write what MLflow lacks of a run, and return the number of added epochs."""
        from mlflow.entities import Param, RunTag

        written: dict[int, float] = {}
        if found:
            history = self._client.get_metric_history(found.info.run_id, TOTAL_SECONDS)
            written = {metric.step: metric.value for metric in history}
            if not _agrees(written, run):  # trained again; a metric cannot be deleted alone
                self._client.delete_run(found.info.run_id)
                found, written = None, {}
        mine = found or self._client.create_run(
            self._experiment,
            start_time=_ms(run.began),
            run_name=f"trial {run.number}",
            tags={STUDY_ID: self._study_id, TRIAL: str(run.number)},
        )
        run_id = mine.info.run_id
        params = {valid_key(path): _cut(str(value)) for path, value in run.params.items()}
        lacking = [Param(k, text) for k, text in params.items() if k not in mine.data.params]
        for part in _parts(lacking, MAX_TEXTS):
            self._client.log_batch(run_id, params=part)
        figures = {k: v for k, v in run.figures.items() if mine.data.metrics.get(k) != v}
        points = [point for point in run.points if point.epoch not in written]
        blocks = [_metrics(figures, run.latest, 0)] if figures else []
        blocks += [_metrics(point.values, point.time, point.epoch) for point in points]
        n_blocks = MAX_ENTITIES // max(map(len, blocks), default=1)
        for together in _parts(blocks, n_blocks):  # an epoch is written whole or not at all
            self._client.log_batch(run_id, metrics=[m for block in together for m in block])
        if run.ended is not None:
            self._client.set_terminated(run_id, STATUS[run.state], _ms(run.ended))
        elif mine.info.status != STATUS[run.state]:
            self._client.update_run(run_id, STATUS[run.state])
        tags = [RunTag(f"{PREFIX}{name}", _cut(text)) for name, text in run.tags.items()]
        self._client.log_batch(run_id, tags=[*tags, RunTag(DIGEST, digest)])
        return len(points)


def _local_store(place: str) -> tuple[str, str] | None:
    """Return the URI of the database in a folder, and the place of its artifacts.

    Returns:
        None if the place is a URI.

    Raises:
        OptionError: the folder cannot be created.
    """
    if "://" in place or place.startswith("file:") or place == "databricks":
        return None
    folder = Path(place).absolute()
    try:
        if "?" in str(folder):  # it begins the query of a URI
            raise OSError("its path has a question mark")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        problem = f"{place}: is no folder, and cannot be created ({error.strerror or error})"
        raise OptionError(problem, OPTION) from None
    return f"sqlite:///{folder / DATABASE}", (folder / "artifacts").as_uri()


def without_password(uri: str) -> str:
    """Return a URI for messages, without user, password and query."""
    return re.sub(r"://[^/@]*@", "://", uri).partition("?")[0]


@contextmanager
def _one_line(uri: str) -> Iterator[None]:
    """Report errors of MLflow in one line, without a password.

    Raises:
        OptionError: MLflow has reported an error.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except (MlflowException, SQLAlchemyError, ImportError, OSError) as error:
        lines = str(error).replace(uri, without_password(uri)).splitlines()
        reason = without_password(lines[0]) if lines else type(error).__name__
        raise OptionError(f"{without_password(uri)}: {reason}", OPTION) from None


def valid_key(name: str) -> str:
    """Return a name with the characters and the length that MLflow takes for keys.

    A name that had to be changed gets a hash of the original name, so that names stay different.
    """
    # some stores use a key as the path of a file
    is_path = posixpath.normpath(name) == name and not name.startswith((".", "/"))
    if is_path and len(name) <= MAX_KEY and re.fullmatch(r"[\w./ -]+", name, re.ASCII):
        return name
    kept = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII).lstrip(".")
    return f"{kept[: MAX_KEY - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _digest(run: Run) -> str:
    """Return a hash of all that is written of a run."""
    return hashlib.sha256(json.dumps(asdict(run), sort_keys=True).encode()).hexdigest()[:32]


def _agrees(written: dict[int, float], run: Run) -> bool:
    """Return whether the epochs that MLflow has are epochs of a run."""
    seconds = {point.epoch: point.values[TOTAL_SECONDS] for point in run.points}
    return all(
        math.isclose(value, seconds.get(epoch, math.nan), rel_tol=1e-9)
        for epoch, value in written.items()
    )


def _metrics(values: dict[str, float], time: float, step: int) -> list[Metric]:
    from mlflow.entities import Metric

    return [Metric(name, value, _ms(time), step) for name, value in values.items()]


def _ms(seconds: float) -> int:
    return round(1000 * seconds)


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."


def _parts(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Return items in parts of at most a size."""
    return [items[i : i + size] for i in range(0, len(items), size)]
