"""The prior over configurations, and the sampler that it guides."""

from __future__ import annotations

import math

import numpy as np
import optuna
import pytest

from ocrsearch.spaces import Space, parse_space
from ocrsearch.studies import (
    GuidedSampler,
    Kernel,
    Prior,
    StudyFacts,
    describing_point,
    open_study,
    ranks_within,
)
from ocrsearch.studies.experience import MIN_TRIALS, known_prior, recorded_configurations
from ocrsearch.studies.records import write_epochs
from ocrsearch.training import EpochRecord

SPACE = """
model:
  architecture: {choice: [crnn, seq2seq]}
  encoder: {rnn_cell: {choice: [lstm, gru]}}
  decoder: {when: {model.architecture: seq2seq}, attention: {choice: [none, additive]}}
training:
  learning_rate: {float: [1.0e-4, 1.0e-1], log: true}
  optimizer: {choice: [adamw, nadam]}
"""


@pytest.fixture(scope="module")
def space() -> Space:
    """Return a space with a condition."""
    return parse_space(SPACE, "small")


def known(space: Space, n: int = 40) -> Prior:
    """Return a prior of a task where 1e-3 is the best rate and gru the best cell."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    points = [describing_point(space, space.suggest(study.ask())) for _ in range(n)]
    return Prior(points, ranks_within([badness(point) for point in points]))


def badness(values) -> float:  # type: ignore[no-untyped-def]
    distance = abs(math.log10(values["training.learning_rate"]) + 3)
    return distance + (values["model.encoder.rnn_cell"] == "lstm")


def test_ranks_are_the_middles_of_equal_parts() -> None:
    assert ranks_within([0.3, 0.1, 0.2, 0.9]) == [0.625, 0.125, 0.375, 0.875]


def test_a_gaussian_process_predicts_the_ranks_of_configurations_it_has_not_seen(space) -> None:  # type: ignore[no-untyped-def]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    points = [describing_point(space, space.suggest(study.ask())) for _ in range(40)]
    predicted = known(space).expected_ranks(points)
    true = ranks_within([badness(point) for point in points])
    assert np.corrcoef(predicted, true)[0, 1] > 0.8


def test_the_expected_ranks_are_those_of_the_formula() -> None:
    """Compared with the mean of a Gaussian process, computed for two points by hand."""
    points = [{"a": 1.0, "b": "x"}, {"a": math.e**2, "b": "x"}]
    kernel = Kernel(smooth=0.1, length=1.0, linear=0.0, noise=0.05)
    prior = Prior(points, [0.2, 0.6], kernel)  # standardised logarithms: -1 and 1; b is constant
    near, far = 0.1 * math.exp(-0.5), 0.1 * math.exp(-2.0)
    weights = np.linalg.solve([[0.15, far], [far, 0.15]], [-0.3, 0.1])
    expected = 0.5 + near * weights.sum()
    assert prior.expected_ranks([{"a": math.e, "b": "y"}, {"b": "x"}]) == pytest.approx(expected)


def test_what_the_prior_does_not_know_changes_nothing(space: Space) -> None:
    values = {"training.learning_rate": 1e-3, "model.encoder.rnn_cell": "gru"}
    prior = known(space)
    one, other = prior.expected_ranks([values, {**values, "images.height": 99, "odd": "word"}])
    assert one == other


def test_proposals_are_better_and_complete(space: Space) -> None:
    sampler = GuidedSampler(optuna.samplers.TPESampler(seed=0), space, known(space), 0)
    study = optuna.create_study(sampler=sampler)
    guided = []
    for _ in range(40):
        trial = study.ask()
        values = space.suggest(trial)
        space.resolve(values)
        has_decoder = values["model.architecture"] == "seq2seq"
        assert ("model.decoder.attention" in values) == has_decoder
        guided.append(badness(values))
        study.tell(trial, 1.0)  # all are alike, so that only the prior prefers
    random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    others = [badness(space.suggest(random.ask())) for _ in range(40)]
    assert np.mean(guided) < np.mean(others) - 0.3
    assert max(guided) > 1.5, "half of the proposals are not chosen by the prior"


def facts_of(space: Space) -> StudyFacts:
    return StudyFacts(space.name, space.content, "data", "place", {}, {}, 0)


def test_a_users_studies_join_the_prior(space: Space) -> None:
    storage = optuna.storages.InMemoryStorage()
    shipped = known_prior(storage)
    study = open_study(storage, "mine", space, facts_of(space))
    for _ in range(MIN_TRIALS):
        trial = study.ask()
        values = space.suggest(trial)
        cer = min(1.0, badness(values) / 4)
        record = EpochRecord(epoch=1, cer=cer, wer=1.0, exact=0.0, val_loss=1.0, seconds=1.0)
        write_epochs(trial, [record])
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    good = {"training.learning_rate": 1e-3, "model.encoder.rnn_cell": "gru"}
    bad = {"training.learning_rate": 1e-1, "model.encoder.rnn_cell": "lstm"}
    before, after = (
        float(np.subtract(*prior.expected_ranks([good, bad])))
        for prior in (shipped, known_prior(storage))
    )
    assert after < before - 0.05
    same = known_prior(storage, besides="mine").expected_ranks([good, bad])
    assert same == pytest.approx(shipped.expected_ranks([good, bad]))


def test_foreign_and_damaged_studies_are_left_out() -> None:
    storage = optuna.storages.InMemoryStorage()
    optuna.create_study(storage=storage, study_name="foreign")
    damaged = optuna.create_study(storage=storage, study_name="damaged")
    damaged.set_user_attr("ocrsearch", {"version": "?"})
    for study in (damaged, optuna.load_study(storage=storage, study_name="foreign")):
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2 * MIN_TRIALS)
    points, _ = recorded_configurations()
    expected = known_prior(optuna.storages.InMemoryStorage()).expected_ranks(points)
    assert known_prior(storage).expected_ranks(points) == pytest.approx(expected)


def test_the_shipped_configurations_are_of_several_tables() -> None:
    points, ranks = recorded_configurations()
    assert len(points) == len(ranks) >= 40
    assert all(0 < rank < 1 for rank in ranks)
    assert {"training.learning_rate", "pretrained"} <= set(points[0])
