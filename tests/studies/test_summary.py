"""Summaries of searches: what was searched, and the trials by state."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import optuna

from ocrsearch.studies.facts import study_facts
from ocrsearch.studies.results import load_study
from ocrsearch.studies.summary import n_ended, readable_space, summarize_search

if TYPE_CHECKING:
    from tests.conftest import StudyDb


def test_the_made_study(study_db: StudyDb) -> None:
    study = load_study(study_db.url, study_db.name)
    found = summarize_search(study, study_facts(study))
    assert found.states == {
        "finished": 4,
        "paused": 0,
        "pruned": 1,
        "infeasible": 1,
        "failed": 1,
        "unfinished": 1,
    }
    assert n_ended(found.states) == 5
    assert found.n_epochs == 11
    assert (found.max_epochs, found.folds, found.objective) == (3, 1, ("cer",))
    assert found.parameters["training.learning_rate"] == "0.001 to 0.01, log"
    assert found.began <= found.ended


def test_a_space_of_another_version_has_no_parameters(study_db: StudyDb) -> None:
    study = load_study(study_db.url, study_db.name)
    facts = replace(study_facts(study), space={"model": {"wings": 2}})
    assert readable_space(facts) is None
    found = summarize_search(study, facts)
    assert (found.parameters, found.max_epochs, found.sampler) == ({}, None, None)


def test_a_study_without_trials(study_db: StudyDb) -> None:
    facts = study_facts(load_study(study_db.url, study_db.name))
    found = summarize_search(optuna.create_study(), facts)
    assert sum(found.states.values()) == found.n_epochs == 0
    assert (found.began, found.ended) == ("", "")
