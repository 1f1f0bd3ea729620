"""Rows that others wrote into a study: set aside or told, and the search goes on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from ocrsearch.core.errors import StudyError
from ocrsearch.studies.database import open_storage
from ocrsearch.studies.facts import (
    FACTS,
    StudyFacts,
    study_facts,
)
from ocrsearch.studies.study import open_study
from ocrsearch.tuning.status import Limits, n_without_gain
from tests.hostile_databases import DAMAGES, write_damaged
from tests.tuning.test_runner import ScriptedEngine, Setting, epoch, falling


@pytest.fixture
def setting(tmp_path: Path) -> Setting:
    return Setting(tmp_path)


@pytest.mark.parametrize(
    ("queued", "reason"),
    [
        ({"training.learning_rate": 0.5}, "learning_rate: found 0.5, can be 0.001 to 0.01, log"),
        ({"images.height": "sixteen"}, "images.height: found 'sixteen', can be 16, 32"),
        ({"images.height": 17}, "images.height: found 17, can be 16, 32"),
        ({"no.such": 3}, "no.such is not a parameter of the space"),
        ({"training.learning_rate": [0.005]}, "found [0.005], can be"),
        ({"training.learning_rate": True}, "learning_rate: found"),
        ({"training.learning_rate": float("nan")}, "found nan, can be"),
    ],
)
def test_a_queued_configuration_outside_the_space_is_infeasible(
    setting: Setting, queued: dict[str, Any], reason: str
) -> None:
    setting.study().enqueue_trial(queued)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ending, status = setting.run(falling, trials=3)
    assert (ending, status.n_complete, status.n_infeasible) == ("trials", 2, 1)
    [line] = [line for line in setting.lines if "infeasible" in line]
    assert reason in line
    trial = setting.study().get_trials()[0]
    assert trial.state == TrialState.PRUNED
    assert reason in trial.user_attrs["infeasible"]


def test_part_of_a_configuration_may_be_queued(setting: Setting) -> None:
    setting.study().enqueue_trial({"images.height": 32})
    _, status = setting.run(falling, trials=1)
    assert status.n_complete == 1
    assert setting.study().get_trials()[0].params["images.height"] == 32


def test_more_wrong_ones_than_a_sampler_may_repeat(setting: Setting) -> None:
    study = setting.study()
    for i in range(55):
        study.enqueue_trial({"images.height": 100 + i})
    ending, status = setting.run(falling, trials=57)
    assert (ending, status.n_infeasible, status.n_complete) == ("trials", 55, 2)


def test_a_trial_that_a_search_of_earlier_versions_broke_off_at(setting: Setting) -> None:
    """It is RUNNING with some of its parameters, and its queued value is none of the choices."""
    study = setting.study()
    study.enqueue_trial({"images.height": "sixteen"})
    study.ask()
    ending, status = setting.run(falling, trials=2)
    assert (ending, status.n_complete, status.n_infeasible) == ("trials", 1, 1)


# --- whose study it is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "n_trials", "reason"),
    [
        ("maximize", 0, "it maximises"),
        ("maximize", 3, "it has no facts and it maximises"),
        ("minimize", 3, "it has no facts"),
    ],
)
def test_the_study_of_another_program_is_refused(
    setting: Setting, direction: str, n_trials: int, reason: str
) -> None:
    storage = open_storage(f"sqlite:///{setting.folder}/test.db", create=True)
    other = optuna.create_study(storage=storage, study_name="s", direction=direction)
    other.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=n_trials)
    before = [t.params for t in other.trials]
    with pytest.raises(StudyError, match=rf"'s': not a study of ocrsearch \({reason}\); give"):
        setting.study()
    assert [t.params for t in other.trials] == before


def test_an_empty_study_may_have_been_made_before(setting: Setting) -> None:
    storage = open_storage(f"sqlite:///{setting.folder}/test.db", create=True)
    made = optuna.create_study(storage=storage, study_name="s")
    made.enqueue_trial({"images.height": 32})
    _, status = setting.run(falling, trials=2)
    assert status.n_complete == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "a newer ocrsearch wrote it"),
        ({"seed": "x"}, "damaged"),
        ({"space": 5}, "damaged"),
        ({"data_options": {"no": 1}}, "damaged"),
        ({"objective": ["cer", "size_mb"]}, "damaged"),
        ({"id": "../.."}, "damaged"),
    ],
)
def test_facts_that_cannot_be_used(setting: Setting, change: dict[str, Any], message: str) -> None:
    study = setting.study()
    study.set_user_attr(FACTS, {**study.user_attrs[FACTS], **change})
    with pytest.raises(StudyError, match=f"study 's': .*{message}"):
        setting.study()


def test_an_older_study_gets_an_id(setting: Setting) -> None:
    study = setting.study()
    older = {k: v for k, v in study.user_attrs[FACTS].items() if k not in ("id", "version")}
    study.set_user_attr(FACTS, older)
    found = study_facts(setting.study())
    assert len(found.id) == 32
    assert study_facts(setting.study()).id == found.id


# --- damaged rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [k for k in DAMAGES if k not in ("many rows", "long values")])
@pytest.mark.parametrize("seed", range(2))
def test_a_search_goes_on_or_ends_in_a_line(kind: str, seed: int, tmp_path: Path) -> None:
    from ocrsearch.spaces.reading import parse_space
    from tests.hostile_databases import SPACE as HOSTILE_SPACE

    space = parse_space(HOSTILE_SPACE, "tiny")
    file = write_damaged(tmp_path, kind, seed)
    facts = StudyFacts("tiny", space.content, "captcha:x", "f", {"train": 2}, {}, 0)
    try:
        study = open_study(open_storage(f"sqlite:///{file}", create=True), "s", space, facts)
        engine = ScriptedEngine(falling)
        setting = Setting(tmp_path, space=space)
        setting.study = lambda: study  # type: ignore[method-assign]
        assert setting.coordinator(engine, Limits(7)).run() == "trials"
    except StudyError as error:
        n_lines = len(str(error).splitlines())
    else:
        n_lines = 1
    assert n_lines == 1


def test_a_bad_row_that_waits_is_failed(setting: Setting) -> None:
    study = setting.study()
    trial = study.ask()
    trial.set_user_attr("epochs", [{**epoch(1, 0.5).model_dump(), "cer": "x"}])
    ending, status = setting.run(falling, trials=2)
    assert (ending, status.n_complete) == ("trials", 2)
    states = [t.state for t in study._storage.get_all_trials(study._study_id)]
    assert states == [TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]


# --- trials without gain ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cers", "expected"),
    [((), 0), ((0.5,), 0), ((0.5, 0.5), 1), ((0.5, 0.6, 0.4), 0), ((0.4, 0.5, 0.4, 0.9), 3)],
)
def test_n_without_gain(cers: tuple[float, ...], expected: int) -> None:
    ends = {i: (float(i), (False, cer)) for i, cer in enumerate(cers)}
    assert n_without_gain(ends) == expected


def test_a_first_fold_is_not_compared_with_all_folds() -> None:
    first, whole = (True, 0.1), (False, 0.3)
    assert n_without_gain({0: (0.0, first), 1: (1.0, whole)}) == 0
    assert n_without_gain({0: (0.0, whole), 1: (1.0, first), 2: (2.0, (False, 0.3))}) == 2


@pytest.mark.parametrize("n_before", [1, 2, 3, 4])
def test_patience_is_the_same_after_a_restart(tmp_path: Path, n_before: int) -> None:
    def script(job: Any) -> list[float]:
        return [0.9, (0.3, 0.2, 0.5, 0.4, 0.45, 0.6, 0.7)[job.number]]

    (tmp_path / "whole").mkdir()
    whole = Setting(tmp_path / "whole").run(script, trials=7)[1]
    broken = Setting(tmp_path)
    before = broken.run(script, trials=n_before)[1]
    again = broken.coordinator(ScriptedEngine(script), Limits(7))
    assert again.status.n_without_gain == before.n_without_gain
    again.run()
    assert again.status.n_without_gain == whole.n_without_gain == 5
