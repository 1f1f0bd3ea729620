"""The storage reads what Optuna's own reads."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial

from ocrsearch.studies.storage import StudyStorage

DISTRIBUTIONS: dict[str, optuna.distributions.BaseDistribution] = {
    "rate": FloatDistribution(1e-4, 1e-2, log=True),
    "width": IntDistribution(16, 64, step=16),
    "cell": CategoricalDistribution(("lstm", "gru", None, True, 3, 0.5)),
}


@pytest.fixture
def url(tmp_path: Path) -> str:
    """Return a database with two studies, in one of them trials of every state."""
    url = f"sqlite:///{tmp_path}/s.db"
    storage = optuna.storages.RDBStorage(url)
    other = optuna.create_study(storage=storage, study_name="other")
    other.add_trial(create_trial(value=1.0, user_attrs={"of": "another study"}))
    study = optuna.create_study(
        storage=storage, study_name="s", directions=["minimize", "maximize"]
    )
    values = ([1.0, 2.0], [float("inf"), float("-inf")], [0.0, -1e-300])
    for i, pair in enumerate(values):
        params = {"rate": 1e-3 * (i + 1), "width": 16 * (i + 1), "cell": (None, True, "gru")[i]}
        attrs = {"z": 1, "epochs": [{"cer": 0.5, "text": "đường"}], "a": None}
        study.add_trial(
            create_trial(
                values=pair, params=params, distributions=DISTRIBUTIONS, user_attrs=attrs,
                system_attrs={"constraints": [1.5]},
                intermediate_values={7: 0.25, 1: float("nan"), 3: float("inf")},
            )
        )  # fmt: skip
    study.add_trial(create_trial(state=TrialState.PRUNED, intermediate_values={2: float("-inf")}))
    study.add_trial(create_trial(state=TrialState.FAIL))
    study.enqueue_trial({"width": 32})
    waiting = study.ask()
    waiting.suggest_int("width", 16, 64, step=16)
    study.enqueue_trial({"width": 48})
    return url


@pytest.mark.parametrize("states", [None, (), (TrialState.COMPLETE, TrialState.RUNNING)])
@pytest.mark.parametrize(
    ("included", "after"), [(set(), -1), (set(), 4), ({2, 3, 7, 900}, 4), ({1, 2}, -1)]
)
def test_trials_are_those_that_optuna_reads(
    url: str, states: tuple[TrialState, ...] | None, included: set[int], after: int
) -> None:
    optunas, ours = optuna.storages.RDBStorage(url), StudyStorage(url)
    study_id = ours.get_study_id_from_name("s")
    expected = optunas._get_trials(study_id, states, included, after)
    read = ours._get_trials(study_id, states, included, after)
    assert [contents(t) for t in read] == [contents(t) for t in expected]
    assert len(read) > 0 or states == ()
    assert [list(t.params) for t in read] == [list(t.params) for t in expected]
    if states is None and after == -1:
        assert len({t.state for t in read}) == len(TrialState)


def contents(trial: optuna.trial.FrozenTrial) -> dict[str, str]:
    """Return all that a trial holds, as text: NaN is not equal to itself."""
    return {
        key: repr(sorted(value.items()) if isinstance(value, dict) else value)
        for key, value in vars(trial).items()
    }


def test_a_study_sees_what_is_written_to_it(url: str) -> None:
    study = optuna.load_study(study_name="s", storage=StudyStorage(url))
    before = len(study.trials)
    trial = study.ask()
    trial.suggest_float("rate", 1e-4, 1e-2, log=True)
    trial.set_user_attr("of", "now")
    assert study.trials[-1].user_attrs == {"of": "now"}
    study.tell(trial, [0.5, 0.5])
    assert len(study.trials) == before  # the one that waited
    assert study.get_trials(states=(TrialState.WAITING,)) == []


def test_a_study_that_is_not_there_is_an_error(url: str) -> None:
    with pytest.raises(KeyError, match="does not exist"):
        StudyStorage(url).get_all_trials(99)
