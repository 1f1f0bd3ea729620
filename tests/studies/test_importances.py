"""Parameter importances over finished, paused and pruned trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from ocrsearch.studies.importances import MIN_TRIALS, common_epoch, parameter_importances

SPACE: dict[str, BaseDistribution] = {
    "a.effect": FloatDistribution(0, 1),
    "a.noise": FloatDistribution(0, 1),
    "a.kind": CategoricalDistribution(["x", "y"]),
    "a.fixed": CategoricalDistribution(["z"]),
}


def made_study(n: int, *, n_full: int = 3, **attributes: Any) -> optuna.Study:
    """Return a study in which only ``effect`` matters; few trials are finished."""
    rng = np.random.default_rng(0)
    study = optuna.create_study()
    for i in range(n):
        params = {
            "a.effect": float(rng.random()),
            "a.noise": float(rng.random()),
            "a.kind": "xy"[i % 2],
            "a.fixed": "z",
        }
        cer, full = 0.1 + 0.5 * params["a.effect"], i < n_full
        n_epochs = 10 if full else 2
        epochs = [
            {"epoch": e, "cer": cer + 0.01 * (10 - e), "val_loss": 1.0}
            for e in range(1, n_epochs + 1)
        ]
        state = TrialState.COMPLETE if full else TrialState.PRUNED
        study.add_trial(
            create_trial(
                state=state,
                value=cer if full else None,
                params=params,
                distributions=SPACE,
                user_attrs={"epochs": epochs, **attributes},
            )
        )
    return study


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([7], 7),
        ([1, 9], 1),
        ([3] * 8 + [1, 9], 3),
        ([3, 3, 3, 3, 1], 3),
        ([3, 3, 3, 1], 1),
        ([10] * 5, 10),
    ],
)
def test_four_of_five_trials_reach_the_common_epoch(lengths: list[int], expected: int) -> None:
    assert common_epoch(lengths) == expected


def test_pruned_trials_count_at_the_common_epoch() -> None:
    found = parameter_importances(made_study(40))
    assert found is not None
    assert (found.epoch, found.n_trials, found.n_shorter, found.n_best) == (2, 40, 0, 20)
    first, *others = found.parameters
    assert (first.path, first.above_chance) == ("a.effect", True)
    assert first.share > 0.5
    assert {p.path for p in others} == {"a.noise", "a.kind"}  # one value is no parameter
    assert sum(p.share for p in found.parameters) == pytest.approx(1.0)
    # of the finished trials, too, the first two epochs count
    assert first.cers[0] == pytest.approx(0.1 + 0.5 * float(first.values[0]) + 0.08)


def test_shorter_trials_are_counted_not_compared() -> None:
    study = made_study(20, n_full=20)
    study.add_trials(made_study(2, n_full=0).trials)
    found = parameter_importances(study)
    assert found is not None
    assert (found.epoch, found.n_trials, found.n_shorter) == (10, 20, 2)


def test_an_effect_of_no_parameter_is_not_above_chance() -> None:
    study = made_study(40)
    rng = np.random.default_rng(1)
    shuffled = optuna.create_study()
    for trial, other in zip(study.trials, rng.permutation(40), strict=True):
        trial.user_attrs = {"epochs": study.trials[other].user_attrs["epochs"][:2]}
        shuffled.add_trial(trial)
    found = parameter_importances(shuffled)
    assert found is not None
    assert sum(p.above_chance for p in found.parameters) <= 1


def test_few_or_equal_trials_have_no_importances() -> None:
    assert parameter_importances(optuna.create_study()) is None
    assert parameter_importances(made_study(MIN_TRIALS - 1)) is None
    equal = optuna.create_study()
    for trial in made_study(20).trials:
        trial.user_attrs = {"epochs": [{"epoch": 1, "cer": 0.5, "val_loss": 1.0}]}
        equal.add_trial(trial)
    assert parameter_importances(equal) is None


def test_values_of_another_program_outside_their_range_are_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = made_study(20)
    trials = study.trials
    trials[0].params = {**trials[0].params, "a.kind": "z"}
    monkeypatch.setattr(study, "get_trials", lambda **_: trials)
    assert parameter_importances(study) is None
