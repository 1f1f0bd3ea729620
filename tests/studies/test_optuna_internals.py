"""Private parts of Optuna, compared with its public face: a new version may change them."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select

import ocrsearch
from ocrsearch.studies.optuna_internals import (
    END_COLUMN,
    FrozenStudy,
    RowStorage,
    ShownStudy,
    backend_of,
    batched_writes,
    id_of_study,
    id_of_trial,
    is_choice,
    models,
    stored_trial,
    stored_trials,
    time_columns,
)
from ocrsearch.studies.storage import StudyStorage

PRIVATE = re.compile(r"optuna[.\w]*\._|\b(study|trial|storage|distribution|t)\._[a-z]")


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with another study, and one with a finished, a pruned and a queued trial."""
    url = f"sqlite:///{tmp_path}/s.db"
    optuna.create_study(storage=url, study_name="other").add_trial(
        optuna.trial.create_trial(value=1.0)
    )
    study = optuna.create_study(storage=url, study_name="s")
    for state in (TrialState.COMPLETE, TrialState.PRUNED):
        trial = study.ask()
        trial.suggest_categorical("cell", ("lstm", "gru"))
        value = 0.5 if state == TrialState.COMPLETE else None
        study.tell(trial, value, state=state)
    study.enqueue_trial({"cell": "gru"})
    return url


def test_ids_are_those_of_the_storage(url: str) -> None:
    storage = optuna.storages.RDBStorage(url)
    study = optuna.load_study(study_name="s", storage=storage)
    assert id_of_study(study) == storage.get_study_id_from_name("s")
    for trial in study.trials:
        number = storage.get_trial_id_from_study_id_trial_number(id_of_study(study), trial.number)
        assert id_of_trial(trial) == number
    asked = study.ask()
    assert storage.get_trial(id_of_trial(asked)).number == asked.number


def test_stored_trials_are_those_of_plain_optuna(url: str) -> None:
    study = optuna.load_study(study_name="s", storage=url)
    assert stored_trials(study) == study.trials
    trial = study.ask()
    assert stored_trial(study, trial) == study.trials[-1]
    assert stored_trial(study, trial).system_attrs["fixed_params"] == {"cell": "gru"}


def test_the_backend_is_the_storage_that_was_given(url: str) -> None:
    storage = StudyStorage(url)
    assert backend_of(optuna.load_study(study_name="s", storage=storage)) is storage
    memory = optuna.storages.InMemoryStorage()
    assert backend_of(optuna.create_study(storage=memory)) is memory


class _Reversed(ShownStudy):
    def shown(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return trials[::-1]


@pytest.mark.parametrize("states", [None, (), (TrialState.PRUNED, TrialState.WAITING)])
def test_a_study_shows_the_chosen_trials(url: str, states: tuple[TrialState, ...] | None) -> None:
    plain = optuna.load_study(study_name="s", storage=url)
    shown = _Reversed("s", url)
    assert shown.get_trials(states=states) == plain.get_trials(states=states)[::-1]
    assert shown.trials == plain.trials[::-1]
    assert shown.best_trial == plain.best_trial


class _Plain(RowStorage):
    """Reads the chosen trials through Optuna's own objects."""

    def select_trials(self, study_id: int, chosen: object) -> list[FrozenTrial]:
        with self.engine.connect() as connection:
            rows = connection.execute(
                select(models.TrialModel.trial_id)
                .where(chosen)  # type: ignore[arg-type]
                .order_by(models.TrialModel.trial_id)
            )
            return [self.get_trial(row[0]) for row in rows]


@pytest.mark.parametrize("states", [None, (TrialState.COMPLETE, TrialState.RUNNING)])
def test_the_chosen_trials_are_those_that_optuna_reads(
    url: str, states: tuple[TrialState, ...] | None
) -> None:
    plain, ours = optuna.storages.RDBStorage(url), _Plain(url)
    study_id = plain.get_study_id_from_name("s")
    expected = plain.get_all_trials(study_id, states=states)
    assert ours.get_all_trials(study_id, states=states) == expected


def test_a_parameter_is_stored_as_by_plain_optuna(url: str, tmp_path: Path) -> None:
    for name, storage in (("s", _Plain(url)), ("other", optuna.storages.RDBStorage(url))):
        trial = optuna.load_study(study_name=name, storage=storage).ask({})
        trial.suggest_float("rate", 0.1, 0.1)
    first, second = (
        optuna.load_study(study_name=name, storage=url).trials[-1] for name in ("s", "other")
    )
    assert (first.params["rate"], second.params["rate"]) == (0.1, 0.1)
    assert first.distributions["rate"] == second.distributions["rate"]


def test_times_are_those_of_plain_optuna(url: str) -> None:
    storage = optuna.storages.RDBStorage(url)
    trial = optuna.load_study(study_name="s", storage=storage).trials[0]
    with storage.engine.connect() as connection:
        query = select(*time_columns()).where(models.TrialModel.trial_id == id_of_trial(trial))
        began, ended = connection.execute(query).one()
    for stored, local in ((began, trial.datetime_start), (ended, trial.datetime_complete)):
        found = datetime.fromisoformat(str(stored)).replace(tzinfo=UTC).astimezone()
        assert found.replace(tzinfo=None) == local
    assert time_columns()[1].key == END_COLUMN


def test_an_index_of_a_choice() -> None:
    choices = CategoricalDistribution(("a", "b"))
    assert [is_choice(choices, i) for i in (0, 1, 2, -1)] == [True, True, False, False]


def test_studies_are_those_that_optuna_returns(url: str) -> None:
    (first, *_) = optuna.storages.RDBStorage(url).get_all_studies()
    assert isinstance(first, FrozenStudy)
    assert [s.study_name for s in StudyStorage(url).get_all_studies()] == ["other", "s"]


def test_no_other_module_uses_private_parts() -> None:
    package = Path(ocrsearch.__file__).parent
    for path in package.rglob("*.py"):
        if path.name != "optuna_internals.py":
            assert not PRIVATE.findall(path.read_text(encoding="utf-8")), path


def _filled(study: optuna.Study) -> FrozenTrial:
    """Return a new trial of the study with parameters and attributes, written one by one."""
    trial = study.ask()
    trial.suggest_categorical("cell", ("lstm", "gru"))
    trial.suggest_float("rate", 1e-4, 1e-2, log=True)
    trial.set_user_attr("cer", 0.5)
    trial.set_user_attr("cer", {"now": [0.25]})
    trial.set_user_attr("name", "Å😀")
    return stored_trial(study, trial)


@pytest.mark.parametrize("plain", [False, True])
def test_a_batch_of_writes_has_the_result_of_single_writes(url: str, *, plain: bool) -> None:
    sampler = optuna.samplers.RandomSampler(seed=1)
    own = optuna.load_study(study_name="s", storage=StudyStorage(url), sampler=sampler)
    own.ask()  # takes the queued trial
    sampler.reseed_rng()
    with batched_writes(own):
        batched = _filled(own)
    storage = optuna.storages.RDBStorage(url) if plain else StudyStorage(url)
    read = optuna.load_study(study_name="s", storage=storage).trials[-1]
    assert read.params == batched.params
    assert set(read.params) == {"cell", "rate"}
    assert read.distributions == batched.distributions
    assert read.user_attrs == {"cer": {"now": [0.25]}, "name": "Å😀"}


def test_a_batch_is_written_in_one_transaction_at_its_end(url: str) -> None:
    storage, other = StudyStorage(url), optuna.storages.RDBStorage(url)
    study = optuna.load_study(study_name="s", storage=storage)
    trial = study.ask()
    with batched_writes(study):
        trial.set_user_attr("one", 1)
        with batched_writes(study):
            trial.set_user_attr("two", 2)
        assert other.get_trial(id_of_trial(trial)).user_attrs == {}
    assert other.get_trial(id_of_trial(trial)).user_attrs == {"one": 1, "two": 2}
    with suppress(KeyboardInterrupt), batched_writes(study):
        trial.set_user_attr("three", 3)
        raise KeyboardInterrupt
    assert "three" in other.get_trial(id_of_trial(trial)).user_attrs


def test_a_batch_is_written_before_a_trial_is_read_or_ends(url: str) -> None:
    study = optuna.load_study(study_name="s", storage=StudyStorage(url))
    trial = study.ask()
    with batched_writes(study):
        trial.set_user_attr("one", 1)
        assert stored_trial(study, trial).user_attrs == {"one": 1}
        trial.set_user_attr("two", 2)
        study.tell(trial, 0.5)
        trial.set_user_attr("three", 3)
        with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
            stored_trials(study)
    assert stored_trials(study)[trial.number].user_attrs == {"one": 1, "two": 2}


def test_a_storage_in_memory_writes_at_once() -> None:
    study = optuna.create_study()
    trial = study.ask()
    with batched_writes(study):
        trial.set_user_attr("one", 1)
        assert stored_trial(study, trial).user_attrs == {"one": 1}
