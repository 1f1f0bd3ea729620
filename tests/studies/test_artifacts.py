"""Artifacts of a trial."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import optuna
import pytest
import yaml
from optuna.artifacts import get_all_artifact_meta

from ocrsearch.core.config import Config
from ocrsearch.studies.artifacts import (
    draw_curves,
    log_text,
    open_artifacts,
    store_artifacts,
)
from ocrsearch.training.records import EpochRecord


def epoch(number: int, loss: float = 0.5) -> EpochRecord:
    return EpochRecord(
        epoch=number,
        seconds=1.0,
        learning_rate=1e-3,
        is_best=number == 1,
        train_loss=loss,
        val_loss=loss,
        cer=loss,
        exact=1.0 - loss,
    )


@pytest.mark.parametrize("n", [0, 1, 5])
def test_curves_are_a_drawing_with_a_point_for_each_epoch(n: int) -> None:
    drawing = ET.fromstring(draw_curves([epoch(i + 1) for i in range(n)]))  # noqa: S314
    lines = drawing.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len((line.get("points") or "").split()) for line in lines] == [n] * 3


def test_a_loss_of_nothing_is_drawn() -> None:
    assert "nan" not in draw_curves([epoch(1, 0.0), epoch(2, 0.0)])


def test_the_log_has_a_line_for_each_epoch() -> None:
    head, first, second = log_text([epoch(1), epoch(2)]).splitlines()
    assert head.split()[0] == "epoch"
    assert first.split()[0] == "1"
    assert first.endswith("best so far")
    assert not second.endswith("best so far")


@pytest.mark.parametrize("with_errors", [False, True])
def test_what_is_stored_can_be_had_again(tmp_path: Path, *, with_errors: bool) -> None:
    if with_errors:
        (tmp_path / "worst.png").write_bytes(b"picture")
    study = optuna.create_study()
    trial = study.ask()
    store = open_artifacts(tmp_path / "studies")
    store_artifacts(trial, store, tmp_path, Config(), [epoch(1)])
    found = {m.filename: m for m in get_all_artifact_meta(trial, storage=study._storage)}
    names = {"configuration.yaml", "curves.svg", "log.txt"}
    assert found.keys() == names | ({"worst.png"} if with_errors else set())
    assert found["curves.svg"].mimetype == "image/svg+xml"
    with store.open_reader(found["configuration.yaml"].artifact_id) as file:
        assert Config.model_validate(yaml.safe_load(file.read())) == Config()
