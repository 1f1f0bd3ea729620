"""Trials of a study as runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ocrsearch.reports.runs import BEST_CER, TOTAL_SECONDS, Run, _points, study_runs
from ocrsearch.studies.facts import study_facts
from ocrsearch.studies.results import load_study
from ocrsearch.training.records import Epochs, Pooled, best_epoch, epochs_result
from tests.reports.made_runs import record

if TYPE_CHECKING:
    from tests.conftest import StudyDb


@pytest.fixture
def runs(study_db: StudyDb) -> dict[int, Run]:
    study = load_study(study_db.url, study_db.name)
    return {run.number: run for run in study_runs(study, study_facts(study))}


def test_each_trained_or_failed_trial_is_a_run(runs: dict[int, Run]) -> None:
    assert {number: run.state for number, run in runs.items()} == {
        **dict.fromkeys(range(4), "finished"),
        4: "pruned",
        5: "failed",
        7: "unfinished",
    }
    assert {number for number, run in runs.items() if run.ended is None} == {7}
    assert [len(run.points) for run in runs.values()] == [2, 2, 2, 2, 2, 0, 1]


def test_the_content_of_a_run(runs: dict[int, Run]) -> None:
    run = runs[2]
    assert run.params == {
        "model.architecture": "crnn",
        "model.encoder.conv_depth": 2,
        "training.learning_rate": 0.003,
    }
    assert run.figures == {"network/n_parameters": 20_000, "network/size_mb": 0.08}
    assert run.points[1].time == run.latest == run.began + 2.5
    values = run.points[1].values
    assert (values["val/cer"], values["loss/train"], values[BEST_CER]) == (0.1, 0.5, 0.1)
    assert (values["best/epoch"], values[TOTAL_SECONDS]) == (2, 2.5)
    assert "learning_rate" not in values, "the record lacks it"
    assert run.tags["state"] == "finished"
    assert run.tags["data"] == "captcha:numbers"
    assert runs[5].tags["failure"] == "RuntimeError: out of memory"
    assert runs[5].latest == runs[5].began


@pytest.mark.parametrize(
    "epochs",
    [
        [],
        [record(1, 0.5), record(2, 0.2), record(3, 0.2, val_loss=0.1), record(4, 0.4)],
        [
            record(1, 0.5, fold=1, n_folds=2),
            record(2, 0.3, fold=1, n_folds=2, pooled=Pooled(cer=0.3, wer=1, exact=0, val_loss=1)),
            record(3, 0.1, fold=2, n_folds=2),
            record(4, 0.2, fold=2, n_folds=2, pooled=Pooled(cer=0.25, wer=1, exact=0, val_loss=2)),
        ],
    ],
    ids=["none", "one split", "folds"],
)
def test_the_best_so_far_is_that_of_the_study(epochs: Epochs) -> None:
    points = list(_points(epochs, 100.0))
    assert len(points) == len(epochs)
    for n, point in enumerate(points, 1):
        best, result = best_epoch(epochs[:n]), epochs_result(epochs[:n])
        found = {name: point.values[f"best/{name}"] for name in ("cer", "wer", "exact", "val_loss")}
        assert found == {name: getattr(best, name) for name in found}
        assert point.values["best/epoch"] == best.epoch
        assert point.values[TOTAL_SECONDS] == pytest.approx(result.seconds)
        assert (point.epoch, point.time) == (n, pytest.approx(100.0 + result.seconds))
