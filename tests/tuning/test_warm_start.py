"""Beginning with the best of an earlier study."""

from __future__ import annotations

from pathlib import Path

import pytest

from ocrsearch.core.errors import StudyError
from ocrsearch.spaces.reading import parse_space
from ocrsearch.spaces.space import Space
from ocrsearch.studies.database import open_storage
from ocrsearch.studies.facts import StudyFacts
from ocrsearch.studies.records import EARLIER
from ocrsearch.studies.study import open_study
from ocrsearch.tuning.preparation import (
    N_EARLIER,
    earlier_trials,
    how_they_did,
)

SPACE = """
images: {height: {choice: [16, 32, 48]}}
model: {architecture: crnn, encoder: {conv_depth: {int: [2, 6]}}}
training: {learning_rate: {float: [1.0e-3, 1.0e-2], log: true}}
"""
OTHER = """
images: {height: {choice: [32, 48]}}
model: {architecture: crnn, encoder: {conv_depth: {int: [2, 6]}, hidden_size: {int: [8, 64]}}}
"""


def facts(space: Space) -> StudyFacts:
    return StudyFacts(space.name, space.content, "d", "f", {"train": 2}, {}, 7)


def record(cer: float) -> dict[str, float]:
    return {"epoch": 1, "cer": cer, "val_loss": cer, "exact": 0.0, "wer": 1.0, "seconds": 1.0}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with a study of eight configurations, the last the best."""
    url = f"sqlite:///{tmp_path}/test.db"
    space = parse_space(SPACE, "old")
    study = open_study(open_storage(url, create=True), "old", space, facts(space))
    for i in range(8):
        trial = study.ask()
        space.suggest(trial)
        trial.set_user_attr("epochs", [record(0.9 - 0.1 * i)])
        study.tell(trial, 0.9 - 0.1 * i)
    return url


def test_the_best_come_first_and_how_they_did_is_said(url: str) -> None:
    storage, space = open_storage(url), parse_space(SPACE, "new")
    old = {t.number: t.params for t in open_study(storage, "old", space, facts(space)).get_trials()}
    earlier = earlier_trials(storage, "old", space)
    study = open_study(storage, "new", space, facts(space), earlier)
    asked = [study.ask() for _ in range(N_EARLIER)]
    assert [space.suggest(trial) for trial in asked] == [old[i] for i in (7, 6, 5, 4, 3)]
    asked[0].set_user_attr("epochs", [record(0.5)])
    study.tell(asked[0], 0.5)
    assert how_they_did(study) == [
        "trial 0, from trial 7 of old (CER 0.2000 there): CER 0.5000 here, place 1 of 1"
    ]
    again = open_study(storage, "new", space, facts(space), earlier)
    assert sum(EARLIER in t.user_attrs for t in again.get_trials()) == N_EARLIER


def test_what_the_space_does_not_know_or_allow_is_left_to_the_sampler(url: str) -> None:
    space = parse_space(OTHER, "new")
    for trial in earlier_trials(open_storage(url), "old", space):
        assert trial.values.keys() <= {"images.height", "model.encoder.conv_depth"}
        assert trial.values.get("images.height") != 16
        assert trial.values["model.encoder.conv_depth"] in range(2, 7)


def test_an_unknown_study_and_one_with_nothing_in_common_are_refused(url: str) -> None:
    storage = open_storage(url)
    with pytest.raises(StudyError, match="no study 'none' in this database; there are old"):
        earlier_trials(storage, "none", parse_space(SPACE, "new"))
    alien = "model: {architecture: crnn, encoder: {rnn_layers: {int: [1, 2]}}}"
    with pytest.raises(StudyError, match="no trained configuration with a value that this space"):
        earlier_trials(storage, "old", parse_space(alien, "new"))
