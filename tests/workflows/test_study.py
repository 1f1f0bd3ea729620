"""A study from Python: its trials, figures, best model and report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import plotly.graph_objects as go
import pytest

import ocrsearch
from ocrsearch.core.errors import (
    OcrSearchError,
    OptionError,
    StudyError,
)

if TYPE_CHECKING:
    from tests.conftest import StudyDb


def test_a_study_is_read(study_db: StudyDb) -> None:
    study = ocrsearch.load_study(study_db.name, study_db.url)
    frame = study.trials_dataframe()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame["trial"]) == list(range(8))
    assert frame["cer"].min() == 0.1
    assert "training.learning_rate" in frame
    assert [record.epoch for record in study.learning_curves()[2]] == [1, 2]
    figures = study.figures()
    assert {"Optimisation history", "Learning curves", "Error against model size"} <= set(figures)
    assert all(isinstance(figure, go.Figure) for figure in figures.values())
    assert repr(study) == f"<Study 'tiny-numbers' in '{study_db.url}'>"


def test_the_best_model_is_exported(study_db: StudyDb, tmp_path: Path) -> None:
    study = ocrsearch.load_study(storage=study_db.url)
    best = study.best_trial()
    assert (best.trial, best.value) == (2, 0.1)
    whole, half = tmp_path / "new" / "model.pt", str(tmp_path / "half.pt")
    assert study.export(whole) == best
    assert study.export(half, fp16_weights=True) == best
    assert Path(half).stat().st_size < whole.stat().st_size
    for name, options, problem in (
        ("m.pt", {"int8": True}, "int8: only for a file of ONNX"),
        ("m.onnx", {"fp16_weights": True}, "fp16_weights: not for a file of ONNX"),
        ("m.onnx", {"int8": True, "max_error": 0.01}, "int8: cannot be combined with max_error"),
    ):
        with pytest.raises(OptionError, match=problem):
            study.export(tmp_path / name, **options)
        assert not (tmp_path / name).exists()
    assert ocrsearch.load(whole).bundle.provenance.study == study.name
    with pytest.raises(StudyError, match="has n_parameters of at most 1 "):
        study.export(whole, {"n_parameters": 1})


def test_the_report_is_one_page(study_db: StudyDb, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    facts = ocrsearch.load_study(study_db.name, study_db.url).write_report(path)
    assert f"<h1>Search report: {study_db.name}</h1>" in path.read_text(encoding="utf-8")
    (study,) = facts["studies"]
    assert (study["name"], study["trials"][0]["number"]) == (study_db.name, 2)


def test_the_database_may_be_a_path(study_db: StudyDb) -> None:
    path = Path(study_db.url.removeprefix("sqlite:///"))
    assert ocrsearch.load_study(storage=path).storage == study_db.url


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"name": "other"}, StudyError, "study 'other': not in"),
        ({"name": 3}, OptionError, "study: must be the name of a study or None, got 3"),
        ({"storage": 3}, OptionError, "storage: must be the URL of a study database, such as"),
        ({"storage": "studies.db"}, OptionError, "storage: not a database URL: studies.db"),
        ({"storage": Path("missing.db")}, StudyError, "missing.db: no such study database"),
    ],
)
def test_studies_that_are_not_there(
    study_db: StudyDb, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ocrsearch.load_study(**{"storage": study_db.url, **arguments})


@pytest.mark.parametrize("path", [None, 3, "", b"model.pt"])
def test_outputs_of_another_type(study_db: StudyDb, path: Any) -> None:
    study = ocrsearch.load_study(study_db.name, study_db.url)
    for write in (study.export, study.write_report):
        with pytest.raises(OptionError, match=r"^path: must be the path of a file to write, got "):
            write(path)


def test_what_cannot_be_written_is_one_line(study_db: StudyDb, tmp_path: Path) -> None:
    study = ocrsearch.load_study(study_db.name, study_db.url)
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "out"):
        for write in (study.export, study.write_report):
            with pytest.raises(OcrSearchError, match=r": cannot be written \("):
                write(path)


def test_limits_are_a_dict(study_db: StudyDb) -> None:
    limits: Any = 3
    with pytest.raises(OptionError, match=r"^limits: must be a dict such as .*, got 3"):
        ocrsearch.load_study(study_db.name, study_db.url).best_trial(limits)
