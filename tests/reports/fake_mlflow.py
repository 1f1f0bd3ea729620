"""The part of MLflow that ocrsearch uses, in memory and as strict as MLflow.

The tests of ``test_mlflow_runs.py`` run with it and, where MLflow is installed, with MLflow itself.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace

import pytest


class MlflowException(Exception):  # noqa: N818
    """An error that MLflow reports."""


@dataclass(frozen=True)
class Metric:
    key: str
    value: float
    timestamp: int
    step: int


@dataclass(frozen=True)
class Param:
    key: str
    value: str


class RunTag(Param):
    pass


@dataclass
class Run:
    info: SimpleNamespace
    history: list[Metric] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def data(self) -> SimpleNamespace:
        ordered = sorted(self.history, key=lambda m: (m.step, m.timestamp, m.value))
        metrics = {metric.key: metric.value for metric in ordered}
        return SimpleNamespace(metrics=metrics, params=dict(self.params), tags=dict(self.tags))


class Page(list):
    token: str | None = None


STORES: dict[str, dict[str, list[Run]]] = defaultdict(dict)
"""Runs by the name of the experiment, which is also its id, by tracking URI."""


class MlflowClient:
    page_size = 2

    def __init__(self, tracking_uri: str) -> None:
        if tracking_uri.startswith("http"):
            raise MlflowException(f"API request to {tracking_uri}/api failed\nTraceback: ...")
        self._experiments = STORES[tracking_uri]

    def get_experiment_by_name(self, name: str) -> SimpleNamespace | None:
        return SimpleNamespace(experiment_id=name) if name in self._experiments else None

    def create_experiment(self, name: str, artifact_location: str | None = None) -> str:
        self._experiments[name] = []
        return name

    def create_run(
        self, experiment_id: str, start_time: int, tags: dict[str, str], run_name: str
    ) -> Run:
        number = sum(map(len, self._experiments.values()))
        info = SimpleNamespace(run_id=f"{number:032x}", status="RUNNING", run_name=run_name)
        info.start_time, info.end_time, info.lifecycle_stage = start_time, None, "active"
        self._experiments[experiment_id].append(Run(info, tags=dict(tags)))
        return self.get_run(info.run_id)

    def get_run(self, run_id: str) -> Run:
        runs = [run for runs in self._experiments.values() for run in runs]
        return next(run for run in runs if run.info.run_id == run_id)

    def search_runs(
        self,
        experiment_ids: list[str],
        filter_string: str = "",
        max_results: int = 1000,
        page_token: str | None = None,
    ) -> Page:
        key, value = re.fullmatch(r"tags\.`([\w.]+)` = '(\w*)'", filter_string).groups()
        found = [
            run
            for name in experiment_ids
            for run in self._experiments[name]
            if run.info.lifecycle_stage == "active" and run.tags.get(key) == value
        ]
        begin = int(page_token or 0)
        page = Page(found[begin : begin + self.page_size])
        page.token = str(begin + self.page_size) if begin + self.page_size < len(found) else None
        return page

    def get_metric_history(self, run_id: str, key: str) -> list[Metric]:
        return [metric for metric in self.get_run(run_id).history if metric.key == key]

    def log_batch(
        self,
        run_id: str,
        metrics: list[Metric] = (),  # type: ignore[assignment]
        params: list[Param] = (),  # type: ignore[assignment]
        tags: list[RunTag] = (),  # type: ignore[assignment]
    ) -> None:
        run = self.get_run(run_id)
        assert run.info.lifecycle_stage == "active"
        assert len(metrics) + len(params) + len(tags) <= 1000
        assert max(len(params), len(tags)) <= 100
        for entity in (*metrics, *params, *tags):
            assert re.fullmatch(r"[/\w.\- ]{1,250}", entity.key, re.ASCII), entity.key
            assert posixpath.normpath(entity.key) == entity.key
            assert not entity.key.startswith(("..", "/")), entity.key
        assert all(isinstance(p.value, str) and len(p.value) <= 500 for p in (*params, *tags))
        assert all(run.params.get(param.key, param.value) == param.value for param in params)
        run.history += metrics
        run.params |= {param.key: param.value for param in params}
        run.tags |= {tag.key: tag.value for tag in tags}

    def update_run(self, run_id: str, status: str) -> None:
        self.get_run(run_id).info.status = status

    def set_terminated(self, run_id: str, status: str, end_time: int) -> None:
        self.update_run(run_id, status)
        self.get_run(run_id).info.end_time = end_time

    def delete_run(self, run_id: str) -> None:
        self.get_run(run_id).info.lifecycle_stage = "deleted"


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``import mlflow`` import this module."""
    STORES.clear()
    mlflow, entities, exceptions = map(
        ModuleType, ("mlflow", "mlflow.entities", "mlflow.exceptions")
    )
    mlflow.MlflowClient = MlflowClient  # type: ignore[attr-defined]
    entities.Metric, entities.Param = Metric, Param  # type: ignore[attr-defined]
    entities.RunTag, entities.Run = RunTag, Run  # type: ignore[attr-defined]
    exceptions.MlflowException = MlflowException  # type: ignore[attr-defined]
    for module in (mlflow, entities, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
